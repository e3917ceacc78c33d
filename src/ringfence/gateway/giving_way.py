"""A request in the background gives its place to one that comes before it, as long as nothing has come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ringfence.gateway.lane import Asking, Lane
from ringfence.gateway.step import Run, Waiter

T = TypeVar("T")


class Yielded(Exception):
    """It was stopped for another's sake: its place is to be given back, and it waits again."""


class Attempt(Waiter[None], Generic[T]):
    """One request at its target, until it has brought its first byte."""

    def __init__(self, asking: Asking) -> None:
        super().__init__()
        self.has_yielded = False
        self.brought: T
        self.failure: BaseException | None = None
        self._asking = asking
        self._inner: Run | None = None

    def begin(self, opening: Coroutine[Any, Any, T]) -> None:
        self._inner = Run(self._go(opening))
        self._inner.step()

    def can_yield(self) -> bool:
        """Not in the midst of a step of its own."""
        return not self.is_done and (self._inner is None or not self._inner.is_running)

    def give_way(self) -> None:
        self.has_yielded = True
        self._asking.yields += 1
        self.stop()
        self.wake(None)

    def stop(self) -> None:
        """The engine is told by its connection, at once."""
        if self._inner is not None:
            self._inner.cancel()

    async def _go(self, opening: Coroutine[Any, Any, T]) -> None:
        try:
            self.brought = await opening
        except (Exception, asyncio.CancelledError) as failure:  # for whoever awaits this attempt
            self.failure = failure
        if not self.has_yielded:
            self.wake(None)


async def giving_way(lane: Lane, asking: Asking, opens: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `opens` brings. Raises Yielded when its place was wanted before."""
    attempt: Attempt[T] = Attempt(asking)
    lane.yielding[asking] = attempt
    try:
        lane.press()  # somebody may wait for just that
        if not attempt.has_yielded:
            attempt.begin(opens())
            await attempt
    except asyncio.CancelledError:  # the caller went away
        attempt.stop()
        raise
    finally:
        del lane.yielding[asking]
    if attempt.has_yielded:
        raise Yielded
    if attempt.failure is not None:
        raise attempt.failure
    return attempt.brought
