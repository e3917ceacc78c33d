"""An event loop whose time is simulated: when nothing is left to do, it is the time of the next timer.

Everything that asyncio offers without sockets, processes and threads runs on it, in an order that depends on nothing
but the order in which it was asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")
RESOLUTION_S = 1e-6


class Deadlock(RuntimeError):
    """Everybody waits for somebody, and no timer will ever wake one of them."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`time()` begins at 0. `after_step` is called once in each turn, after what was ready has run.

    Timers stand in a heap of plain tuples, which compare in C: a thousand hours are some tens of millions of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._clock_resolution = RESOLUTION_S
        self._ready: deque[asyncio.Handle] = deque()
        self._stopping = False
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = count()
        self.turns = 0
        self.after_step: Callable[[], None] | None = None

    def time(self) -> float:
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        """Also from within: the machine slept, and every timer of that time is due at once, in its order."""
        self._now_s += seconds

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Of two for one moment, what was asked for first is first."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _run_once(self) -> None:
        """In the place of asyncio's own turn, which waits for sockets too."""
        timers, ready = self._timers, self._ready
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not ready and not self._stopping:
            if not timers:
                raise Deadlock("nothing is ready, and no timer is set")
            self._now_s = max(self._now_s, timers[0][0])
        self.turns += 1
        if self.after_step is not None:
            self.after_step()
        due_s = self._now_s + RESOLUTION_S
        while timers and timers[0][0] < due_s:
            timer = heappop(timers)[2]
            if not timer.cancelled():
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

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
