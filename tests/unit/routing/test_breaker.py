"""A breaker: set aside after a few failures, tried by one at a time, never for longer than it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ringfence.routing.breaker import (
    FAILURES_IN_A_ROW,
    MOST_OPEN_S,
    MOST_TOLD_S,
    OPEN_S,
    PROBE_S,
    RATE_LEAST,
    RATE_WINDOW_S,
    SETTLED_S,
    Breaker,
    Standing,
)


def opened(at_s: float = 0.0, *, is_silent: bool = False) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_IN_A_ROW):
        breaker.failed(at_s, is_silent=is_silent)
    assert breaker.standing(at_s) is Standing.OPEN
    return breaker


class TestOpening:
    def test_failures_in_a_row_open_it_and_a_success_between_them_does_not(self) -> None:
        breaker = Breaker()
        assert [breaker.failed(0.0) for _ in range(FAILURES_IN_A_ROW - 1)] == [False] * (FAILURES_IN_A_ROW - 1)
        breaker.succeeded(0.0)
        assert [breaker.failed(0.0) for _ in range(FAILURES_IN_A_ROW)] == [False, False, True]

    @pytest.mark.parametrize(("every", "is_opened"), [(2, True), (3, False)])
    def test_half_of_the_calls_failing_is_enough(self, every: int, is_opened: bool) -> None:
        breaker = Breaker()
        told = [
            breaker.failed(float(turn)) if turn % every == 1 else breaker.succeeded(float(turn))
            for turn in range(2 * RATE_LEAST)
        ]
        assert (True in told) is is_opened
        if is_opened:
            assert told.index(True) == RATE_LEAST - 1, "not before there are enough of them"

    def test_what_lies_longer_back_than_the_window_does_not_count(self) -> None:
        breaker = Breaker()
        step_s = RATE_WINDOW_S / 4
        for turn in range(40):
            is_opened = breaker.failed(turn * step_s) if turn % 2 else breaker.succeeded(turn * step_s)
            assert not is_opened, "there are never enough of them within it"

    def test_answers_that_come_late_count_as_failures_but_not_in_a_row(self) -> None:
        breaker = Breaker()
        told = [breaker.dragged(0.0) for _ in range(RATE_LEAST)]
        assert told == [False] * (RATE_LEAST - 1) + [True]

    def test_each_time_again_it_is_open_for_longer(self) -> None:
        breaker, now_s, spans = opened(), 0.0, []
        for _ in range(6):
            span_s = breaker.left_s(now_s)
            spans.append(span_s)
            now_s += span_s
            assert breaker.probe(now_s)
            breaker.failed(now_s)
        assert spans == [*OPEN_S, MOST_OPEN_S, MOST_OPEN_S]
        now_s += MOST_OPEN_S
        assert breaker.succeeded(now_s)
        assert [breaker.failed(now_s + 1) for _ in range(3)][-1] and breaker.left_s(now_s + 1) == MOST_OPEN_S
        now_s += 1 + MOST_OPEN_S
        assert breaker.succeeded(now_s)
        now_s += SETTLED_S
        assert [breaker.failed(now_s) for _ in range(3)][-1] and breaker.left_s(now_s) == OPEN_S[0]

    def test_late_failures_of_calls_under_way_change_nothing(self) -> None:
        breaker = opened()
        for _ in range(20):
            assert not breaker.failed(0.5, is_silent=True)
        assert breaker.left_s(0.5) == OPEN_S[0] - 0.5 and not breaker.is_silent

    def test_what_broke_off_too_often_is_set_aside_though_it_begins_to_answer(self) -> None:
        breaker = Breaker()
        breaker.succeeded(0.0)
        assert breaker.broke(0.0) and not breaker.broke(0.0)
        assert breaker.standing(0.0) is Standing.OPEN


class TestReturning:
    def test_one_at_a_time_probes(self) -> None:
        breaker = opened()
        assert breaker.probe(0.5) == 0
        first = breaker.probe(OPEN_S[0])
        assert first and not breaker.may_probe(OPEN_S[0]) and breaker.probe(OPEN_S[0]) == 0
        breaker.unprobe(first + 1)
        assert breaker.probe(OPEN_S[0]) == 0, "only who holds the place gives it back"
        breaker.unprobe(first)
        assert breaker.probe(OPEN_S[0])

    def test_a_probe_that_says_nothing_does_not_keep_the_next_one_for_ever(self) -> None:
        breaker = opened()
        first = breaker.probe(2.0)
        assert breaker.probe(2.0 + PROBE_S - 0.1) == 0
        second = breaker.probe(2.0 + PROBE_S)
        assert second
        breaker.unprobe(first)
        assert breaker.probe(2.1 + PROBE_S) == 0, "the place is the second one's now"

    def test_a_success_closes_it(self) -> None:
        breaker = opened()
        breaker.probe(1.0)
        assert breaker.succeeded(1.2)
        assert (breaker.standing(1.2), breaker.left_s(1.2)) == (Standing.CLOSED, 0.0)
        assert not breaker.failed(1.3), "what was before does not count any more"

    def test_who_fails_half_of_the_time_is_not_taken_back_for_one_answer_that_was_under_way(self) -> None:
        breaker = Breaker()
        while not breaker.failed(0.0):
            breaker.succeeded(0.0)
            breaker.in_a_row = 0
        assert not breaker.succeeded(0.5) and breaker.standing(0.5) is Standing.OPEN
        assert breaker.succeeded(OPEN_S[0])

    def test_what_it_asks_for_itself_is_kept_up_to_a_bound(self) -> None:
        breaker = Breaker()
        assert breaker.told(0.0, 5.0)
        assert not breaker.told(1.0, 2.0) and breaker.left_s(1.0) == 4.0
        assert not breaker.succeeded(1.0) and breaker.standing(4.9) is Standing.OPEN
        assert not breaker.told(1.0, 10_000.0) and breaker.left_s(1.0) == MOST_TOLD_S
        assert not Breaker().told(0.0, 0.0)

    def test_nothing_is_kept_once_it_has_long_been_well(self) -> None:
        breaker = opened()
        assert not breaker.is_quiet(0.0)
        breaker.succeeded(2.0)
        assert not breaker.is_quiet(2.0 + SETTLED_S - 1)
        assert breaker.is_quiet(2.0 + SETTLED_S)


class Machine(RuleBasedStateMachine):
    """Whatever comes, at whatever time, on a clock that jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now_s = 1000.0
        self.probes: dict[int, float] = {}

    def did(self, act: Callable[[], bool]) -> None:
        before = self.breaker.standing(self.now_s)
        is_changed = act()
        after = self.breaker.standing(self.now_s)
        if before is Standing.CLOSED or after is Standing.CLOSED:
            assert is_changed is (before is not after)
        if before is not after:
            self.probes.clear()

    @rule(by_s=st.one_of(st.floats(0, 3), st.floats(0, 100), st.just(0.0)))
    def wait(self, by_s: float) -> None:
        self.now_s += by_s

    @rule(by_s=st.floats(0, 1e6))
    def clock_jumps_back(self, by_s: float) -> None:
        self.now_s -= by_s
        self.probes = {number: min(at_s, self.now_s) for number, at_s in self.probes.items()}

    @rule(is_silent=st.booleans())
    def fails(self, is_silent: bool) -> None:
        self.did(lambda: self.breaker.failed(self.now_s, is_silent=is_silent))

    @rule()
    def answers(self) -> None:
        self.did(lambda: self.breaker.succeeded(self.now_s))

    @rule()
    def answers_late(self) -> None:
        self.did(lambda: self.breaker.dragged(self.now_s))

    @rule()
    def breaks_off(self) -> None:
        self.did(lambda: self.breaker.broke(self.now_s))

    @rule(for_s=st.floats(0, 1000))
    def asks_for_time(self, for_s: float) -> None:
        self.did(lambda: self.breaker.told(self.now_s, for_s))

    @rule()
    def is_probed(self) -> None:
        number = self.breaker.probe(self.now_s)
        if number:
            assert self.breaker.standing(self.now_s) is Standing.HALF_OPEN
            assert all(self.now_s - at_s >= PROBE_S for at_s in self.probes.values())
            self.probes = {number: self.now_s}

    @rule()
    def probe_ends(self) -> None:
        for number in self.probes:
            self.breaker.unprobe(number)
        self.probes.clear()

    @invariant()
    def never_open_for_longer_than_its_bound(self) -> None:
        bound_s = MOST_TOLD_S if self.breaker.is_told else MOST_OPEN_S
        assert 0 <= self.breaker.left_s(self.now_s) <= bound_s + 1e-9  # times are sums of floats

    @invariant()
    def after_its_time_one_may_probe_and_its_success_closes_it(self) -> None:
        if self.breaker.standing(self.now_s) is Standing.OPEN:
            later_s = self.now_s + self.breaker.left_s(self.now_s)
            assert self.breaker.standing(later_s + 1e-6) is Standing.HALF_OPEN
            is_probed = any(later_s - at_s < PROBE_S for at_s in self.probes.values())  # before the clock jumped back
            assert self.breaker.may_probe(later_s + 1e-6) or is_probed


TestMachine = Machine.TestCase


def test_a_clock_that_goes_back_while_one_tries_it_makes_nobody_wait_twice() -> None:
    breaker = Breaker()
    breaker.told(0.0, 8.0)
    assert breaker.probe(8.0)
    assert breaker.standing(0.0) is Standing.OPEN
    assert breaker.may_probe(8.0 + PROBE_S)


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60))
def test_a_target_that_has_returned_is_tried_within_ten_seconds(calls: list[tuple[float, bool]]) -> None:
    """Whatever was before: from its return on every probe succeeds, and calls come once a second."""
    breaker, now_s = Breaker(), 0.0
    for after_s, is_well in calls:
        now_s += after_s
        if breaker.standing(now_s) is Standing.CLOSED or breaker.probe(now_s):
            (breaker.succeeded if is_well else breaker.failed)(now_s)
    returned_s = now_s
    while breaker.standing(now_s) is not Standing.CLOSED:
        now_s += 1.0
        if breaker.probe(now_s):
            breaker.succeeded(now_s)
    assert now_s - returned_s < 10
