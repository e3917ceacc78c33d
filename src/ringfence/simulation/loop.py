"""An event loop whose time is simulated: when nothing is left to do, it is the time of the next timer.

Everything that asyncio offers without sockets, processes and threads runs on it, in an order that depends on nothing
but the order in which it was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
RESOLUTION_S = 1e-6


class Deadlock(RuntimeError):
    """Everybody waits for somebody, and no timer will ever wake one of them."""


class _Timers:
    """In the place of a selector: waiting for events is letting time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("nothing is ready, and no timer is set")
        if timeout > 0:
            self._loop.pass_time(timeout)
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` begins at 0. `after_step` is called once in each turn, after what was ready has run."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._clock_resolution = RESOLUTION_S
        self._selector = _Timers(self)
        self.turns = 0
        self.after_step: Callable[[], None] | None = None

    def time(self) -> float:
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        """Also from within: the machine slept, and every timer of that time is due at once, in its order."""
        self._now_s += seconds

    def _process_events(self, event_list: Any) -> None:
        self.turns += 1
        if self.after_step is not None:
            self.after_step()

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        raise RuntimeError("there are no threads in a simulation")


def run(coroutine: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """Run it to its end, and end what it left behind in the order in which that was begun."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        left = sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))
        for task in left:
            task.cancel()
        loop.after_step = None
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
