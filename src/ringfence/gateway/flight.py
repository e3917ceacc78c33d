"""One call of an engine for everyone who asks the same at the same time.

The flight is nobody's: whoever began it may go away, and it goes on as long as anybody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from copy import copy
from typing import Protocol

from ringfence.core.errors import Failure
from ringfence.core.route import Decision
from ringfence.core.usage import Usage
from ringfence.gateway.call import Call
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.held import Held
from ringfence.gateway.ids import CallIds
from ringfence.gateway.recording import Ear, Recording, Reply, Share
from ringfence.gateway.reply import Answer, Stream
from ringfence.gateway.request import Request
from ringfence.gateway.step import Run, Waiter

log = logging.getLogger("ringfence.cache")
AT_ONCE = 64
"""So many are told in one turn of the loop that their answer has begun."""
LEFT_OUT = (b"x-request-id:", b"x-ratelimit-", b"x-ringfence-queue:")
"""Header lines that are of one caller alone."""


class Path(Protocol):
    """The path of all calls."""

    running: dict[str, Call]
    ids: CallIds

    async def complete(self, call: Call, settled: Decision | None = None) -> tuple[Reply, bytes]: ...


class Room(Request):
    """All who wait for the flight to bring something: what they wait for is told to those who take a stream."""

    def __init__(self) -> None:
        super().__init__(Ear(self._say), NO_HEAD, 0.0)  # type: ignore[arg-type]
        self.callers: dict[Share, Call] = {}

    def begin_events(self, head: bytes) -> None:
        """Each begins when there is something to say."""

    def put(self, data: bytes) -> None:
        self._say(data)

    def _say(self, data: bytes) -> None:
        for call in self.callers.values():
            if call.request is not None:
                call.request.begin_events(b"x-request-id: %b\r\n" % call.id.encode())
                call.request.write(data)


class Ended:
    """How the call of the engine ended. Of an answer in one piece it is known when somebody was told it."""

    def __init__(self, held: Held, *, is_late: bool) -> None:
        self._held = held
        self._is_late = is_late
        self._put_off: tuple[int, Usage | None, float] = (0, None, 0.0)
        self.outcome = ""

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        self.outcome = outcome
        if self._is_late:
            self._put_off = (status, usage, first_at)
        else:
            self._held.finish(status, outcome, usage, first_at)

    def tell(self, *, is_misshapen: bool) -> None:
        """What was put off; only the first call counts."""
        if self._is_late:
            self._is_late = False
            self.outcome = "malformed" if is_misshapen else self.outcome
            status, usage, first_at = self._put_off
            self._held.finish(status, self.outcome, usage, first_at)


class Flight:
    """From the call of the first who asks until its answer is whole."""

    def __init__(self, path: Path, call: Call, decision: Decision, landed: Callable[[Flight], None]) -> None:
        """`landed` is called once there is nothing more to come of it, and where its answer turns out to be none."""
        self.call = copy(call)
        self.call.request = self._room = Room()
        self.decision = decision
        self.recording = Recording(self._over)
        self.head = b""
        """Header lines of its answer that are the same for everyone."""
        self.held: Held | None = None
        self.noted: Ended | None = None
        self.is_misshapen = False
        """What the engine sent cannot be told to those who asked."""
        self.first: Share | None = None
        self.limits = b""
        """Header lines for the first alone."""
        self._path = path
        self._landed = landed
        self._waiting: dict[Share, Waiter[BaseException | None]] = {}
        self._run: Run | None = None
        self._reply: Reply | None = None
        self._own_name = ""
        self.recording.spoil = self._spoilt

    @property
    def is_open(self) -> bool:
        """Whether somebody may still come aboard, and miss nothing."""
        return not self.recording.is_too_long

    async def aboard(self, share: Share, call: Call) -> None:
        """Until its answer has begun. The first to come begins it. Raises what it failed with."""
        waiter = self._waiting[share] = Waiter[BaseException | None]()
        self._room.callers[share] = call
        if self._run is None:
            self.first = share
            self._run = Run(self._fly())
            self._run.step()
        elif self.recording.is_answered:
            self._tell_some()
        try:
            failure = await waiter
        except asyncio.CancelledError:
            self._forget(share)
            share.leave()
            raise
        if failure is not None:
            raise failure.with_traceback(None)

    async def _fly(self) -> None:
        try:
            reply, head = await self._path.complete(self.call, self.decision)
            assert not isinstance(reply, Share)
            assert isinstance(reply.held, Held)
            self.held = reply.held
            self._read(head)
            self._reply, self.noted = reply, Ended(self.held, is_late=isinstance(reply, Answer))
            reply.held = self.noted
            reply.send(self.recording, head)
        except asyncio.CancelledError:
            self._unname()
        except Exception as failure:  # each who waits is told of it
            if not isinstance(failure, Failure):  # those who are told do not see where it was
                log.exception("call %s failed inside the gateway", self.call.id)
            self._fail(failure)
        else:
            if isinstance(reply, Answer):  # whether it is one is known when the first of those who wait was told it
                for share in list(self._waiting)[:1]:
                    self._wake(share, None)
                self.noted.tell(is_misshapen=self.is_misshapen)
                self._landed(self)
            self._tell_some()

    def _spoilt(self) -> None:
        """Somebody could not be told it. A stream ends there, for everyone."""
        self.is_misshapen = True
        if isinstance(self._reply, Stream) and not self.recording.is_done:
            self._reply.untold()
        elif self.noted is not None and self.recording.is_done:
            self.noted.tell(is_misshapen=True)
            self._landed(self)

    def left(self, share: Share) -> None:
        """A caller went away. When it was the last one the engine is stopped; when it was the first the call goes on
        under a name of its own, for theirs has ended."""
        self._forget(share)
        recording = self.recording
        if recording.is_done or self._run is None:
            return
        if not recording.shares:
            self._landed(self)
            self._run.cancel()
            if recording.on_gone is not None:
                recording.on_gone()
        elif share is self.first and not recording.is_answered:
            self._own_name = self.call.id = self._path.ids.next(self.call.started_at)
            self._path.running[self._own_name] = self.call

    def _forget(self, share: Share) -> None:
        self._waiting.pop(share, None)
        self._room.callers.pop(share, None)

    def _unname(self) -> None:
        """There is nothing to write down of it beside what is of its callers."""
        self._path.running.pop(self._own_name, None)

    def _read(self, head: bytes) -> None:
        lines = head.splitlines(keepends=True)
        self.head = b"".join(line for line in lines if not line.startswith(LEFT_OUT))
        self.limits = b"".join(line for line in lines if line.startswith(LEFT_OUT[1:]))

    def _over(self) -> None:
        if not self.recording.is_whole:
            self._landed(self)

    def _tell_some(self) -> None:
        """That there is something to tell: some of them, and the others after a turn of the loop."""
        for share in list(self._waiting)[:AT_ONCE]:
            self._wake(share, None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._tell_some)

    def _fail(self, failure: Exception) -> None:
        """Nothing has begun. Who began it and may not ask was refused before anybody else could come aboard."""
        self._landed(self)
        self._unname()
        self.recording.is_done = True
        for share in list(self._waiting):
            self.recording.shares.pop(share, None)
            self._wake(share, failure)

    def _wake(self, share: Share, failure: BaseException | None) -> None:
        waiter = self._waiting.get(share)
        self._forget(share)
        if waiter is not None:
            waiter.wake(failure)
