"""Who is next: by class, by turns of keys, by age, and back at the old place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.route import Urgency
from ringfence.routing.fair import FairQueue, Turn

USER, AGENT, BACKGROUND = Urgency


def filled(*turns: Turn, promote_s: float = 15.0, now_s: float = 0.0) -> FairQueue:
    queue = FairQueue(promote_s)
    for turn in turns:
        queue.add(turn, now_s)
    return queue


def all_taken(queue: FairQueue, now_s: float = 0.0) -> list[Turn]:
    taken: list[Turn] = []
    while (turn := queue.first(now_s)) is not None:
        queue.take(turn)
        taken.append(turn)
    return taken


def test_a_higher_class_goes_first_and_age_decides_within_a_key() -> None:
    turns = [Turn(urgency, "k") for urgency in (BACKGROUND, USER, AGENT, USER, BACKGROUND)]
    queue = filled(*turns)
    right = [turns[place] for place in (1, 3, 2, 0, 4)]
    assert queue.order(0.0) == right
    assert all_taken(queue) == right


def test_whoever_waited_long_enough_counts_as_one_class_higher_and_then_as_two() -> None:
    old = Turn(BACKGROUND, "k")
    queue = filled(old)
    queue.add(Turn(AGENT, "k"), 14.0)
    assert queue.first(14.9) is not old
    assert queue.first(15.0) is old, "of its class now, and the oldest of its key"
    queue.add(user := Turn(USER, "k"), 16.0)
    assert queue.first(28.0) is user
    assert queue.first(30.0) is old


def test_keys_take_turns_by_what_they_cost() -> None:
    cheap = [Turn(USER, "a", 1, 1) for _ in range(4)]
    dear = [Turn(USER, "b", 1, 3) for _ in range(2)]
    assert all_taken(filled(*cheap, *dear)) == [cheap[0], dear[0], cheap[1], cheap[2], cheap[3], dear[1]]


def test_what_went_and_came_back_stands_where_it_stood() -> None:
    turns = [Turn(BACKGROUND, key) for key in "abab"]
    queue = filled(*turns)
    first = queue.first(0.0)
    assert first is turns[0]
    queue.take(first)
    queue.add(Turn(BACKGROUND, "c"), 1.0)
    queue.add(first, 2.0)
    assert queue.first(2.0) is first
    assert (first.number, first.since_s, len(queue.waiting)) == (1, 0.0, 5)


def test_two_that_come_back_in_the_wrong_order_are_in_the_right_one() -> None:
    turns = [Turn(BACKGROUND, "a") for _ in range(3)]
    queue = filled(*turns)
    for turn in turns[:2]:
        queue.take(turn)
    queue.add(turns[0], 1.0)
    queue.add(turns[1], 1.0)
    assert queue.order(1.0) == turns


def test_one_that_comes_back_behind_an_older_one_that_was_promoted_meanwhile_loses_nobody() -> None:
    older, taken = Turn(AGENT, "a"), Turn(USER, "a")
    queue = filled(older, taken)
    queue.take(taken)
    assert queue.first(40.0) is older
    queue.add(taken, 40.0)
    assert all_taken(queue, 40.0) == [older, taken]


@settings(deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("come"), st.sampled_from(Urgency), st.sampled_from("ab"), st.sampled_from((1, 5, 100))),
            st.tuples(st.sampled_from(("take", "hold", "let go"))),
            st.tuples(st.sampled_from(("come back", "leave", "wait")), st.integers(0, 40)),
        ),
        min_size=5, max_size=40,
    )
)  # fmt: skip
def test_the_next_one_is_the_first_of_all_whatever_happened(steps: list[tuple[Any, ...]]) -> None:
    queue, now_s, out = FairQueue(15.0), 0.0, list[Turn]()
    for what, *told in steps:
        if what == "come":
            queue.add(Turn(told[0], told[1], 1, told[2]), now_s)
        elif what == "take" and (turn := queue.first(now_s)) is not None:
            queue.take(turn)
            out.append(turn)
        elif what == "come back" and out:
            queue.add(out.pop(told[0] % len(out)), now_s)
        elif what == "leave" and queue.waiting:
            queue.remove([*queue.waiting.values()][told[0] % len(queue.waiting)])
        elif what == "wait":
            now_s += told[0]
        elif what in ("hold", "let go"):
            queue.is_background_held = what == "hold"
        first, order = queue.first(now_s), queue.order(now_s)
        assert len(order) == len(queue.waiting)
        if first is None:
            assert all(turn.level == BACKGROUND and queue.is_background_held for turn in order)
        else:
            assert order[0] is first


def test_who_goes_away_costs_its_key_nothing() -> None:
    gone = [Turn(USER, "a", 1, 1000) for _ in range(5)]
    stays, other = Turn(USER, "a"), Turn(USER, "b")
    queue = filled(*gone, stays, other)
    for turn in gone:
        queue.remove(turn)
    assert all_taken(queue) == [stays, other]
    with pytest.raises(ValueError, match="does not wait"):
        queue.remove(stays)


def test_while_it_is_held_the_background_stays_where_it_is() -> None:
    held, promoted = Turn(BACKGROUND, "a"), Turn(BACKGROUND, "b")
    queue = filled(promoted)
    assert queue.first(15.0) is promoted
    queue.add(held, 15.0)
    queue.is_background_held = True
    assert all_taken(queue, 100.0) == [promoted]
    queue.is_background_held = False
    assert queue.first(100.0) is held


def test_a_key_that_was_away_has_saved_nothing_up() -> None:
    queue = filled(*(Turn(USER, "a") for _ in range(20)))
    for _ in range(10):
        first = queue.first(0.0)
        assert first is not None
        queue.take(first)
    late = [Turn(USER, "b") for _ in range(3)]
    for turn in late:
        queue.add(turn, 1.0)
    assert [turn.key for turn in all_taken(queue)[:6]] == ["b", "a", "b", "a", "b", "a"]


@pytest.mark.parametrize(
    ("waiting", "comes", "leaves"),
    [
        ([(USER, "a"), (BACKGROUND, "a"), (BACKGROUND, "b"), (BACKGROUND, "b")], (AGENT, "c"), 3),
        ([(USER, "a"), (USER, "a"), (USER, "b")], (USER, "b"), None),
        ([(USER, "a"), (USER, "a"), (USER, "a")], (USER, "b"), 2),
        ([(USER, "a")], (BACKGROUND, "b"), None),
    ],
)
def test_who_leaves_a_full_queue(
    waiting: list[tuple[Urgency, str]], comes: tuple[Urgency, str], leaves: int | None
) -> None:
    turns = [Turn(*told) for told in waiting]
    queue = filled(*turns)
    found = queue.gives_way(Turn(*comes))
    assert found is (turns[leaves] if leaves is not None else None)


def test_time_does_not_go_back() -> None:
    queue = filled(Turn(BACKGROUND, "a"), now_s=100.0)
    assert queue.first(0.0) is not None
    queue.add(late := Turn(USER, "b"), 5.0)
    assert late.since_s == 100.0


def test_one_that_wants_more_than_can_be_does_not_take_from_others_their_turns() -> None:
    queue = filled(Turn(USER, "greedy", 1, 2**62 * 1000))
    all_taken(queue)
    for key in ("flood", "quiet"):
        for _ in range(50):
            queue.add(Turn(USER, key, 1, 300), 1.0)
    first = [turn.key for turn in all_taken(queue, 1.0)[:50]]
    assert first.count("quiet") == 25
