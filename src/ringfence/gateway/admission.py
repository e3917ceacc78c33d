"""A place before each target: so many at a time, the rest wait in order, and neither queue nor wait is unbounded.

Some engines have one context for all that they work on (llama.cpp without `-np`): each request fits it, and several
together do not, whereupon all of them fail. Where that is known of a target, or once it has failed so, its requests are
let in as long as what they weigh fits the context together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ringfence.core.catalog import Target
from ringfence.core.errors import Overloaded
from ringfence.gateway.step import Waiter

SEVERAL = ("n", "best_of", "n_cmpl")
"""How many answers a request wants, by its names."""


class Turn(Waiter[bool]):
    """One who waits, and what it weighs."""

    __slots__ = ("tokens",)

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens


class Lane:
    """The places and the queue of one target. `room` is the context that all share, in tokens; None where each place
    has its own, as far as is known. `used` is what those in places weigh. `share` is of the places: below 1 while the
    target is slowed."""

    __slots__ = ("_is_admitting", "free", "places", "room", "share", "used", "waiting")

    def __init__(self, places: int) -> None:
        self.places = places
        self.free = places
        self.room: int | None = None
        self.used = 0
        self.share = 1.0
        self.waiting: deque[Turn] = deque()
        self._is_admitting = False

    @property
    def running(self) -> int:
        return self.places - self.free

    def resize(self, places: int) -> None:
        self.free += places - self.places
        self.places = places
        self._admit()

    def slow(self, share: float) -> None:
        """One place is always left."""
        self.share = share
        self._admit()

    def has_room(self, tokens: int) -> bool:
        """One alone is always let in: there is nothing that it could wait for."""
        if self.share != 1.0 and self.running >= max(1, int(self.places * self.share)):
            return False
        return self.free > 0 and (self.room is None or self.running == 0 or self.used + tokens <= self.room)

    def enter(self, tokens: int) -> None:
        self.free -= 1
        self.used += tokens

    def leave(self, tokens: int = 0) -> None:
        """`tokens` as it entered with, less what it was lightened by."""
        self.free += 1
        self.used -= tokens
        if self.waiting:
            self._admit()

    def lighten(self, tokens: int) -> None:
        """One in its place weighs so much less than was thought."""
        self.used -= tokens
        if self.room is not None:
            self._admit()

    def _admit(self) -> None:
        """Who is woken goes on at once, and may leave before `wake` returns: those after it are let in by this loop and
        not from within, as a queue is longer than calls may lie within calls."""
        if self._is_admitting:
            return
        self._is_admitting = True
        try:
            while self.waiting and self.has_room(self.waiting[0].tokens):
                turn = self.waiting.popleft()
                self.enter(turn.tokens)
                turn.wake(True)
        finally:
            self._is_admitting = False


class Admission:
    """`queue` is how many may wait per target, `wait_s` how long."""

    def __init__(self, queue: int, wait_s: float) -> None:
        self.queue = queue
        self.wait_s = wait_s
        self.lanes: dict[str, Lane] = {}
        self.slowed: dict[str, float] = {}
        """By target, the share of its places that it has while its device is too hot or too busy."""

    def slow(self, shares: Mapping[str, float]) -> None:
        """From now on these targets have so much of their places, and all others all. Nobody in a place is sent away,
        and requests in the background are not begun there."""
        self.slowed = dict(shares)
        for name, lane in self.lanes.items():
            lane.slow(self.slowed.get(name, 1.0))

    def crowded(self, target: Target) -> None:
        """Its engine says that what it works on does not fit its context together."""
        lane = self.lanes.get(target.name)
        if lane is not None:
            lane.room = target.window

    def shared(self, target: Target, body: dict[str, Any]) -> tuple[Target, int]:
        """The target as one of the answers to this call finds it, and how many share its context at a time."""
        lane = self.lanes.get(target.name)
        room = lane.room if lane is not None else None
        if lane is not None and room is not None and room != target.window:  # started anew
            room = lane.room = None
        if target.window is None or (room is None and not target.shares_window):
            return target, 1
        parts = max(1, min(answers(body), target.slots, target.window // 2))
        return (target, 1) if parts == 1 else (replace(target, window=target.window // parts), parts)

    def take(self, target: Target, tokens: int = 0) -> Lane | None:
        """A place that is free now, for a call that weighs so much; None when one must wait for it."""
        lane = self.lanes.get(target.name)
        if lane is None or lane.places != target.slots or lane.waiting:
            return None
        if target.shares_window and lane.room is None:
            lane.room = target.window
        if lane.free <= 0 or ((lane.room is not None or lane.share != 1.0) and not lane.has_room(tokens)):
            return None
        lane.free -= 1
        lane.used += tokens
        return lane

    async def place(self, target: Target, tokens: int = 0) -> Lane:
        """A place; give it back with `leave()`. Overloaded when the queue is full or the wait too long.

        Places are given in the order of asking: nobody passes those who wait.
        """
        lane = self.lanes.get(target.name)
        if lane is None:
            lane = self.lanes[target.name] = Lane(target.slots)
            lane.share = self.slowed.get(target.name, 1.0)
            lane.room = target.window if target.shares_window else None
        elif lane.places != target.slots:
            lane.resize(target.slots)
        if lane.has_room(tokens) and not lane.waiting:
            lane.enter(tokens)
            return lane
        if len(lane.waiting) >= self.queue:
            raise Overloaded(
                f"{self.queue} requests already wait for '{target.model}'. Try again shortly.", retry_after_s=2
            )
        turn = Turn(tokens)
        lane.waiting.append(turn)
        timer = asyncio.get_running_loop().call_later(self.wait_s, _give_up, lane, turn)
        try:
            admitted = await turn
        except asyncio.CancelledError:
            if turn.is_done and turn.value:  # admitted in the same moment: pass the place on
                lane.leave(tokens)
            elif turn in lane.waiting:
                _withdraw(lane, turn)
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


def answers(body: dict[str, Any]) -> int:
    """How many are asked for at once: `n` to each prompt."""
    each = max((given for name in SEVERAL if type(given := body.get(name)) is int), default=1)
    prompts: Any = body.get("prompt", body.get("input"))
    listed = cast("list[Any]", prompts) if type(prompts) is list else []
    is_tokens = all(type(one) is int for one in listed)
    return max(1, each) * (1 if is_tokens else max(1, len(listed)))


def _give_up(lane: Lane, turn: Turn) -> None:
    if turn in lane.waiting:
        _withdraw(lane, turn)
        turn.wake(False)


def _withdraw(lane: Lane, turn: Turn) -> None:
    lane.waiting.remove(turn)
    lane.lighten(0)  # the next may be lighter, and fit
