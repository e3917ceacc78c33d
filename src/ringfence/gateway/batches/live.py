"""One batch that is worked on, and its lines that are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.route import Urgency
from ringfence.gateway.batches.line import Line
from ringfence.gateway.call import Call
from ringfence.gateway.step import Run
from ringfence.store.batches import Batch

MOST_BROKEN = 3
"""So many times an engine may fail on one line, and answer others; then that is its answer."""


class Live:
    """One batch until it ends."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.answered: set[int] = set()
        """Lines that are written down."""
        self.going: dict[int, Going] = {}
        self.out: set[int] = set()
        """Lines that are with a provider, or on their way there."""
        self.direct: set[int] = set()
        """Lines that came back from there without an answer."""
        self.stop = ""
        """The state in which it is to end before all is answered."""
        self.errors: Sequence[Mapping[str, Any]] = ()
        self.task: asyncio.Task[None] | None = None
        self.served = 0
        """Lines that were answered since the start."""
        self._broken: dict[int, tuple[int, int]] = {}

    @property
    def is_all_out(self) -> bool:
        """Nothing is left to be begun: all that is not answered is with a provider."""
        return bool(self.out) and len(self.answered) + len(self.out) >= self.batch.total

    def reach(self, number: int) -> Boundary:
        """How far the text of this line may travel."""
        reaches = self.batch.reaches
        most = Boundary(self.batch.boundary)
        return min(most, Boundary(int(reaches[number - 1]))) if reaches else Boundary.HOST

    def is_late(self, now_s: float) -> bool:
        """More than half of its time is gone: it keeps still for others no more."""
        return now_s > (max(self.batch.created_s, self.batch.not_before_s) + self.batch.expires_s) / 2

    def has_broken(self, number: int) -> bool:
        """A target failed on this line: others come first."""
        return number in self._broken

    def gives_up(self, number: int, *, is_ours: bool = False) -> bool:
        """A target failed on this line. One that fails on every line is waited for: it counts again only where others
        were answered since it broke first. What is ours is not waited for."""
        count, first = self._broken.get(number, (0, self.served))
        count += is_ours or not count or self.served > first
        self._broken[number] = (count, first)
        return count >= MOST_BROKEN


class Going:
    """One line under way."""

    def __init__(self, live: Live, line: Line) -> None:
        self.live = live
        self.line = line
        self.run: Run | None = None
        self.call: Call | None = None
        self.is_writing = False
        """It was answered: it is not stopped any more."""

    def stands_in_the_way_of(self, call: Call, under_way: Iterable[Call]) -> bool:
        """Whether both may be at work on the same machine: the line, or what is asked for its sake. What is held for
        is with a provider, keeps no machine busy here, and would be paid for once more."""
        if call.urgency is Urgency.BACKGROUND or self.is_writing:
            return False
        if self.call is None:
            return True
        asked = [self.call, *(one for one in under_way if one.within == self.call.id)]
        if any(one.hold for one in asked):
            return False
        if self.call.decision is None or call.decision is None:
            return True
        targets = [target for one in asked if one.decision is not None for target in one.decision.chain.targets]
        return any(_share(wanted, one) for wanted in call.decision.chain.targets for one in targets)

    def start(self, serving: Coroutine[Any, Any, None]) -> None:
        self.run = Run(serving)
        self.run.step()

    def stop(self) -> None:
        if self.run is not None and not self.is_writing:
            self.run.cancel()


def _share(wanted: Target, other: Target) -> bool:
    """Whether they may be on one machine."""
    if wanted.boundary is Boundary.HOST:
        return other.boundary is Boundary.HOST
    return wanted.boundary is Boundary.MESH and other.name == wanted.name
