"""Tokens per byte, learned: never far from the prompts, bounded, and quick to follow a change."""

from __future__ import annotations

import sys
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from ringfence.gateway.ratio import ENOUGH, FULL, LEAST_BYTES, MAX_MODELS, STEPS, Ratio, Ratios

STEP = 2 ** (1 / STEPS)


def learned(*prompts: tuple[int, int]) -> Ratios:
    ratios = Ratios()
    for size_bytes, tokens in prompts:
        ratios.learn("m", size_bytes, tokens)
    return ratios


def test_nothing_is_said_before_enough_is_known() -> None:
    ratios = learned(*[(1000, 250)] * (ENOUGH - 1))
    assert ratios.estimate("m", 1000) is None
    ratios.learn("m", 1000, 250)
    estimate = ratios.estimate("m", 1000)
    assert estimate is not None
    assert 250 <= estimate <= ceil(250 * STEP) + 1
    assert ratios.estimate("another", 1000) is None


@given(st.lists(st.tuples(st.integers(LEAST_BYTES, 10**7), st.floats(0.01, 3.9)), min_size=ENOUGH, max_size=300))
def test_an_estimate_covers_nearly_all_that_was_seen(prompts: list[tuple[int, float]]) -> None:
    seen = [(size_bytes, max(1, int(size_bytes * ratio))) for size_bytes, ratio in prompts]
    ratios = learned(*seen)
    above = [one for one in seen if one[1] > (ratios.estimate("m", one[0]) or 0)]
    below = [one for one in seen if one[1] < (ratios.least("m", one[0]) or 0) - 1]
    assert len(above) <= len(seen) * 0.011 + 16, "quantiles are looked for after every 16 prompts"
    assert len(below) <= len(seen) * 0.011 + 16
    if len(seen) % 16 == 0:
        assert len(above) <= len(seen) * 0.01 + 1
        highest = max(tokens / size_bytes for size_bytes, tokens in seen)
        assert (ratios.estimate("m", 10**6) or 0) <= 10**6 * max(highest, 2**-7) * STEP + 1


def test_a_change_is_followed() -> None:
    ratios = learned(*[(1000, 250)] * FULL)
    before = ratios.estimate("m", 10_000)
    for _ in range(200):
        ratios.learn("m", 1000, 600)
    assert before is not None
    assert before <= 2700
    assert (ratios.estimate("m", 10_000) or 0) >= 6000


def test_short_and_odd_prompts_teach_nothing() -> None:
    ratios = learned(*[(LEAST_BYTES - 1, 400)] * 50, *[(5000, 0)] * 50)
    assert ratios.estimate("m", 5000) is None
    assert learned(*[(10**9, 1)] * 32, *[(512, 10**9)] * 32).estimate("m", 1024) is not None, "beyond both ends"


def test_memory_is_bounded() -> None:
    ratios = Ratios()
    for number in range(MAX_MODELS * 3):
        ratios.learn(f"m{number}", 1000, 250)
    assert len(ratios._by_model) == MAX_MODELS
    assert "m0" not in ratios._by_model
    one = Ratio()
    for number in range(FULL * 3):
        one.learn(1000 + number, 250)
    assert one._total < FULL
    assert sys.getsizeof(one._counts) < 2000


def test_the_one_in_use_is_kept() -> None:
    ratios = Ratios()
    for number in range(MAX_MODELS + 50):
        ratios.learn("used", 1000, 250)
        ratios.learn(f"m{number}", 1000, 250)
    assert "used" in ratios._by_model
