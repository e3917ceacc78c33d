"""How a window is shared: input and output together always fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.errors import BadRequest
from ringfence.gateway.window import (
    CLAMPED,
    FIT,
    LEAST_INPUT,
    budget,
    clamp,
    hard_cap,
    least_output,
    output_asked,
    set_output,
)

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


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"max_output_tokens": 7}, 7),
        ({"num_predict": 7, "max_tokens": 9}, 7),
        ({"n_predict": 9, "max_tokens": 7}, 7),
        ({"num_predict": -1}, None),
        ({"n_predict": -2, "max_tokens": 7}, 7),
        ({"max_new_tokens": 7, "n": 4}, 7),
        ({"n": 4, "best_of": 4}, None),
    ],
)
def test_other_names_are_read_as_well(body: dict[str, Any], asked: int | None) -> None:
    assert output_asked(body) == asked


@pytest.mark.parametrize(
    "name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "n_predict"]
)
@pytest.mark.parametrize("value", ["16", 16.0, 1.5, True, [16], {}, float("inf")])
def test_what_is_no_whole_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        output_asked({name: value})
    assert (refused.value.param, refused.value.code) == (name, "invalid_type")


@pytest.mark.parametrize("body", [{"num_predict": 0}, {"max_output_tokens": -1}, {"max_new_tokens": 0}])
def test_nothing_at_all_is_refused_under_every_name(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        output_asked(body)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"options": {"num_predict": 7}}, 7),
        ({"options": {"num_predict": -1}, "max_tokens": 9}, 9),
        ({"extra_body": {"max_tokens": 7}, "max_completion_tokens": 9}, 7),
        ({"sampling_params": {"max_new_tokens": 9}, "options": {"num_predict": 7}}, 7),
        ({"options": "num_predict"}, None),
        ({"options": {"max_tokens": None, "temperature": 1}}, None),
    ],
)
def test_names_within_objects_count_as_well(body: dict[str, Any], asked: int | None) -> None:
    assert output_asked(body) == asked


def test_a_name_within_an_object_is_blamed_by_its_path() -> None:
    with pytest.raises(BadRequest) as refused:
        output_asked({"options": {"num_predict": "7"}})
    assert refused.value.param == "options.num_predict"


def test_nothing_is_left_within_objects() -> None:
    nested = {"num_predict": 9, "max_tokens": 10**6, "min_tokens": 900, "num_ctx": 10**6, "temperature": 0}
    given = {"options": dict(nested), "extra_body": dict(nested), "parameters": dict(nested)}
    for output in (5, None):
        body: dict[str, Any] = dict(given)
        set_output(body, output)
        assert all(body[name] == {"temperature": 0} for name in given)
    assert all(value == nested for value in given.values()), "the caller's"


@pytest.mark.parametrize(("least", "kept"), [(5, 5), (100, 100), (101, 100), (10**9, 100), (0, 0)])
def test_a_least_output_is_never_above_the_most(least: int, kept: int) -> None:
    body = {"min_tokens": least, "min_new_tokens": least}
    set_output(body, 100)
    assert body == {"min_tokens": kept, "min_new_tokens": kept, "max_tokens": 100}


def test_the_engine_sees_one_name_only() -> None:
    options = {"num_predict": 10**6, "temperature": 0}
    body = {"max_completion_tokens": 9, "n_predict": 10**6, "num_predict": -1, "min_tokens": 900, "options": options}
    set_output(body, 100)
    assert body == {"max_tokens": 100, "min_tokens": 100, "options": {"temperature": 0}}
    assert options == {"num_predict": 10**6, "temperature": 0}, "the caller's"
    set_output(body, None)
    assert "max_tokens" not in body


@given(window=st.integers(2, 2_000_000), asked=st.none() | st.integers(1, 2_000_000), share=st.floats(0, 1))
def test_input_and_output_are_never_more_than_the_window(window: int, asked: int | None, share: float) -> None:
    shares = budget(window, asked)
    assert 1 <= shares.most_input <= shares.utmost_input < window
    tokens = int(shares.utmost_input * share)
    output = shares.output_beside(tokens)
    assert 1 <= output <= shares.output <= hard_cap(window)
    assert tokens + output <= window
    if tokens <= shares.surely:
        assert output == shares.output
    if asked is not None and tokens <= shares.most_input and shares.most_input > LEAST_INPUT:
        assert output == shares.output, "what was asked for is kept"
    if asked is None and tokens <= shares.most_input > LEAST_INPUT:
        assert output >= least_output(window)


@given(window=st.integers(1920, 2_000_000), asked=st.integers(1, 2_000_000))
def test_the_share_of_the_input_is_what_was_promised(window: int, asked: int) -> None:
    assert budget(window, asked).most_input == max(256, window - min(asked, max(256, int(window * 0.60))) - 512)


@pytest.mark.parametrize(
    ("window", "asked", "most", "output"),
    [(512, 512, 256, 256), (1024, 512, 256, 512), (1280, 2000, 256, 768), (1300, 100, 688, 100), (2, None, 1, 1)],
)
def test_small_windows_give_up_the_reserve_and_then_output(
    window: int, asked: int | None, most: int, output: int
) -> None:
    shares = budget(window, asked)
    assert (shares.most_input, shares.output_beside(most)) == (most, output)


def test_where_nothing_is_generated_the_window_is_for_input() -> None:
    shares = budget(512, 0, 0)
    assert (shares.most_input, shares.surely, shares.output_beside(512)) == (512, 512, 0)
