"""The states and the patience, without a process and without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.placement.lifecycle import TRANSITIONS, Backoff, Cause, ImpossibleMove, Pace, State, after


def test_every_state_can_be_stopped_and_reached() -> None:
    assert all(after(state, Cause.STOPPED) is State.STOPPED for state in State)
    assert set(TRANSITIONS.values()) == set(State)


@pytest.mark.parametrize(
    ("state", "cause"), [(State.STOPPED, Cause.LISTENING), (State.DRAINING, Cause.BEGUN), (State.READY, Cause.BEGUN)]
)
def test_a_move_that_cannot_be_is_a_fault_of_ours(state: State, cause: Cause) -> None:
    with pytest.raises(ImpossibleMove):
        after(state, cause)


def test_a_draining_instance_is_never_started_again() -> None:
    leaving = {cause: target for (state, cause), target in TRANSITIONS.items() if state is State.DRAINING}
    assert set(leaving.values()) == {State.DRAINING, State.STOPPING, State.STOPPED, State.FAILED}


def test_delays_double_up_to_the_longest() -> None:
    backoff = Backoff(Pace(), lambda: 1.0)
    delays = [backoff.broke(f"reason {number}", None)[0] for number in range(12)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 30.0
    assert delays == sorted(delays)


def test_one_that_was_ready_is_back_soon_however_often_it_dies() -> None:
    backoff = Backoff(Pace(), lambda: 1.0)
    delays = [backoff.broke("killed", healthy_s=0.1)[0] for _ in range(50)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.5]
    assert set(delays[4:]) == {0.5}
    assert backoff.broke("killed while it started", None)[0] == 0.1  # what came before does not count against it


def test_being_ready_makes_failures_to_start_count_anew() -> None:
    backoff = Backoff(Pace(), lambda: 1.0)
    for number in range(10):
        backoff.broke(f"reason {number}", None)
    backoff.broke("killed", healthy_s=0.1)
    assert backoff.broke("another reason", None)[0] == 0.1


def test_good_health_is_forgiving() -> None:
    backoff = Backoff(Pace(), lambda: 1.0)
    for _ in range(8):
        backoff.broke("killed", healthy_s=1.0)
    assert backoff.broke("killed", healthy_s=60.0)[0] == 0.1


def test_the_same_failure_to_start_three_times_is_final_and_seldom_tried_again() -> None:
    backoff = Backoff(Pace(), lambda: 1.0)
    answers = [backoff.broke("no such file", None) for _ in range(4)]
    assert [final for _delay, final in answers] == [False, False, True, True]
    assert answers[-1][0] == 300.0
    assert backoff.broke("another reason", None)[1] is False


def test_a_start_in_between_makes_it_count_anew() -> None:
    backoff = Backoff(Pace(), lambda: 1.0)
    reasons = [("bad", None), ("bad", None), ("killed", 1.0), ("bad", None), ("bad", None)]
    assert not any(backoff.broke(*reason)[1] for reason in reasons)


@given(chances=st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_a_delay_is_never_longer_than_the_longest_and_the_first_is_short(chances: list[float]) -> None:
    left = iter(chances)
    backoff = Backoff(Pace(), lambda: next(left))
    delays = [backoff.broke("killed", healthy_s=1.0)[0] for _ in chances]
    assert delays[0] <= 0.1
    assert all(0 < delay <= 0.5 for delay in delays)


def test_a_large_model_is_given_time_to_load() -> None:
    pace = Pace()
    assert pace.start_timeout_s(0) == 30.0
    assert pace.start_timeout_s(20 * 1024**3) == pytest.approx(30 + 102.4)
