"""What arrives from an engine before anything is sent on: the first piece of a stream, or the whole of an answer."""

from __future__ import annotations

from time import monotonic

from ringfence.egress.pool import Line, Receiver
from ringfence.gateway.step import Waiter

MAX_ANSWER_BYTES = 64 * 1024 * 1024
BEGINS_EVENTS = frozenset(b"deir:\r\n")
"""First bytes of a stream of events: data, event, error, id, retry, a comment, an empty line; not of a page of HTML."""


class Reading(Waiter["str | None"]):
    """What arrives from the engine. Awaited until the first byte of a stream or the whole of an answer is there (None),
    or nothing will come (the reason). Gathers, until `pass_on` puts another receiver in its place."""

    __slots__ = ("_answer_s", "_ended", "_has_lines", "_size", "_stream", "first_at", "is_events", "line", "parts")

    def __init__(self, line: Line, stream: bool, has_lines: bool, answer_s: float) -> None:
        self.run = None
        self.is_done = self.is_events = self._ended = False
        self.line = line
        self.parts: list[bytes] = []
        self.first_at = 0.0
        self._answer_s = answer_s
        self._stream = stream
        self._has_lines = has_lines  # each a JSON object: then that is how a stream begins as well

    def on_piece(self, data: bytes) -> None:
        if self.parts:
            self._gather(data)
        else:
            self.parts.append(data)
            self.first_at = self.first_at or monotonic()
            if self._stream and (data[0] in BEGINS_EVENTS or self._has_lines) and self.line.status() == 200:
                self.is_events = True
                self.wake(None)

    def on_end(self) -> None:
        self._ended = True
        self.wake(None)

    def on_lost(self, reason: str) -> None:
        self.wake(reason)

    def pass_on(self, sink: Receiver) -> None:
        """Hand what was gathered, and all that follows, to `sink`."""
        line = self.line
        is_lost = line.receiver is None and not self._ended
        if line.receiver is not None:
            line.receiver = sink
        if self.parts:
            sink.on_piece(b"".join(self.parts))
            self.parts = []
        if self._ended:
            sink.on_end()
        elif is_lost:
            sink.on_lost("lost")

    def _gather(self, data: bytes) -> None:
        parts = self.parts
        size = self._size = (len(parts[0]) if len(parts) == 1 else self._size) + len(data)
        parts.append(data)
        if size > MAX_ANSWER_BYTES:
            self.line.cancel()
            self.wake("malformed")
        elif monotonic() - self.first_at > self._answer_s:  # drop by drop, it never ends
            self.line.cancel()
            self.wake("stalled")
