"""Whose turn it is among the keys of a provider, and for how long one is set aside."""

from __future__ import annotations

import pytest

from ringfence.egress.turns import MOST_S, MOST_UNTOLD_S, Turns, reason_of, wait_s

NOW_S = 1_790_000_000.0  # 2026-09-21T14:13:20Z


def test_keys_are_used_in_turn() -> None:
    turns = Turns(3)
    assert [turns.take(NOW_S) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_a_limited_key_is_not_used_until_its_time_and_then_comes_last() -> None:
    turns = Turns(3)
    assert turns.set_aside(1, "limited", 30.0, NOW_S) == 30.0
    assert [turns.take(NOW_S + 1) for _ in range(4)] == [0, 2, 0, 2]
    assert turns.told(NOW_S + 1) == [{"number": 2, "reason": "limited", "until_s": NOW_S + 30}]
    assert turns.told(NOW_S + 30) == []
    turns.set_aside(0, "limited", 5.0, NOW_S + 31)
    turns.set_aside(2, "limited", 5.0, NOW_S + 32)
    assert [turns.take(NOW_S + 40) for _ in range(2)] == [1, 1]  # limited the longest ago


def test_where_all_are_set_aside_the_first_to_come_free_is_asked() -> None:
    turns = Turns(2)
    turns.set_aside(0, "limited", 60.0, NOW_S)
    assert turns.has_other(0, NOW_S) and not turns.has_other(1, NOW_S)
    turns.set_aside(1, "refused", 20.0, NOW_S)
    assert turns.take(NOW_S + 1) == 1 and not turns.has_other(0, NOW_S)
    assert Turns(1).has_other(0, NOW_S) is False


def test_what_is_not_told_grows_and_an_answer_ends_that() -> None:
    turns, at_s, waits = Turns(2), NOW_S, list[float]()
    for _ in range(10):
        waits.append(turns.set_aside(0, "limited", None, at_s))
        assert turns.set_aside(0, "limited", None, at_s) >= waits[-1]  # one that was under way with it
        at_s += 2 * MOST_UNTOLD_S
    assert waits[:4] == [20.0, 40.0, 80.0, 160.0] and waits[-1] == MOST_UNTOLD_S
    turns.served(0, at_s)
    assert turns.set_aside(0, "limited", None, at_s) == 20.0


def test_another_key_in_its_place_is_not_set_aside() -> None:
    turns = Turns(2)
    turns.set_aside(0, "refused", None, NOW_S)
    turns.set_aside(1, "limited", 50.0, NOW_S)
    assert [one["number"] for one in turns.renewed(0).told(NOW_S)] == [2]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20", "x-ratelimit-reset-requests": "1h"}, 20.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Mon, 21 Sep 2026 14:14:20 GMT"}, 60.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "999999999"}, 0.0),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ({"x-ratelimit-reset-requests": "2m59.56s", "x-ratelimit-remaining-requests": "0"}, 179.56),
        ({
            "x-ratelimit-reset-requests": "8.64s", "x-ratelimit-remaining-requests": "12",
            "x-ratelimit-reset-tokens": "1m", "x-ratelimit-remaining-tokens": "0",
        }, 60.0),
        ({"x-ratelimit-reset": "1790000045000", "x-ratelimit-remaining": "0"}, 45.0),
        ({"x-ratelimit-reset": "1790000045"}, 45.0),
        ({
            "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:30Z", "anthropic-ratelimit-requests-remaining": "9",
            "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:14:05Z",
            "anthropic-ratelimit-input-tokens-remaining": "0",
        }, 45.0),
        ({"x-ratelimit-reset-requests": "", "x-ratelimit-reset-tokens": "x" * 50}, None),
        ({"x-ratelimit-reset-requests": "40d"}, MOST_S),
    ],
)  # fmt: skip
def test_how_long_is_said_by_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    said = [(name.encode(), value.encode()) for name, value in headers.items()]
    found = wait_s(said, NOW_S)
    assert found is None if seconds is None else found == pytest.approx(seconds)


def test_what_is_wrong_with_a_key() -> None:
    assert [reason_of(status) for status in (200, 401, 402, 403, 429, 500)] == [
        None, "refused", "unpaid", None, "limited", None
    ]  # fmt: skip
    assert reason_of(403, b'{"error": {"type": "billing_error"}}') == "unpaid"
    assert reason_of(403, b'{"error": {"message": "not for this model"}}') is None
    assert reason_of(400, b'{"message": "Your credit balance is too low to access the API."}') == "unpaid"
    assert reason_of(400, b'{"message": "unknown field payment"}') is None
