"""Answers to parked requests: kept until they are asked for, and what whoever waits is told meanwhile."""

from __future__ import annotations

from time import monotonic

from ringfence.core.usage import Usage
from ringfence.gateway.arriving import MAX_ANSWER_BYTES
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.refusal import told
from ringfence.gateway.reply import Finishing
from ringfence.gateway.request import Failure, Request
from ringfence.gateway.step import Waiter
from ringfence.gateway.voice import Voice

COMMENT_EVERY_S = 10.0


class Paper:
    """What a stream writes to in the place of a connection."""

    is_gone = False

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size <= MAX_ANSWER_BYTES:
            self.parts.append(data)


class Recorder(Request):
    """Takes an answer as a caller would, and keeps it. `done` comes when it is whole, or will not be."""

    def __init__(self, voice: Voice | None) -> None:
        self.voice = voice
        self.paper = Paper()
        super().__init__(self.paper, NO_HEAD, monotonic())  # type: ignore[arg-type]
        self.done: Waiter[None] = Waiter()
        self.answered: tuple[int, bytes] = (0, b"")
        """Status and header lines."""

    @property
    def body(self) -> bytes:  # type: ignore[override]
        return b"".join(self.paper.parts)

    @property
    def is_too_long(self) -> bool:
        return self.paper.size > MAX_ANSWER_BYTES

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        self.answered = (status, head)
        self.paper.write(body)
        self.done.wake(None)

    def fail(self, failure: Failure, call_id: str = "") -> None:
        self.paper.parts.clear()
        self.answer(*told(failure, self.head, call_id))

    def begin(self, status: int, head: bytes) -> None:
        self.answered = (status, head)

    def put(self, data: bytes) -> None:
        self.paper.write(data)

    def close(self) -> None:
        self.done.wake(None)

    def abort(self) -> None:
        self.done.wake(None)


class Noted:
    """What a reply gives back, and how it ended."""

    def __init__(self, held: Finishing) -> None:
        self._held = held
        self.outcome = ""
        self.usage: Usage | None = None

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        self.outcome, self.usage = outcome, usage
        self._held.finish(status, outcome, usage, first_at)


class Told:
    """A caller whose answer is a stream that was begun: it hears every ten seconds that it is not forgotten."""

    def __init__(self, request: Request, call_id: str) -> None:
        self._request = request
        self._next_s = 0.0
        lead = b"x-request-id: %b\r\n" % call_id.encode() if call_id else b""
        request.begin_events(lead)

    def is_due(self, now_s: float) -> bool:
        """Whether the last comment was long enough ago."""
        return now_s >= self._next_s

    def say(self, now_s: float, position: int, estimate_s: float | None) -> None:
        """A comment."""
        self._next_s = now_s + COMMENT_EVERY_S
        estimate = "unknown" if estimate_s is None else f"{estimate_s:.0f}"
        self._request.write(f": parked position={position} estimate_s={estimate}\n\n".encode())
