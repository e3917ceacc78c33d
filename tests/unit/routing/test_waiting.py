"""The queue of parked requests, by a clock that the tests turn."""

from __future__ import annotations

import random
from itertools import count, pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.route import Urgency
from ringfence.routing.waiting import MOST_BACK_OFF_S, Place, Waiting, left_s

DEADLINE_S = 900.0


def place(
    number: int, urgency: int = 0, want: str = "near", parked_s: float = 0.0, wait_s: float = DEADLINE_S
) -> Place:
    return Place(f"p{number}", number, Urgency(urgency), want, parked_s, parked_s + wait_s)


def filled(*places: Place, most: int = 100_000) -> Waiting:
    waiting = Waiting(most)
    for one in places:
        waiting.add(one)
    return waiting


def drained(waiting: Waiting, now_s: float = 0.0) -> list[str]:
    found: list[str] = []
    while (one := waiting.next(now_s, lambda _: True)) is not None:
        waiting.remove(one.id)
        found.append(one.id)
    return found


class TestOrder:
    @given(st.lists(st.tuples(st.sampled_from(list(Urgency)), st.sampled_from("abc")), max_size=60), st.randoms())
    def test_it_is_by_class_and_then_by_age(self, told: list[tuple[Urgency, str]], chance: random.Random) -> None:
        places = [place(number, urgency, want) for number, (urgency, want) in enumerate(told)]
        right = [one.id for one in sorted(places, key=lambda one: (one.urgency, one.number))]
        chance.shuffle(places)  # after a restart they come in whatever order they are read
        waiting = filled(*places)
        assert [waiting.position(parked_id) for parked_id in right] == list(range(1, len(right) + 1))
        assert drained(waiting) == right

    def test_a_way_that_is_shut_holds_up_nobody_else(self) -> None:
        waiting = filled(place(1, want="far"), place(2, want="near"), place(3, want="far"))
        first = waiting.next(0, lambda one: one.want == "near")
        assert first is not None and first.id == "p2"
        assert waiting.next(0, lambda one: one.want == "near") is None
        assert waiting.position("p3") == 2 and waiting.position("p2") == 0

    def test_each_way_is_asked_once(self) -> None:
        waiting = filled(*(place(number, want="ab"[number % 2]) for number in range(1000)))
        asked: list[str] = []
        assert waiting.next(0, lambda one: bool(asked.append(one.id))) is None
        assert asked == ["p0", "p1"]

    def test_one_that_comes_back_keeps_its_place_but_is_not_tried_at_once(self) -> None:
        waiting = filled(place(1), place(2))
        poisoned = waiting.next(0, lambda _: True)
        assert poisoned is not None
        waiting.put_back(poisoned.id, 0)
        assert waiting.position("p1") == 1
        following = waiting.next(0, lambda _: True)
        assert following is not None and following.id == "p2"
        assert waiting.next(0.5, lambda _: True) is None
        again = waiting.next(1.0, lambda _: True)
        assert again is not None and again.id == "p1"

    def test_one_id_parks_once(self) -> None:
        with pytest.raises(ValueError, match="parked already"):
            filled(place(1), place(1))

    def test_it_is_bounded(self) -> None:
        waiting = filled(place(1), place(2), most=2)
        assert waiting.is_full
        waiting.remove("p1")
        assert not waiting.is_full and waiting.remove("p1") is None


