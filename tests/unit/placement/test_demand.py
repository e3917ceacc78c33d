"""Who wants a model that is not loaded, and for how long that counts."""

from __future__ import annotations

import pytest

from ringfence.placement.demand import MISS_LASTS_S, Demands
from ringfence.placement.planning import Demand


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nudges() -> list[float]:
    return []


@pytest.fixture
def demands(clock: Clock, nudges: list[float]) -> Demands:
    return Demands(clock, lambda: nudges.append(clock.now_s))


def test_how_many_wait_since_when_and_the_best_class_of_them(demands: Demands, clock: Clock) -> None:
    first = demands.wait("big", 2)
    clock.now_s = 110.0
    second = demands.wait("big", 1)
    assert demands.all() == (Demand("big", 2, 100.0, 1),)
    assert demands.waiting("big") == 2
    first.end()
    assert demands.all() == (Demand("big", 1, 110.0, 1),)
    first.end()  # again
    assert demands.waiting("big") == 1
    second.end()
    assert demands.all() == () and demands.waiting("big") == 0 == demands.waiting("unknown")


@pytest.mark.parametrize(("said", "meant"), [(-1, 0), (0, 0), (2, 2), (9, 2)])
def test_a_class_beyond_the_last_is_the_last(demands: Demands, said: int, meant: int) -> None:
    wait = demands.wait("big", said)
    [demand] = demands.all()
    assert demand.urgency == meant
    wait.end()
    assert demands.all() == ()


def test_who_went_elsewhere_counts_for_a_while_and_the_wish_is_as_old_as_the_first(
    demands: Demands, clock: Clock
) -> None:
    demands.miss("big", 2)
    clock.now_s = 120.0
    demands.miss("big", 1)
    assert demands.all() == (Demand("big", 1, 100.0, 1),)
    assert demands.fades_s() == 120.0 + MISS_LASTS_S
    clock.now_s = 120.0 + MISS_LASTS_S
    assert demands.all() != ()
    clock.now_s += 0.1
    assert demands.all() == () and demands.fades_s() is None
    demands.miss("big", 2)
    assert demands.all() == (Demand("big", 1, clock.now_s, 2),), "a new wish, of its own class"


def test_once_it_is_here_who_went_elsewhere_needs_it_no_more(demands: Demands) -> None:
    demands.miss("big")
    demands.met("big")
    demands.met("unknown")
    assert demands.all() == ()


def test_one_that_was_here_says_when_it_left(demands: Demands, clock: Clock) -> None:
    demands.left("big")
    clock.now_s = 130.0
    demands.wait("big")
    [demand] = demands.all()
    assert (demand.left_s, demand.since_s) == (100.0, 130.0)


def test_whoever_plans_is_told_of_the_first_and_not_of_each(
    demands: Demands, clock: Clock, nudges: list[float]
) -> None:
    wait = demands.wait("big")
    demands.wait("big").end()
    assert nudges == [100.0]
    wait.end()
    clock.now_s = 101.0
    demands.wait("big")
    assert nudges == [100.0, 101.0]
    clock.now_s = 102.0
    demands.miss("small")
    clock.now_s = 103.0
    demands.miss("small")
    assert nudges == [100.0, 101.0, 102.0]


def test_what_is_not_configured_any_more_is_forgotten_with_those_who_wait(demands: Demands) -> None:
    demands.miss("big")
    wait = demands.wait("big")
    demands.forget("big")
    demands.forget("unknown")
    assert demands.all() == () and demands.waiting("big") == 0
    again = demands.wait("big", 1)
    wait.end()  # of before: it takes nothing from who waits now
    assert [(one.waiting, one.urgency) for one in demands.all()] == [(1, 1)]
    again.end()
    assert demands.all() == ()


def test_a_wish_does_not_fade_while_somebody_waits(demands: Demands, clock: Clock) -> None:
    demands.miss("big", 2)
    clock.now_s = 110.0
    demands.wait("big", 1)
    assert demands.fades_s() is None
    assert demands.all() == (Demand("big", 1, 100.0, 1),), "both are one wish, as old as the first"
