"""Requests and tokens a minute, against a model that refills a bucket the slow way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.errors import RateLimited
from ringfence.core.identity import Key
from ringfence.core.usage import Usage
from ringfence.gateway.limits import Allowance, Hold, RateLimits


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Bucket:
    """The same rule, written as plainly as it can be."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = float(limit)

    def wait(self, seconds: float) -> None:
        self.left = min(self.limit, self.left + self.limit * seconds / 60)


def key(requests: int | None = None, tokens: int | None = None) -> Key:
    return Key("key_1", "tests", requests_per_minute=requests, tokens_per_minute=tokens)


def hold(limits: RateLimits, asker: Key, tokens: int) -> Hold:
    held = Hold()
    limits.hold(asker, tokens, held)
    return held


def heads(allowance: Allowance | None) -> dict[str, str]:
    assert allowance is not None
    return dict(line.split(": ", 1) for line in allowance.head().decode().splitlines())


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "settle", "drop", "wait"]),
        st.integers(0, 3000),
        st.floats(0, 40).map(lambda s: round(s, 2)),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(requests=st.integers(1, 20), tokens=st.integers(1, 2000), steps=STEPS)
def test_it_agrees_with_a_simple_model(requests: int, tokens: int, steps: list[tuple[str, int, float]]) -> None:
    clock = Clock()
    limits, asker = RateLimits(clock), key(requests, tokens)
    asked, spent = Bucket(requests), Bucket(tokens)
    held: list[tuple[Hold, float]] = []
    for step, count, seconds in steps:
        _refilled(limits, clock)
        spent.wait(0)
        if step == "ask":
            wanted = min(count, tokens)
            if abs(asked.left - 1) < 1e-6 or abs(spent.left - wanted) < 1e-6:
                continue  # too close to call in floating point
            is_allowed = asked.left >= 1 and spent.left >= wanted
            try:
                held.append((hold(limits, asker, count), wanted))
            except RateLimited:
                assert not is_allowed
            else:
                assert is_allowed
                asked.left -= 1
                spent.left -= wanted
        elif step == "wait":
            clock.now_s += seconds
            asked.wait(seconds)
            spent.wait(seconds)
            _refilled(limits, clock)
        elif held:
            one, wanted = held.pop(count % len(held))
            used = count if step == "settle" else 0
            one.settle(Usage(used, 0) if step == "settle" else None)
            spent.left += wanted - used
    _refilled(limits, clock)
    spent.wait(0)
    if (allowance := limits._allowances.get("key_1")) is not None:
        assert allowance.requests_left == pytest.approx(asked.left, abs=1e-6)
        assert allowance.tokens_left == pytest.approx(spent.left, abs=1e-6)


def _refilled(limits: RateLimits, clock: Clock) -> None:
    """Refilling is lazy, and two refills are not one when a bucket overflows in between: keep both in step."""
    for allowance in limits._allowances.values():
        allowance.refill(clock.now_s)


def test_requests_run_out_and_come_back_steadily() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    for _ in range(6):
        hold(limits, key(6), 0)
    with pytest.raises(RateLimited) as refused:
        hold(limits, key(6), 0)
    assert refused.value.retry_after_s == pytest.approx(10, abs=0.01)
    clock.now_s += 9.9
    with pytest.raises(RateLimited):
        hold(limits, key(6), 0)
    clock.now_s += 0.2
    hold(limits, key(6), 0)


def test_waiting_as_long_as_told_is_enough() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    hold(limits, key(None, 1000), 900)
    with pytest.raises(RateLimited) as refused:
        hold(limits, key(None, 1000), 700)
    assert refused.value.retry_after_s is not None
    clock.now_s += refused.value.retry_after_s
    hold(limits, key(None, 1000), 700)


def test_headers_as_openai_writes_them() -> None:
    clock = Clock()
    told = heads(hold(RateLimits(clock), key(60, 6000), 600).allowance)
    assert told == {
        "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1000ms",
        "x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": "5400",
        "x-ratelimit-reset-tokens": "6000ms",
    }  # fmt: skip
    assert set(heads(hold(RateLimits(clock), key(60), 5).allowance)) == {
        f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")
    }


def test_a_refusal_carries_them_too_and_never_below_zero() -> None:
    limits = RateLimits(Clock())
    hold(limits, key(None, 100), 50).settle(Usage(500, 0))
    with pytest.raises(RateLimited) as refused:
        hold(limits, key(None, 100), 1)
    assert dict(refused.value.headers)["x-ratelimit-remaining-tokens"] == "0"
    assert "sk-" not in refused.value.message


def test_a_call_larger_than_a_minute_waits_for_a_full_bucket_and_is_then_let_in() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    held = hold(limits, key(None, 100), 10_000)
    with pytest.raises(RateLimited):
        hold(limits, key(None, 100), 1)
    held.settle(Usage(150, 0))
    assert limits._allowances["key_1"].tokens_left == pytest.approx(-50)
    clock.now_s += 90.5
    hold(limits, key(None, 100), 10_000)


def test_a_hold_settles_once() -> None:
    limits = RateLimits(Clock())
    held = hold(limits, key(None, 100), 40)
    held.settle(Usage(10, 20))
    held.settle(Usage(90, 0))
    held.settle(None)
    assert limits._allowances["key_1"].tokens_left == pytest.approx(70)
    assert held.allowance is None


def test_nothing_generated_gives_the_tokens_back_but_not_the_request() -> None:
    limits = RateLimits(Clock())
    hold(limits, key(10, 100), 40).settle(None)
    allowance = limits._allowances["key_1"]
    assert (allowance.tokens_left, allowance.requests_left) == (100, 9)


def test_without_limits_nothing_is_kept() -> None:
    limits = RateLimits(Clock())
    held = hold(limits, key(), 10**9)
    held.settle(Usage(1, 1))
    assert (held.allowance, limits._allowances) == (None, {})


def test_a_key_read_anew_keeps_what_it_used_and_new_limits_start_full() -> None:
    limits, asker = RateLimits(Clock()), key(10)
    hold(limits, asker, 0)
    hold(limits, replace(asker, name="renamed"), 0)
    assert limits._allowances["key_1"].requests_left == 8
    hold(limits, replace(asker, requests_per_minute=20), 0)
    assert limits._allowances["key_1"].requests_left == 19


def test_only_ample_limits_are_told_from_memory() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    small, ample = key(1000), replace(key(100_000), id="key_2")
    told = [heads(hold(limits, asker, 0).allowance)["x-ratelimit-remaining-requests"] for asker in (small, ample) * 2]
    assert told == ["999", "99999", "998", "99999"]
    clock.now_s += 0.02  # 33 of 100,000 a minute come back, and at most two were used
    assert heads(hold(limits, ample, 0).allowance)["x-ratelimit-remaining-requests"] == "99999"
