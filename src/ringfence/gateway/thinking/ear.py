"""Hears the answer to a call that was made for another call's sake, in the place of a connection."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import orjson

from ringfence.core.errors import EngineFailed, Failure
from ringfence.core.usage import Usage
from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.head import NO_HEAD
from ringfence.gateway.recording import Reply
from ringfence.gateway.reply import Finishing
from ringfence.gateway.request import Request
from ringfence.gateway.step import Waiter
from ringfence.gateway.voice import UNTOLD, events


class _Line:
    """What a stream writes to. It is gone when the caller is, for whose sake all this is done."""

    def __init__(self, caller: Request | None, takes: Callable[[bytes], None]) -> None:
        self._caller = caller
        self.write = takes

    @property
    def is_gone(self) -> bool:
        return self._caller is not None and self._caller.is_gone


class Tally:
    """What a reply gives back, and what it has used."""

    def __init__(self, held: Finishing, add: Callable[[Usage], None]) -> None:
        self._held = held
        self._add = add

    def finish(self, status: int, outcome: str, usage: Usage | None, first_at: float) -> None:
        if usage is not None:
            self._add(usage)
        self._held.finish(status, outcome, usage, first_at)


class Ear(Request):
    """`hears` gets each event's fields, `whole` those of an answer in one piece."""

    def __init__(self, caller: Request | None, hears: Callable[[Body], None], whole: Callable[[Body], None]) -> None:
        super().__init__(_Line(caller, self._takes), NO_HEAD, monotonic())  # type: ignore[arg-type]
        self._hears = hears
        self._whole = whole
        self._caller = caller
        self.failure: Failure | None = None
        self._done: Waiter[None] = Waiter()

    async def hear(self, reply: Reply, add: Callable[[Usage], None]) -> None:
        """Until it has ended; raises the Failure with which it broke. `add` is told what it has used."""
        reply.held = Tally(reply.held, add)  # type: ignore[arg-type]
        caller = self._caller
        reply.send(self, b"")
        if caller is not None:  # who cannot take more holds up what it comes from
            caller.on_pause, caller.on_resume = self.on_pause, self.on_resume
        try:
            await self._done
        except BaseException:
            if self.on_gone is not None:
                self.on_gone()
            raise
        finally:
            if caller is not None:
                caller.on_pause = caller.on_resume = None
        if self.failure is not None:
            raise self.failure

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        try:
            self._whole(orjson.loads(body))
        except Exception:  # engines answer anything, and whoever asked can do without
            self.failure = EngineFailed(UNTOLD)
        self._done.wake(None)

    def begin(self, status: int, head: bytes) -> None:
        pass

    def told_midway(self, failure: Failure, call_id: str) -> bytes:
        self.failure = failure
        return b""

    def close(self) -> None:
        self._done.wake(None)

    def _takes(self, data: bytes) -> None:
        for event in events(data):
            fields: Any = event
            if fields is not None:
                self._hears(fields)
