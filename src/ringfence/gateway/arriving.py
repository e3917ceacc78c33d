"""What arrives from an engine before anything is sent on: the first piece of a stream, or the whole of an answer."""

from __future__ import annotations

from collections.abc import Set
from time import monotonic

from ringfence.egress.pool import Line, Receiver
from ringfence.gateway.step import Waiter

MAX_ANSWER_BYTES = 64 * 1024 * 1024
BEGINS_EVENTS = frozenset(b"deir:\r\n")
"""First bytes of a stream of events: data, event, error, id, retry, a comment, an empty line; not of a page of HTML."""
BEGINS_LINES = frozenset(range(256))
"""Of lines of which each is a JSON object, there is nothing to tell a stream by."""
BEGINS_SOUND = BEGINS_LINES - frozenset(b"{[< \t\r\n\xef")
"""What may be an error or a page of HTML is gathered; no known format of sound begins like that."""


class Reading(Waiter["str | None"]):
    """What arrives from the engine. Awaited until the first byte of a stream or the whole of an answer is there (None),
    or nothing will come (the reason). Gathers, until `pass_on` puts another receiver in its place."""

    __slots__ = ("_answer_s", "_begins", "_ended", "_size", "first_at", "is_events", "line", "parts")

    def __init__(self, line: Line, begins: Set[int], answer_s: float) -> None:
        """`begins` holds the bytes with which a stream may begin, and none where no stream was asked for."""
        self.run = None
        self.is_done = self.is_events = self._ended = False
        self.line = line
        self.parts: list[bytes] = []
        self.first_at = 0.0
        self._answer_s = answer_s
        self._begins = begins

    def on_piece(self, data: bytes) -> None:
        if self.parts:
            self._gather(data)
        else:
            self.parts.append(data)
            self.first_at = self.first_at or monotonic()
            if data[0] in self._begins and self.line.status() == 200:
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
