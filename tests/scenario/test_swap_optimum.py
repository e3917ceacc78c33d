"""The least number of swaps is what trying everything finds, and a known answer where one can be told by hand."""

from __future__ import annotations

from itertools import product
from random import Random
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from swap_optimum import Times, least_swaps

ARRIVALS = st.lists(st.tuples(st.integers(0, 14), st.sampled_from("ab")), max_size=7)
OF_THREE = st.lists(st.tuples(st.integers(0, 11), st.sampled_from("abc")), max_size=6)


def tried(
    arrivals: list[tuple[int, str]], times: dict[str, Times], longest_wait_s: int, until_s: int, model: str
) -> int | None:
    """By trying every model at every whole second: None when nothing will do."""
    fewest: int | None = None

    def go(now_s: int, loaded: str, waiting: list[tuple[int, str]], swaps: int) -> None:
        """`loaded` is ready at this moment, and `waiting` has all that was not begun, arrived or not."""
        nonlocal fewest
        left = [each for each in waiting if each[1] != loaded or each[0] > now_s]
        if fewest is not None and swaps >= fewest:
            return
        if any(at_s + longest_wait_s < now_s for at_s, _name in waiting):
            return
        if all(name == loaded for _at_s, name in left):
            fewest = swaps
            return
        if now_s >= until_s:
            return
        go(now_s + 1, loaded, left, swaps)
        for other, its in times.items():
            if other != loaded:
                go(now_s + int(times[loaded].drain_s + its.load_s), other, left, swaps + 1)

    go(0, model, list(arrivals), 0)
    return fewest


@settings(max_examples=300, deadline=None)
@given(ARRIVALS, st.integers(0, 9), st.tuples(*[st.integers(1, 3)] * 2), st.tuples(*[st.integers(0, 2)] * 2))
def test_of_two_as_trying_everything(
    arrivals: list[tuple[int, str]], longest_wait_s: int, loads_s: tuple[int, int], drains_s: tuple[int, int]
) -> None:
    times = {name: Times(load, drain) for name, load, drain in zip("ab", loads_s, drains_s, strict=True)}
    expected = tried(arrivals, times, longest_wait_s, 30, "a")
    assert least_swaps(arrivals, times, longest_wait_s, first="a") == expected


@settings(max_examples=100, deadline=None)
@example([(0, "c"), (2, "b"), (3, "a"), (6, "a"), (7, "b")], 5, (1, 1, 1))  # with a swap more it can be sooner
@given(OF_THREE, st.integers(2, 12), st.tuples(*[st.integers(1, 2)] * 3))
def test_of_three_as_trying_everything(
    arrivals: list[tuple[int, str]], longest_wait_s: int, loads_s: tuple[int, int, int]
) -> None:
    times = {name: Times(load, 1) for name, load in zip("abc", loads_s, strict=True)}
    expected = tried(arrivals, times, longest_wait_s, 26, "a")
    assert least_swaps(arrivals, times, longest_wait_s, first="a") == expected


BOTH = {"a": Times(4.0, 2.0), "b": Times(4.0, 2.0)}


def test_nobody_who_asks_for_another_needs_no_swap() -> None:
    assert least_swaps([(1.0, "a"), (5.0, "a")], BOTH, 10.0, first="a") == 0
    assert least_swaps([], BOTH, 10.0, first="b") == 0


def test_twenty_by_turns_need_one_swap_where_they_may_wait() -> None:
    arrivals = [(float(number), "ab"[number % 2]) for number in range(20)]
    assert least_swaps(arrivals, BOTH, 30.0, first="a") == 1
    assert least_swaps(arrivals, BOTH, 15.0, first="a") == 2


def test_where_even_a_swap_takes_longer_than_anybody_may_wait_there_is_no_way() -> None:
    assert least_swaps([(5.0, "b"), (5.0, "a"), (5.5, "b"), (12.0, "a")], BOTH, 5.0, first="a") is None


def test_steady_requests_for_both_need_a_swap_whenever_one_is_due() -> None:
    arrivals = [(number / 10, name) for number, name in product(range(3_000), "ab")]
    # It is due 60 s after it was left, and takes 6 s to be back: so one is left every 54 s, five times in 300 s, and
    # what arrived in the last 30 s takes one more.
    assert least_swaps(arrivals, BOTH, 60.0, first="a") == 6


def test_thinned_out_it_is_no_less_and_hardly_more() -> None:
    chance = Random(3)
    arrivals = [(chance.uniform(0, 600), chance.choice("abc")) for _ in range(300)]
    times = {name: Times(3.0, 1.0) for name in "abc"}
    exact = least_swaps(arrivals, times, 40.0, first="a")
    thinned = least_swaps(arrivals, times, 40.0, first="a", step_s=4.0)
    assert exact is not None and thinned is not None
    assert exact <= thinned <= exact + 3


@pytest.mark.timed
def test_twenty_minutes_of_fifty_clients_take_seconds() -> None:
    chance = Random(5)
    arrivals = [(chance.uniform(0, 1_200), chance.choice("ab")) for _ in range(6_000)]
    began_s = process_time()
    assert least_swaps(arrivals, BOTH, 60.0, first="a")
    assert process_time() - began_s < 10
