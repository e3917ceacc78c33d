"""A place before each target: so many at a time, the rest wait in order, and neither queue nor wait is unbounded.

Some engines have one context for all that they work on (llama.cpp without `-np`): each request fits it, and several
together do not, whereupon all of them fail. Where that is known of a target, or once it has failed so, its requests are
let in as long as what they weigh fits the context together. Others tell how many tokens they can keep (vLLM): more than
that they begin, and then push out and compute anew, so that all are slower. Their requests wait as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, cast

from ringfence.core.catalog import Target
from ringfence.core.errors import Overloaded
from ringfence.core.route import Urgency
from ringfence.gateway.lane import BACKGROUND, PROMOTE_S, Asking, Lane, Told

SEVERAL = ("n", "best_of", "n_cmpl")
"""How many answers a request wants, by its names."""
UNASKED_TOKENS = 1024
"""What a request that names no limit for its answer is taken to need of what an engine can keep: few answers are
longer. With all that its window allows, two such requests would often be all that an engine works on at a time; where
many are longer after all, vLLM pushes some out and computes them anew, as it would by itself."""
BUSY_RETRY_S, LATE_RETRY_S = 2.0, 5.0
"""When to come again, while nobody knows for how long places are held."""
MOST_RETRY_S = 120.0


class Admission:
    """`queue` is how many may wait per target, `wait_s` how long; whoever has waited for `promote_s` counts as one
    class higher."""

    def __init__(
        self, queue: int, wait_s: float, promote_s: float = PROMOTE_S, clock: Callable[[], float] = monotonic
    ) -> None:
        self.queue = queue
        self.wait_s = wait_s
        self.promote_s = promote_s
        self.lanes: dict[str, Lane] = {}
        self.slowed: dict[str, float] = {}
        """By target, the share of its places that it has while its device is too hot or too busy."""
        self._newest: dict[str, Target] = {}
        self._clock = clock

    def settle(self, queue: int, wait_s: float, promote_s: float) -> None:
        """The owner's figures, for whoever comes from now on."""
        self.queue, self.wait_s, self.promote_s = queue, wait_s, promote_s
        for lane in self.lanes.values():
            lane.queue.promote_s = promote_s

    def follow(self, targets: Iterable[Target]) -> None:
        """All that there are from now on. New places are for whoever waits already, and a call that was decided before
        does not bring back the number that there was then."""
        self._newest = {target.name: target for target in targets}
        for name, lane in [*self.lanes.items()]:  # whoever is let in may go on to another target, and make its lane
            if name in self._newest:
                _fit(lane, self._newest[name])

    def slow(self, shares: Mapping[str, float]) -> None:
        """From now on these targets have so much of their places, and all others all. Nobody in a place is sent away,
        and requests in the background are not begun there."""
        self.slowed = dict(shares)
        for name, lane in [*self.lanes.items()]:
            lane.slow(self.slowed.get(name, 1.0))

    def crowded(self, target: Target) -> None:
        """Its engine says that what it works on does not fit its context together."""
        lane = self.lanes.get(target.name)
        if lane is not None and lane.kv_tokens is None:
            lane.room = target.window

    def shared(self, target: Target, body: dict[str, Any]) -> tuple[Target, int]:
        """The target as one of the answers to this call finds it, and how many share its context at a time."""
        lane = self.lanes.get(target.name)
        room = lane.room if lane is not None and lane.kv_tokens is None else None
        if lane is not None and room is not None and room != target.window:  # started anew
            room = lane.room = None
        if target.window is None or (room is None and not target.shares_window):
            return target, 1
        parts = max(1, min(answers(body), target.slots, target.window // 2))
        return (target, 1) if parts == 1 else (replace(target, window=target.window // parts), parts)

    def take(self, target: Target, tokens: int = 0, urgency: Urgency = Urgency.USER) -> Lane | None:
        """A place that is free now, for a call that weighs so much; None when one must wait for it, or look closer.
        Not for requests in the background: those have to be known by who they are."""
        lane = self.lanes.get(target.name)
        if lane is None or lane.places != target.slots or lane.waiting or urgency is BACKGROUND:
            return None
        if lane.kv_tokens != target.kv_tokens:
            return None
        if target.shares_window and lane.room is None:
            lane.room = target.window
        if lane.free <= 0 or ((lane.room is not None or lane.share != 1.0) and not lane.has_room(tokens)):
            return None
        lane.free -= 1
        lane.used += tokens
        return lane

    async def place(self, target: Target, tokens: int = 0, asking: Asking | None = None) -> Lane:
        """A place; give it back with `leave()`. Overloaded when the queue is full or the wait too long. An `asking`
        that had a place here and gave it back stands where it stood."""
        asking = asking or Asking()
        asking.tokens = tokens
        lane = self._lane(target)
        if lane.join(asking):
            return lane
        if len(lane.waiting) > self.queue and not asking.yields:
            leaves = lane.queue.gives_way(asking)
            if not isinstance(leaves, Asking) or leaves is asking:
                lane.withdraw(asking)
                raise self._full(target, lane)
            lane.withdraw(leaves, Told.PUSHED_OUT)
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(self.wait_s, lane.withdraw, asking, Told.LATE)]
        now_s = self._clock()
        timers += [loop.call_later(at_s - now_s, lane.look, at_s) for at_s in self._promotions_s(lane, asking)]
        try:
            told = await asking.waiter
        except asyncio.CancelledError:
            if (
                asking.waiter.is_done and asking.waiter.value is Told.GO
            ):  # admitted in the same moment: pass the place on
                lane.leave(tokens)
            else:
                lane.withdraw(asking)
            raise
        finally:
            for timer in timers:
                timer.cancel()
        if told is not Told.GO:
            raise self._full(target, lane) if told is Told.PUSHED_OUT else self._late(target, lane)
        return lane

    def _promotions_s(self, lane: Lane, asking: Asking) -> list[float]:
        """When it counts as higher, where it may fit then beside those who work while the one that is first now does
        not: nobody need leave for it."""
        return [asking.due_s + n * self.promote_s for n in range(asking.level)] if lane.room is not None else []

    def _lane(self, target: Target) -> Lane:
        target = self._newest.get(target.name, target)
        lane = self.lanes.get(target.name)
        if lane is None:
            lane = self.lanes[target.name] = Lane(target.slots, self.promote_s, self._clock)
            lane.slow(self.slowed.get(target.name, 1.0))
            lane.room = target.window if target.shares_window else None
        _fit(lane, target)
        return lane

    def _full(self, target: Target, lane: Lane) -> Overloaded:
        return Overloaded(
            f"{self.queue} requests already wait for '{target.model}'. Try again shortly.",
            retry_after_s=_retry_s(lane, BUSY_RETRY_S),
        )

    def _late(self, target: Target, lane: Lane) -> Overloaded:
        return Overloaded(
            f"No place for '{target.model}' became free within {self.wait_s:g} s.",
            code="queue_timeout",
            retry_after_s=_retry_s(lane, LATE_RETRY_S),
        )


def _fit(lane: Lane, target: Target) -> None:
    if lane.places != target.slots:
        lane.resize(target.slots)
    if lane.kv_tokens != target.kv_tokens:
        lane.keeps(target.kv_tokens)


def _retry_s(lane: Lane, usual_s: float) -> float:
    """When whoever waits now should have been let in."""
    estimate_s = lane.estimate_s(len(lane.waiting))
    return usual_s if estimate_s is None else min(MOST_RETRY_S, max(1.0, estimate_s))


def answers(body: dict[str, Any]) -> int:
    """How many are asked for at once: `n` to each prompt."""
    each = max((given for name in SEVERAL if type(given := body.get(name)) is int), default=1)
    prompts: Any = body.get("prompt", body.get("input"))
    listed = cast("list[Any]", prompts) if type(prompts) is list else []
    is_tokens = all(type(one) is int for one in listed)
    return max(1, each) * (1 if is_tokens else max(1, len(listed)))
