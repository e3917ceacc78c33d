"""Places before a target: never more than there are, none lost, first come first served."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Target
from ringfence.core.errors import Overloaded
from ringfence.gateway.admission import Admission
from ringfence.gateway.lane import Asking, Lane, Told
from ringfence.gateway.step import Run


def target(slots: int, name: str = "a") -> Target:
    return Target(name, "fast", "vllm", "m", Boundary.HOST, slots=slots)


class Asker:
    """One call that wants a place."""

    def __init__(self, admission: Admission, at: Target) -> None:
        self.lane: Lane | None = None
        self.failure: Overloaded | None = None
        self.was_cancelled = False
        self.run = Run(self._ask(admission, at))
        self.run.step()

    async def _ask(self, admission: Admission, at: Target) -> None:
        try:
            self.lane = admission.take(at) or await admission.place(at)
        except Overloaded as failure:
            self.failure = failure
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise

    def leave(self) -> None:
        lane, self.lane = self.lane, None
        assert lane is not None
        lane.leave()


async def test_places_are_given_in_the_order_of_asking() -> None:
    admission, at = Admission(10, 5), target(2)
    askers = [Asker(admission, at) for _ in range(6)]
    assert [asker.lane is not None for asker in askers] == [True, True, False, False, False, False]
    for served in range(4):
        askers[served].leave()
        assert [asker.lane is not None for asker in askers[served:]] == [
            False, True, True, *[False] * (3 - served)
        ]  # fmt: skip
    assert admission.lanes["a"].running == 2


async def test_a_free_place_is_not_for_those_who_come_later() -> None:
    admission, at = Admission(10, 5), target(1)
    first, second = Asker(admission, at), Asker(admission, at)
    lane = admission.lanes["a"]
    assert admission.take(at) is None
    first.leave()
    assert second.lane is not None
    assert admission.take(at) is None
    second.leave()
    assert (lane.free, admission.take(at)) == (1, lane)


async def test_the_queue_is_bounded() -> None:
    admission, at = Admission(2, 5), target(1)
    askers = [Asker(admission, at) for _ in range(4)]
    assert askers[3].failure is not None
    assert (askers[3].failure.status, askers[3].failure.retry_after_s) == (503, 2)
    askers[0].leave()
    assert Asker(admission, at).failure is None


async def test_the_wait_is_bounded_and_the_turn_given_up() -> None:
    admission, at = Admission(5, 0.02), target(1)
    first, second = Asker(admission, at), Asker(admission, at)
    async with asyncio.timeout(25):
        while second.failure is None:
            await asyncio.sleep(0.01)
    assert second.failure.code == "queue_timeout"
    first.leave()
    assert (admission.lanes["a"].free, len(admission.lanes["a"].waiting)) == (1, 0)


async def test_who_is_cancelled_in_the_queue_leaves_it() -> None:
    admission, at = Admission(5, 5), target(1)
    first, second, third = [Asker(admission, at) for _ in range(3)]
    second.run.cancel()
    assert second.was_cancelled
    first.leave()
    assert third.lane is not None
    third.leave()
    assert admission.lanes["a"].free == 1


async def test_more_and_fewer_places() -> None:
    admission = Admission(10, 5)
    askers = [Asker(admission, target(1)) for _ in range(3)]
    extra = Asker(admission, target(3))
    assert [asker.lane is not None for asker in (*askers, extra)] == [True, True, True, False]
    late = Asker(admission, target(1))
    askers[0].leave()
    askers[1].leave()
    assert (extra.lane, late.lane) == (None, None)  # one place is left, and it is taken
    askers[2].leave()
    assert extra.lane is not None
    extra.leave()
    assert late.lane is not None


async def test_a_long_queue_of_calls_that_fail_at_once_is_let_in_one_after_the_other() -> None:
    """Each gives its place back before whoever let it in goes on."""
    admission, at = Admission(2000, 5), target(1)
    left: list[int] = []

    async def fails(number: int) -> None:
        lane = await admission.place(at, 10)
        left.append(number)
        lane.leave(10)

    first = Asker(admission, at)
    runs = [Run(fails(number)) for number in range(2000)]
    for run in runs:
        run.step()
    first.leave()
    assert left == list(range(2000))
    lane = admission.lanes["a"]
    assert (lane.running, lane.used, len(lane.waiting)) == (0, 0, 0)


async def test_targets_do_not_share_places() -> None:
    admission = Admission(0, 5)
    assert Asker(admission, target(1, "a")).lane is not None
    assert Asker(admission, target(1, "b")).lane is not None
    assert Asker(admission, target(1, "a")).failure is not None


MOVES = st.lists(
    st.tuples(st.sampled_from(["ask", "leave", "cancel", "resize", "late"]), st.integers(0, 99)), max_size=80
)


@settings(deadline=None, max_examples=150)
@given(moves=MOVES)
async def test_places_are_never_exceeded_and_none_is_lost(moves: list[tuple[str, int]]) -> None:
    admission, slots = Admission(5, 60), 2
    askers: list[Asker] = []
    for move, number in moves:
        before = sum(asker.lane is not None for asker in askers)
        holding = [asker for asker in askers if asker.lane is not None]
        waiting = [asker for asker in askers if not asker.run.is_done]
        match move:
            case "ask":
                askers.append(Asker(admission, target(slots)))
            case "leave" if holding:
                holding[number % len(holding)].leave()
            case "cancel" if waiting:
                waiting[number % len(waiting)].run.cancel()
            case "resize" if "a" in admission.lanes:
                slots = 1 + number % 4
                admission.lanes["a"].resize(slots)
            case "late" if waiting and admission.lanes["a"].waiting:
                lane = admission.lanes["a"]
                first = lane.queue.first(0.0)
                assert isinstance(first, Asking)
                lane.withdraw(first, Told.LATE)
            case _:
                continue
        _check(admission, askers, before)
    for asker in askers:
        if not asker.run.is_done:
            asker.run.cancel()
    for asker in askers:
        if asker.lane is not None:
            asker.leave()
    for lane in admission.lanes.values():
        assert (lane.free, len(lane.waiting), lane.places) == (slots, 0, slots)


def _check(admission: Admission, askers: list[Asker], before: int) -> None:
    lane = admission.lanes["a"]
    holding = sum(asker.lane is not None for asker in askers)
    assert lane.running == holding
    assert holding <= max(lane.places, before)  # fewer places take none away, but give none either
    assert len(lane.waiting) <= 5
    assert len(lane.waiting) == sum(not asker.run.is_done for asker in askers)
    assert lane.free <= 0 or not lane.waiting
    order = [asker for asker in askers if asker.failure is None and not asker.was_cancelled]
    states = [not asker.run.is_done for asker in order]
    assert states == sorted(states)  # nobody passed one who still waits


@pytest.mark.parametrize("slots", [1, 3])
async def test_a_full_lane_never_runs_more_than_its_places(slots: int) -> None:
    admission, at = Admission(100, 5), target(slots)
    askers = [Asker(admission, at) for _ in range(50)]
    for _ in range(50):
        holding = [asker for asker in askers if asker.lane is not None]
        assert len(holding) <= slots
        holding[0].leave()
    assert admission.lanes["a"].free == slots


class TestSlowed:
    async def test_half_of_the_places_and_at_least_one(self) -> None:
        admission, wide, narrow = Admission(10, 5), target(5), target(1, "b")
        admission.slow({"a": 0.5, "b": 0.5})
        askers = [Asker(admission, wide) for _ in range(5)]
        assert sum(asker.lane is not None for asker in askers) == 2
        assert Asker(admission, narrow).lane is not None
        askers[0].leave()
        assert [asker.lane is not None for asker in askers] == [False, True, True, False, False]
        admission.slow({})
        assert [asker.lane is not None for asker in askers] == [False, True, True, True, True]

    async def test_who_is_in_stays_and_the_next_waits(self) -> None:
        admission, at = Admission(10, 5), target(4)
        askers = [Asker(admission, at) for _ in range(4)]
        admission.slow({"a": 0.5})
        late = Asker(admission, at)
        for asker in askers[:2]:
            asker.leave()
            assert late.lane is None
        askers[2].leave()
        assert late.lane is not None
        askers[3].leave()
        late.leave()
        assert (admission.lanes["a"].running, admission.lanes["a"].free) == (0, 4)


async def test_new_places_are_for_those_who_wait_at_once() -> None:
    admission = Admission(10, 5)
    askers = [Asker(admission, target(1)) for _ in range(4)]
    admission.follow([target(3), target(9, "b")])
    assert [asker.lane is not None for asker in askers] == [True, True, True, False]
    assert list(admission.lanes) == ["a"]
    for asker in askers:
        asker.leave()


async def test_a_call_decided_before_does_not_bring_back_the_places_there_were() -> None:
    admission, before, now = Admission(10, 5), target(4), target(1)
    askers = [Asker(admission, before) for _ in range(4)]
    admission.follow([now])
    askers += [Asker(admission, now), Asker(admission, before)]
    assert (admission.lanes["a"].places, len(admission.lanes["a"].waiting)) == (1, 2)
    for asker in askers[:3]:
        asker.leave()
    assert askers[4].lane is None
    askers[3].leave()
    assert askers[4].lane is not None and askers[5].lane is None
    askers[4].leave()
    askers[5].leave()


async def test_whoever_is_let_in_may_go_on_to_a_target_that_nobody_had_asked_for() -> None:
    admission = Admission(10, 5)
    first, other = Asker(admission, target(2)), Asker(admission, target(2))
    went_on: list[Lane] = []

    async def passes_through() -> None:
        (await admission.place(target(2))).leave()
        went_on.append(await admission.place(target(1, "b")))

    admission.slow({"a": 0.5})
    run = Run(passes_through())
    run.step()
    first.leave()
    assert not went_on
    admission.slow({})
    assert run.is_done and len(went_on) == 1
    other.leave()
    went_on[0].leave()
