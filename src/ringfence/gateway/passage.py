"""What comes of a target for a caller where it is neither chat nor text: a whole answer, a sound, or events.

A sound that breaks off ends with its connection, for there is nothing in it that could say so; events end with one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ringfence.core.errors import EngineFailed, EngineTimedOut, Failure
from ringfence.core.usage import Usage
from ringfence.gateway.arriving import Reading
from ringfence.gateway.call import Call
from ringfence.gateway.reply import BROKE_OFF, Finishing
from ringfence.gateway.request import Request
from ringfence.gateway.sse import MORE_EVENTS, MOST_EVENTS, EventStream, MalformedStream

EVENTS = b"text/event-stream"
LATE = frozenset(("stalled", "first_byte_timeout"))
FINISHED = re.compile(rb'"(?:type":\s*"[a-z_.]+\.done|finish_reason":\s*)"|(?m:^event:\s*[a-z_.]+\.done\s)')
"""In the last event of an engine that does not say [DONE]: OpenAI's own, and vLLM's."""
HAS_END = re.compile(rb'"(?:type":\s*"[a-z_.]+\.delta"|choices":)|(?m:^event:\s*[a-z_.]+\.delta\s)')
"""In events after which such a last one comes. Others (faster-whisper-server's) end with their connection."""
EVENTS_A_BYTE = 64
"""Of a request: a letter that is spoken is five events of 20 ms, a second that is heard some thousand bytes."""
SOUND_BYTES, MORE_SOUND_BYTES = 128 * 1024, 32 * 1024 * 1024
"""A letter takes a tenth of a second, and a second has 384 kB at most (48 kHz, two channels, 32 bits): three times
that for each byte of what is to be said, and 32 MiB for pauses that are asked for, has no end."""


class Whole:
    """An answer that came in one piece."""

    __slots__ = ("_data", "_first_at", "held", "kind", "usage")

    def __init__(self, kind: bytes, data: bytes, usage: Usage | None, first_at: float) -> None:
        self.kind = kind
        self.usage = usage
        self._data = data
        self._first_at = first_at
        self.held: Finishing  # given back when the answer has been sent

    def send(self, out: Request, head: bytes) -> None:
        self.held.finish(200, "ok", self.usage, self._first_at)
        out.answer(200, b"%bcontent-type: %b\r\n" % (head, self.kind), self._data)


class Sound:
    """Sent on while it is made."""

    __slots__ = ("_begun", "_call", "_left_bytes", "_out", "_reading", "held", "kind", "usage")

    def __init__(self, call: Call, reading: Reading, kind: bytes) -> None:
        self._call = call
        self._reading = reading
        self._out: Request
        self._begun = b""
        self._left_bytes = MORE_SOUND_BYTES + SOUND_BYTES * len(str(call.body.get("input")).encode())
        self.kind = kind
        self.usage: Usage | None = None
        self.held: Finishing | None = None  # given back when it has ended

    def send(self, out: Request, head: bytes) -> None:
        self._out = out
        if out.is_gone:
            self._leave()
            return
        out.on_gone = self._leave
        out.on_pause, out.on_resume = self._reading.line.pause, self._reading.line.resume
        out.begin(200, b"%bcontent-type: %b\r\n" % (head, self.kind))
        out.put(self._begun)
        self._reading.pass_on(self)

    def on_piece(self, data: bytes) -> None:
        self._left_bytes -= len(data)
        if self._left_bytes >= 0:
            self._out.put(data)
        else:
            self._reading.line.cancel()
            self.on_lost("malformed")

    def on_end(self) -> None:
        self._close("ok")

    def on_lost(self, reason: str) -> None:
        if self._give_back(reason):
            self._out.abort()

    def _close(self, outcome: str) -> None:
        if self._give_back(outcome):
            self._out.close()

    def _give_back(self, outcome: str, status: int = 200) -> bool:
        """False where it was done before."""
        held, self.held = self.held, None
        if held is not None:
            held.finish(status, outcome, self.usage, self._reading.first_at)
        return held is not None

    def _leave(self) -> None:
        """The client went away: the engine must stop working for it at once."""
        self._reading.line.cancel()
        self._give_back("client_gone", 499)


class Texts(Sound):
    """What is heard, as events of plain text: nothing of it can be checked."""

    __slots__ = ()

    def on_lost(self, reason: str) -> None:
        late = "The engine sent nothing more for too long; the answer is not complete."
        self._break(reason, EngineTimedOut(late) if reason in LATE else EngineFailed(BROKE_OFF))

    def _break(self, outcome: str, failure: Failure) -> None:
        if self._give_back(outcome):
            self._out.break_off(failure, self._call.id)


class Events(Texts):
    """What is heard, or a sound, as events of JSON: each is checked to be one."""

    __slots__ = ("_events", "_fails", "_has_end", "_is_first", "failed")

    def __init__(self, call: Call, model: str, reading: Reading, fails: Callable[[Any], Failure]) -> None:
        """`fails` reads an engine's own error."""
        super().__init__(call, reading, EVENTS)
        most = min(MOST_EVENTS, MORE_EVENTS + EVENTS_A_BYTE * call.body_bytes)
        self._events = EventStream(model, hides_usage=False, retell=self._retold, most=most, finished=FINISHED)
        self._fails = fails
        self._is_first = True
        self._has_end = False
        self.failed: Failure | None = None

    def begin(self) -> bool:
        """Look at what came first, while nothing is sent. False where it is wrong; `failed` has an engine's error."""
        data, self._reading.parts = b"".join(self._reading.parts), []
        try:
            self._begun = self._read(data)
        except MalformedStream:
            return False
        self._is_first = False
        return self.failed is None and not (self._events.is_done and not self._events.events)

    def on_piece(self, data: bytes) -> None:
        try:
            self._out.put(self._read(data))
        except MalformedStream as problem:
            self._reading.line.cancel()
            if self._events.is_done:  # what comes after the end is nobody's
                self.on_end()
            else:
                self._break("malformed", EngineFailed(f"The engine sent {problem} in the middle of a stream."))

    def on_end(self) -> None:
        events = self._events
        is_whole = events.is_whole or not (self._has_end or events.is_midway)
        if events.error is None and not is_whole:  # closed in order, and yet not at its end
            self._break("lost", EngineFailed(BROKE_OFF))
            return
        self.usage = events.usage
        if events.is_done and self.held is not None:
            self._out.put(events.ending())
        self._close("ok" if events.error is None else "engine_error")

    def on_lost(self, reason: str) -> None:
        events = self._events
        if events.is_done or events.error is not None or (reason == "lost" and events.is_whole):
            self.on_end()  # it was whole, or its caller knows already
        else:
            super().on_lost(reason)

    def _read(self, data: bytes) -> bytes:
        shown = self._events.feed(data)
        self._has_end = self._has_end or HAS_END.search(shown) is not None
        return shown

    def _retold(self, error: Any) -> bytes:
        """What the engine says of its failure, in our words."""
        self.failed = self._fails(error)
        return b"" if self._is_first else self._out.told_midway(self.failed, self._call.id)


Passage = Whole | Sound
