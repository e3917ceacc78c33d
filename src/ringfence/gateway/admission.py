"""A place before each target: so many at a time, the rest wait in order, and neither queue nor wait is unbounded."""

from __future__ import annotations

import asyncio
from collections import deque

from ringfence.core.catalog import Target
from ringfence.core.errors import Overloaded
from ringfence.gateway.step import Waiter


class Lane:
    """The places and the queue of one target."""

    __slots__ = ("free", "places", "waiting")

    def __init__(self, places: int) -> None:
        self.places = places
        self.free = places
        self.waiting: deque[Waiter[bool]] = deque()

    @property
    def running(self) -> int:
        return self.places - self.free

    def resize(self, places: int) -> None:
        self.free += places - self.places
        self.places = places
        self._admit()

    def leave(self) -> None:
        self.free += 1
        if self.waiting:
            self._admit()

    def _admit(self) -> None:
        while self.free > 0 and self.waiting:
            self.free -= 1
            self.waiting.popleft().wake(True)


class Admission:
    """`queue` is how many may wait per target, `wait_s` how long."""

    def __init__(self, queue: int, wait_s: float) -> None:
        self.queue = queue
        self.wait_s = wait_s
        self.lanes: dict[str, Lane] = {}

    def take(self, target: Target) -> Lane | None:
        """A place that is free now; None when one must wait for it."""
        lane = self.lanes.get(target.name)
        if lane is None or lane.places != target.slots or lane.free <= 0 or lane.waiting:
            return None
        lane.free -= 1
        return lane

    async def place(self, target: Target) -> Lane:
        """A place; give it back with `leave()`. Overloaded when the queue is full or the wait too long.

        Places are given in the order of asking: nobody passes those who wait.
        """
        lane = self.lanes.get(target.name)
        if lane is None:
            lane = self.lanes[target.name] = Lane(target.slots)
        elif lane.places != target.slots:
            lane.resize(target.slots)
        if lane.free > 0 and not lane.waiting:
            lane.free -= 1
            return lane
        if len(lane.waiting) >= self.queue:
            raise Overloaded(
                f"{self.queue} requests already wait for '{target.model}'. Try again shortly.", retry_after_s=2
            )
        turn: Waiter[bool] = Waiter()
        lane.waiting.append(turn)
        timer = asyncio.get_running_loop().call_later(self.wait_s, _give_up, lane, turn)
        try:
            admitted = await turn
        except asyncio.CancelledError:
            if turn.is_done and turn.value:  # admitted in the same moment: pass the place on
                lane.leave()
            elif turn in lane.waiting:
                lane.waiting.remove(turn)
            raise
        finally:
            timer.cancel()
        if not admitted:
            raise Overloaded(
                f"No place for '{target.model}' became free within {self.wait_s:g} s.",
                code="queue_timeout",
                retry_after_s=5,
            )
        return lane


def _give_up(lane: Lane, turn: Waiter[bool]) -> None:
    if turn in lane.waiting:
        lane.waiting.remove(turn)
        turn.wake(False)
