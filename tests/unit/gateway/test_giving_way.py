"""What works in the background is stopped for another's sake, until it has something to show."""

from __future__ import annotations

import asyncio

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.route import Urgency
from ringfence.gateway.admission import Admission
from ringfence.gateway.giving_way import Yielded, giving_way
from ringfence.gateway.lane import Asking, Lane
from ringfence.gateway.step import Run, Waiter

AT = Target("a", "fast", "vllm", "m", Boundary.HOST, slots=1)


class Works:
    """One request in the background. `ended` is what came of it."""

    def __init__(self, lane: Lane, asking: Asking) -> None:
        self.byte: Waiter[str] = Waiter()
        self.began = self.stopped = False
        self.ended: object = None
        self.lane, self.asking = lane, asking
        self.run = Run(self._run())
        self.run.step()

    async def _open(self) -> str:
        self.began = True
        try:
            byte = await self.byte
        except asyncio.CancelledError:
            self.stopped = True
            raise
        if byte == "broken":
            raise LookupError(byte)
        return byte

    async def _run(self) -> None:
        try:
            self.ended = await giving_way(self.lane, self.asking, self._open)
        except (Yielded, LookupError) as ended:
            self.ended = ended
            self.lane.leave()


async def lane_with(asking: Asking) -> tuple[Admission, Lane]:
    admission = Admission(8, 1.0)
    return admission, await admission.place(AT, 0, asking)


async def test_it_is_stopped_at_once_and_the_other_has_the_place() -> None:
    asking = Asking(Urgency.BACKGROUND)
    _, lane = await lane_with(asking)
    works = Works(lane, asking)
    assert lane.join(Asking(Urgency.AGENT))
    assert works.stopped and isinstance(works.ended, Yielded)
    assert (lane.running, asking.yields, lane.yielding) == (1, 1, {})


@pytest.mark.parametrize("byte", ["a byte", "broken"])
async def test_what_came_of_it_comes_of_it(byte: str) -> None:
    asking = Asking(Urgency.BACKGROUND)
    _, lane = await lane_with(asking)
    works = Works(lane, asking)
    works.byte.wake(byte)
    assert works.ended == byte or isinstance(works.ended, LookupError)
    assert not works.stopped and lane.yielding == {}
    assert lane.join(Asking()) is (byte == "broken")


async def test_one_for_which_somebody_waits_already_is_not_begun() -> None:
    asking = Asking(Urgency.BACKGROUND)
    _, lane = await lane_with(asking)
    user = Asking()
    assert not lane.join(user)
    works = Works(lane, asking)
    assert isinstance(works.ended, Yielded) and not works.began
    assert user.waiter.is_done


async def test_a_caller_that_goes_away_stops_it() -> None:
    asking = Asking(Urgency.BACKGROUND)
    _, lane = await lane_with(asking)
    works = Works(lane, asking)
    works.run.cancel()
    assert works.stopped and works.ended is None and lane.yielding == {}


async def test_one_that_was_promoted_is_not_stopped_for_its_own_kind() -> None:
    asking = Asking(Urgency.BACKGROUND)
    _, lane = await lane_with(asking)
    asking.level = Urgency.AGENT
    works = Works(lane, asking)
    assert not lane.join(Asking(Urgency.AGENT)) and works.ended is None
    assert lane.join(user := Asking()) and user.waiter.is_done
    works.run.cancel()


async def test_none_is_stopped_where_that_would_not_be_enough() -> None:
    at = Target("a", "fast", "vllm", "m", Boundary.HOST, slots=4, kv_tokens=1000)
    admission, mine = Admission(8, 1.0), Asking(Urgency.BACKGROUND)
    lane = await admission.place(at, 700, Asking())
    await admission.place(at, 200, mine)
    works = Works(lane, mine)
    assert not lane.join(Asking(tokens=900)) and works.ended is None
    works.run.cancel()