class TestDeadlines:
    def test_each_ends_at_its_own(self) -> None:
        waiting = filled(place(1, wait_s=10), place(2, wait_s=5), place(3, wait_s=20))
        assert [one.id for one in waiting.expired(4.9)] == []
        assert [one.id for one in waiting.expired(10)] == ["p2", "p1"]
        assert len(waiting) == 1 and drained(waiting) == ["p3"]

    def test_what_is_being_served_is_left(self) -> None:
        waiting = filled(place(1, wait_s=5))
        waiting.next(4, lambda _: True)
        assert waiting.expired(6) == []
        waiting.put_back("p1", 6)
        assert [one.id for one in waiting.expired(6)] == ["p1"]

    def test_a_clock_that_goes_back_changes_nothing(self) -> None:
        waiting = filled(place(1, parked_s=100, wait_s=10), place(2, parked_s=100, wait_s=30))
        assert waiting.expired(109) == []
        assert waiting.expired(-1e9) == []
        waiting.next(-1e9, lambda _: True)
        waiting.put_back("p1", -1e9)
        again = waiting.next(109 + MOST_BACK_OFF_S, lambda _: True)
        assert again is not None and again.id == "p1"
        assert [one.id for one in waiting.expired(130)] == ["p2"]

    def test_a_clock_that_goes_forward_ends_what_is_due_and_no_more(self) -> None:
        waiting = filled(place(1, wait_s=10), place(2, wait_s=1e7))
        assert [one.id for one in waiting.expired(1e6)] == ["p1"]
        assert waiting.expired(2) == []
        assert drained(waiting) == ["p2"]

    @given(parked=st.floats(0, 2e9), length=st.floats(1, 86_400), jump=st.floats(-1e9, 1e9))
    def test_after_a_restart_nobody_waits_longer_than_was_said(self, parked: float, length: float, jump: float) -> None:
        left = left_s(parked, parked + length, parked + jump)
        assert 0 <= left <= length + 1e-6
        if 0 <= jump <= length:
            assert left == pytest.approx(length - jump, abs=1e-5)


class TestEstimates:
    def test_nothing_is_known_at_first(self) -> None:
        assert filled(place(1)).estimate_s("p1", 0, 4) is None

    def test_by_those_before_it_while_the_way_is_open(self) -> None:
        waiting = filled(*(place(number) for number in range(10)))
        waiting.served(30, 2)
        assert waiting.estimate_s("p0", 0, 4) == 2
        assert waiting.estimate_s("p9", 0, 4) == 6
        assert waiting.estimate_s("nobody", 0, 4) is None

    def test_by_what_others_waited_while_it_is_shut(self) -> None:
        waiting = filled(place(1))
        waiting.served(30, 2)
        assert waiting.estimate_s("p1", 10, 0) == 20
        assert waiting.estimate_s("p1", 100, 0) == 0


def test_ten_thousand_and_a_target_that_flaps_every_five_seconds() -> None:
    """Up for 5 s, away for 5 s, 8 at a time for 1 s each; each loss of the target throws back what it worked on. New
    ones of the first class come all the time. All of them are served: by class, then by age, but for those that were
    thrown back; and none before its turn by more than these."""
    chance, numbers = random.Random(7), count(10_000)
    waiting = filled(*(place(number, chance.randrange(3), wait_s=1e6) for number in range(10_000)))
    served: list[Place] = []
    running: list[Place] = []
    began = perf_counter()
    for tick in range(6000):
        now_s, is_up = float(tick), tick // 5 % 2 == 0
        for one in running:
            if is_up:
                waiting.remove(one.id)
                served.append(one)
            else:
                waiting.put_back(one.id, now_s)
        running = []
        while is_up and len(running) < 8 and (one := waiting.next(now_s, lambda _: True)) is not None:
            running.append(one)
        if tick % 10 == 0 and tick < 3000:
            waiting.add(place(next(numbers), 0, parked_s=now_s, wait_s=1e6))
        waiting.expired(now_s)
    assert len(served) == 10_300 and len(waiting) == 0
    overtaken = sum(late.rank < early.rank for early, late in pairwise(served))
    assert overtaken <= 300  # about two for each of the flaps during which users were served
    last_user = max(index for index, one in enumerate(served) if one.urgency is Urgency.USER and one.number < 10_000)
    first_background = min(index for index, one in enumerate(served) if one.urgency is Urgency.BACKGROUND)
    assert last_user < first_background
    assert perf_counter() - began < 20


def test_deadlines_of_those_that_are_gone_are_forgotten() -> None:
    """Whoever parks for a day and goes away at once, over and over, must not fill the memory."""
    waiting = filled(*(place(number, wait_s=50 + number) for number in range(10)))
    for number in range(100, 5000):
        waiting.add(place(number, wait_s=86_400))
        waiting.remove(f"p{number}")
    assert len(waiting._deadlines) < 200
    assert [one.id for one in waiting.expired(55)] == [f"p{number}" for number in range(6)]
    assert len(waiting.expired(1e6)) == 4
