"""What a call costs, against sums that were made by hand: each case says its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.core.money import Hours, Price, Rates
from ringfence.core.usage import Usage

SONNET = Price(
    Rates.of(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000),
    ((200_000, Rates.of(6_000_000, 22_500_000, 600_000, 7_500_000, 12_000_000)),),
    batch_percent=50,
)
"""$3 in, $15 out; from the cache $0.30, into it $3.75 for five minutes, $6 for an hour; the double beyond 200,000."""
SMALL = Price(Rates.of(20_000, 0))
"""Embeddings at $0.02, nothing for output."""
SEARCHING = Price(Rates.of(1_000_000, 1_000_000), per_call=12_000)
"""$1 and $1, and 1.2 cents for each call."""
SEEING = Price(
    Rates.of(300_000, 2_500_000, 30_000),
    batch=Price(Rates.of(150_000, 1_250_000, 30_000)),
    media=Price(Rates.of(1_000_000, 2_500_000, 100_000)),
)
"""$0.30 and $2.50; a cached token costs the same in a batch; with sound $1."""
PEAK = Price(Rates.of(300_000, 1_200_000, 6_000))
BY_HOUR = Price(Rates.of(150_000, 600_000, 3_000), hours=(Hours(3600, 4 * 3600, PEAK),))
"""The double from 01:00 to 04:00 UTC."""
MIDNIGHT = Price(Rates.of(100, 100), hours=(Hours(23 * 3600, 3600, Price(Rates.of(200, 200))),))


@pytest.mark.parametrize(
    ("price", "usage", "micros"),
    [
        # 1,000 x 3 + 500 x 15 = 3,000 + 7,500
        (SONNET, Usage(1000, 500), 10_500),
        # 200 x 3 + 800 x 0.3 + 500 x 15 = 600 + 240 + 7,500
        (SONNET, Usage(1000, 500, cached_tokens=800), 8_340),
        # 200 x 3 + 800 x 3.75 + 500 x 15 = 600 + 3,000 + 7,500
        (SONNET, Usage(1000, 500, cache_write_tokens=800), 11_100),
        # 200 x 3 + 800 x 6 + 500 x 15 = 600 + 4,800 + 7,500
        (SONNET, Usage(1000, 500, cache_write_tokens=800, cache_write_1h_tokens=800), 12_900),
        # 100 x 3 + 400 x 0.3 + 300 x 3.75 + 200 x 6 + 10 x 15 = 300 + 120 + 1,125 + 1,200 + 150
        (SONNET, Usage(1000, 10, 400, cache_write_tokens=500, cache_write_1h_tokens=200), 2_895),
        # below the tier: 199,999 x 3 + 1 x 15
        (SONNET, Usage(199_999, 1), 600_012),
        # at it: 200,000 x 3 + 15
        (SONNET, Usage(200_000, 1), 600_015),
        # above it, all tokens: 200,001 x 6 + 22.5 = 1,200,006 + 22.5, rounded up
        (SONNET, Usage(200_001, 1), 1_200_029),
        # cached tokens count for the tier: 1 x 6 + 200,000 x 0.6 + 22.5 = 6 + 120,000 + 22.5, rounded up
        (SONNET, Usage(200_001, 1, cached_tokens=200_000), 120_029),
        # what it thought is in the output, and is not counted twice: 10 x 3 + 100 x 15
        (SONNET, Usage(10, 100, reasoning_tokens=90), 1_530),
        # 7 x 0.02 = 0.14
        (SMALL, Usage(7), 1),
        # 50 x 0.02 = 1 sharp
        (SMALL, Usage(50), 1),
        # 51 x 0.02 = 1.02
        (SMALL, Usage(51), 2),
        (SMALL, Usage(), 0),
        (Price(Rates.of(0, 0)), Usage(10**6, 10**6), 0),
        # 100 + 50 + 12,000
        (SEARCHING, Usage(100, 50), 12_150),
        # 1,000 x 0.3 + 10 x 2.5 = 325
        (SEEING, Usage(1000, 10), 325),
        # no hour is told: at the dearest, 1,000 x 0.3 + 100 x 1.2
        (BY_HOUR, Usage(1000, 100), 420),
        # a provider that says it read more from its cache than there was is not paid for more: 100 x 0.3
        (SONNET, Usage(100, 0, cached_tokens=1000, cache_write_tokens=1000), 30),
    ],
)  # fmt: skip
def test_a_call_costs_what_was_counted_by_hand(price: Price, usage: Usage, micros: int) -> None:
    assert price.cost(usage) == micros


@pytest.mark.parametrize(
    ("price", "usage", "micros"),
    [
        # the half of 10,500
        (SONNET, Usage(1000, 500), 5_250),
        # the half of 2,895, rounded up
        (SONNET, Usage(1000, 10, 400, cache_write_tokens=500, cache_write_1h_tokens=200), 1_448),
        # the half of 1,200,028.5, rounded up before it is halved and after it
        (SONNET, Usage(200_001, 1), 600_015),
        # no percentage: 600 x 0.15 + 400 x 0.03 + 10 x 1.25 = 90 + 12 + 12.5, rounded up
        (SEEING, Usage(1000, 10, cached_tokens=400), 115),
        # no price of batches is known: the whole
        (SMALL, Usage(100), 2),
    ],
)  # fmt: skip
def test_a_call_in_a_batch_costs_what_was_counted_by_hand(price: Price, usage: Usage, micros: int) -> None:
    assert price.cost(usage, is_batch=True) == micros


def at(clock: str) -> float:
    return datetime.fromisoformat(f"2026-11-22T{clock}").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("price", "begun", "ended", "micros"),
    [
        (BY_HOUR, "00:10:00", "00:59:59", 210),  # 1,000 x 0.15 + 100 x 0.6
        (BY_HOUR, "00:59:59", "01:00:00", 420),
        (BY_HOUR, "01:00:00", "01:00:05", 420),  # 1,000 x 0.3 + 100 x 1.2
        (BY_HOUR, "03:59:59", "04:30:00", 420),
        (BY_HOUR, "04:00:00", "04:00:01", 210),
        (MIDNIGHT, "00:30:00", "00:31:00", 1),  # 1,100 x 0.0002 = 0.22
        (BY_HOUR, "00:30:00", "05:00:00", 420),  # all of the dear hours lie in between
    ],
)
def test_the_hour_counts_and_the_dearer_one_where_it_changed(price: Price, begun: str, ended: str, micros: int) -> None:
    assert price.cost(Usage(1000, 100), span=(at(begun), at(ended))) == micros


def test_hours_may_go_over_midnight() -> None:
    rates = [MIDNIGHT.at(at(clock)).rates.input for clock in ("22:59:59", "23:00:00", "00:59:59", "01:00:00")]
    assert rates == [100, 200, 200, 100]


def test_a_change_to_come_holds_from_its_day_on() -> None:
    dearer = Price(Rates.of(4_000_000, 20_000_000), source="later")
    price = Price(Rates.of(2_000_000, 10_000_000), later=((1_796_083_200, dearer),))  # 2026-12-01
    assert price.on(1_796_083_199.9).cost(Usage(1000, 100)) == 3_000  # 1,000 x 2 + 100 x 10
    assert price.on(1_796_083_200.0).cost(Usage(1000, 100)) == 6_000  # 1,000 x 4 + 100 x 20


def test_sound_has_a_price_of_its_own() -> None:
    assert SEEING.on(0.0, has_media=True).cost(Usage(1000, 10)) == 1_025  # 1,000 x 1 + 10 x 2.5
    assert SEEING.on(0.0).cost(Usage(1000, 10)) == 325
    assert SONNET.on(0.0, has_media=True) is SONNET


COUNTS = st.integers(0, 400_000)
RATES = st.builds(Rates, *[st.integers(0, 80_000_000)] * 5)
PLAIN = st.builds(
    Price, RATES, st.lists(st.tuples(st.integers(1, 300_000), RATES), max_size=2, unique_by=lambda tier: tier[0]).map(
        lambda tiers: tuple(sorted(tiers))
    ), st.integers(0, 100), per_call=st.integers(0, 20_000),
)  # fmt: skip
PRICES = st.builds(
    lambda one, batch, hour: Price(
        one.rates, one.tiers, one.batch_percent, per_call=one.per_call, batch=batch,
        hours=(Hours(60, 3600, hour),) if hour else (),
    ),
    PLAIN, st.none() | PLAIN, st.none() | PLAIN,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    price=PRICES, most_in=COUNTS, most_out=COUNTS, used=st.tuples(*[st.integers(0, 500_000)] * 6), keeps=st.booleans(),
    is_batch=st.booleans(),
)  # fmt: skip
def test_nothing_costs_more_than_the_most(
    price: Price, most_in: int, most_out: int, used: tuple[int, ...], keeps: bool, is_batch: bool
) -> None:
    prompt, completion, cached, written, long, thought = used
    usage = Usage(min(prompt, most_in), min(completion, most_out), cached, False, thought, written, long * keeps)
    assert price.cost(usage, is_batch=is_batch) <= price.most(most_in, most_out, is_batch=is_batch)
    assert price.cost(usage, is_batch=is_batch, span=(0.0, 100.0)) <= price.most(most_in, most_out, is_batch=is_batch)
    if not usage.cache_write_1h_tokens:
        assert price.cost(usage, is_batch=is_batch) <= price.most(
            most_in, most_out, is_batch=is_batch, for_an_hour=False
        )


def test_no_more_is_held_than_a_cache_can_be_asked_for() -> None:
    assert SONNET.most(1000, 100, for_an_hour=False) == 5_250  # 1,000 x 3.75 + 100 x 15
    assert SONNET.most(1000, 100) == 7_500  # 1,000 x 6 + 100 x 15
