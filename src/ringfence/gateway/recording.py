"""An answer that is taken down once and told to several, to each at the pace of its own.

What is taken down is what a caller of a dialect that engines speak would get; each voice tells it in its own way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from ringfence.core.errors import EngineFailed, Failure
from ringfence.core.usage import Usage
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.passage import Passage
from ringfence.gateway.refusal import JSON_HEAD
from ringfence.gateway.reply import Answer, Finishing, Stream
from ringfence.gateway.request import Request
from ringfence.gateway.voice import UNTOLD, whole

log = logging.getLogger("ringfence.cache")
MOST_BYTES = 4 * 1024 * 1024
"""An answer that is longer is not kept. What all have got of it is let go, and the engine waits for the slowest."""
SLICE_BYTES = 16 * 1024
NOTHING_USED = Usage()


class Ear:
    """What a stream writes to in the place of a connection."""

    __slots__ = ("write",)
    is_gone = False

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write


class Recording(Request):
    """Takes an answer as one caller would."""

    def __init__(self, on_done: Callable[[], None]) -> None:
        super().__init__(Ear(self._take), NO_HEAD, monotonic())  # type: ignore[arg-type]
        self.shares: dict[Share, None] = {}
        self.is_whole = self.is_done = self.is_too_long = False
        self.broken: Failure | None = None
        """With what it ended, where it broke after it had begun."""
        self.spoil: Callable[[], object] = _nothing
        """Told where a voice can make nothing of what was taken down: no other will."""
        self._on_done = on_done
        self._parts: list[bytes] = []
        self._dropped = 0
        self._held_bytes = 0
        self._is_paused = False

    @classmethod
    def kept(cls, data: bytes, *, is_events: bool) -> Recording:
        """One that is over: events in pieces that callers can be given one by one."""
        recording = cls(_nothing)
        recording.is_whole, recording.is_done = not is_events, True
        recording._parts = list(_pieces(data)) if is_events else [data]
        return recording

    @property
    def data(self) -> bytes:
        """All of it, where none was let go."""
        return b"".join(self._parts)

    def part(self, at: int) -> bytes | None:
        """The next part for who has `at` of them; None when there is none yet, or none any more."""
        place = at - self._dropped
        return self._parts[place] if place < len(self._parts) else None

    # -- as a caller ------------------------------------------------------------------------------------------------

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        self.is_answered = self.is_whole = self.is_done = True
        self.is_too_long = len(body) > MOST_BYTES
        self._parts.append(body)
        self._on_done()

    def begin(self, status: int, head: bytes) -> None:
        self.is_answered = True

    def put(self, data: bytes) -> None:
        self._take(data)

    def told_midway(self, failure: Failure, call_id: str) -> bytes:
        """Each caller is told in its own words."""
        self.broken = failure
        return b""

    def abort(self) -> None:
        self.broken = self.broken or EngineFailed(UNTOLD)
        self.close()

    def close(self) -> None:
        self.is_done = True
        self._on_done()
        for share in tuple(self.shares):
            share.more()

    def _take(self, data: bytes) -> None:
        if not data:
            return
        self._parts.append(data)
        self._held_bytes += len(data)
        self.is_too_long = self.is_too_long or self._held_bytes > MOST_BYTES
        for share in tuple(self.shares):
            share.more()
        if self.is_too_long:
            self.let_go()

    def let_go(self) -> None:
        """What everyone has of an answer that will not be kept; and the engine goes on when there is room again."""
        if not self.is_too_long or self.is_done:
            return
        first = min((share.at for share in self.shares), default=self._dropped + len(self._parts))
        gone, self._parts = self._parts[: first - self._dropped], self._parts[first - self._dropped :]
        self._dropped = first
        self._held_bytes -= sum(map(len, gone))
        is_full = self._held_bytes > MOST_BYTES
        if is_full != self._is_paused:
            self._is_paused = is_full
            turn = self.on_pause if is_full else self.on_resume
            if turn is not None:
                turn()


class Share:
    """One caller's share of a recording: the reply that it is sent."""

    __slots__ = ("_is_over", "_is_paused", "_is_telling", "_leave", "_out", "_recording", "at", "call_id", "held")

    def __init__(
        self, recording: Recording, call_id: str, held: Finishing | None, leave: Callable[[Share], None] | None = None
    ) -> None:
        """`held` is given back when this caller has all of it; None for the one whose call it is, which its engine's
        answer gives back. `leave` is told when it goes before that."""
        self.held = held
        self.call_id = call_id
        self.at = 0
        """How many parts it has."""
        self._recording = recording
        self._leave = leave
        self._out: Request | None = None
        self._is_paused = self._is_over = self._is_telling = False
        recording.shares[self] = None

    def send(self, out: Request, head: bytes) -> None:
        recording = self._recording
        if out.is_gone:
            self.leave()
            return
        if not recording.is_whole:
            self._out = out
            out.on_gone, out.on_pause, out.on_resume = self.leave, self._pause, self._resume
            out.begin_events(head)
            self.more()
            recording.let_go()
            return
        if out.is_answered:  # its head says that events come
            self._end("malformed")
            raise EngineFailed("The engine was asked for a stream, and answered in one piece.")
        try:
            body = whole(out.voice, recording.data)
        except EngineFailed:
            self._end("malformed")
            recording.spoil()
            raise
        self._end("ok")
        out.answer(200, head + JSON_HEAD, body)

    def more(self) -> None:
        """Tell what has come since, as long as it is taken."""
        out = self._out
        if out is None or self._is_telling or self._is_over:
            return
        self._is_telling = True
        try:
            self._tell(out)
        except Exception:
            self._untold(out)
        finally:
            self._is_telling = False

    def leave(self) -> None:
        """The caller went away, or wants no more."""
        if not self._is_over:
            self._end("client_gone", 499)
            if self._leave is not None:
                self._leave(self)

    def _untold(self, out: Request) -> None:
        """Its voice can make nothing of what the engine sent: it is told so. Without a voice it is a fault of ours
        with one caller, and none of the others'."""
        failure = EngineFailed(UNTOLD)
        self._end(failure.code or "error")
        if out.voice is None:
            log.exception("call %s failed inside the gateway", self.call_id)
        else:
            self._recording.spoil()
        if self._leave is not None:
            self._leave(self)
        out.break_off(failure, self.call_id)

    def _tell(self, out: Request) -> None:
        recording = self._recording
        while not (self._is_paused or self._is_over):
            part = recording.part(self.at)
            if part is not None:
                self.at += 1
                out.write(part)
            elif not recording.is_done:
                return
            elif recording.broken is not None:
                self._end(recording.broken.code or "error")
                out.fail(recording.broken, self.call_id)
            else:
                self._end("ok")
                out.finish()

    def _pause(self) -> None:
        self._is_paused = True

    def _resume(self) -> None:
        self._is_paused = False
        self.more()
        self._recording.let_go()

    def _end(self, outcome: str, status: int = 200) -> None:
        self._is_over = True
        self._recording.shares.pop(self, None)
        self._recording.let_go()
        held, self.held = self.held, None
        if held is not None:
            held.finish(status, outcome, NOTHING_USED, monotonic())


Reply = Answer | Stream | Share | Passage
"""What a call is answered with: it is sent to its caller, and gives back what the call holds."""


def _nothing() -> None:
    return None


def _pieces(data: bytes) -> list[bytes]:
    """Whole events each, so many that they are worth a turn."""
    found: list[bytes] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n\n", start + SLICE_BYTES)
        end = len(data) if end < 0 else end + 2
        found.append(data[start:end])
        start = end
    return found
