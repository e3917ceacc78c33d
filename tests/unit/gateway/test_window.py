"""The cap on output: input and output together always fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import BadRequest
from ringfence.gateway.window import CLAMPED, FIT, clamp, hard_cap, output_asked

WINDOWS = st.integers(1, 1_000_000)


@given(window=WINDOWS)
def test_the_cap_leaves_room_for_a_prompt(window: int) -> None:
    cap = hard_cap(window)
    assert cap >= 1
    assert cap <= window - 1 or (window, cap) == (1, 1)
    assert cap <= max(256, int(window * 0.6))


@pytest.mark.parametrize(
    ("window", "cap"), [(1, 1), (2, 1), (256, 255), (257, 256), (400, 256), (430, 258), (4096, 2457), (131_072, 78_643)]
)
def test_known_caps(window: int, cap: int) -> None:
    assert hard_cap(window) == cap


@given(first=WINDOWS, second=WINDOWS)
def test_a_larger_window_never_has_a_smaller_cap(first: int, second: int) -> None:
    small, large = sorted((first, second))
    assert hard_cap(small) <= hard_cap(large)


@given(asked=st.none() | st.integers(1, 2_000_000), window=st.none() | WINDOWS)
def test_clamping_only_takes_away(asked: int | None, window: int | None) -> None:
    output, done = clamp(asked, window)
    if window is None:
        assert (output, done) == (asked, FIT)
        return
    assert output is not None
    assert 1 <= output <= hard_cap(window)
    assert asked is None or output <= asked
    assert (done == CLAMPED) == (asked is not None and output < asked)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({}, None),
        ({"max_tokens": None, "max_completion_tokens": None}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 5),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
    ],
)
def test_of_two_names_the_tighter_wins(body: dict[str, Any], asked: int | None) -> None:
    assert output_asked(body) == asked


@pytest.mark.parametrize("body", [{"max_tokens": 0}, {"max_tokens": -1}, {"max_completion_tokens": 0, "max_tokens": 5}])
def test_less_than_one_token_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        output_asked(body)
    assert (refused.value.status, refused.value.param) == (400, "max_tokens")
