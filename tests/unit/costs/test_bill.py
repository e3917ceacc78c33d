"""Bills by hand: what fits a site, what overflows, caches, batches, hire, and the ledger again."""

from __future__ import annotations

import pytest

from ringfence.config.problems import ConfigInvalid
from ringfence.core.spending import Slice
from ringfence.costs.assumptions import Assumptions, read_assumptions
from ringfence.costs.bill import Load, Span, Traffic, as_it_was, bill, cheapest_units, replayed, stated

FILE = """\
tokens_per_day: 1000
output_percent: 20
usd_per_kwh: 0.50
prices:
  dear:
    {input: 10, output: 50, cached: 1, cache_write: 12, batch_percent: 50,
     tiers: [{above: 1000, input: 20, output: 80}]}
  poor: {input: 1, output: 2}
sites:
  box: {capex_usd: 600, months: 10, idle_watts: 100, busy_watts: 300, input_tokens_per_s: 100, output_tokens_per_s: 10}
  hired: {usd_per_hour: 2, paid: busy, input_tokens_per_s: 100, output_tokens_per_s: 10, usable_percent: 50}
scenarios:
  all-frontier: {rest: dear}
  half: {site: box, local_percent: 50, rest: dear, overflow: poor}
  short: {site: box, local_below_tokens: 500, rest: dear}
  hired: {site: hired, local_percent: 100, rest: dear}
  all: {site: box, local_percent: 100, rest: dear}
  thrifty: {rest: dear, repeated_percent: 75, batch_percent: 60}
"""


@pytest.fixture(scope="module")
def site() -> Assumptions:
    return read_assumptions(FILE.encode(), "site.yaml")


def one_span(seconds: float, *loads: Load) -> Traffic:
    return Traffic(30, (Span(seconds, loads),))


def a_slice(start_s: int, provider: str = "", **over: object) -> Slice:
    known = Slice(start_s, provider, False, 0, 2, 800, 0, 0, 100, 0, 0, 0.0)
    return known._replace(**over)  # type: ignore[arg-type]


def test_a_stated_month_is_split_as_it_says(site: Assumptions) -> None:
    assert stated(site) == Traffic(30, (Span(30 * 86_400, (Load(0, 24_000, 6_000),)),))
    assert stated(site, 2000).tokens == 60_000


def test_what_fits_is_local_and_the_rest_overflows(site: Assumptions) -> None:
    # One half, 5,000 in and 1,000 out, is 50 + 100 = 150 s of work; there are 75: half of that overflows.
    found = bill("half", site, one_span(75, Load(0, 10_000, 2_000)))
    assert (found.local_tokens, found.overflow_tokens, found.rented_tokens) == (3_000, 3_000, 9_000)
    assert found.busy_s == 75
    # 5,000 x $10 + 1,000 x $50 dear, 2,500 x $1 + 500 x $2 poor, per million: in micro-dollars just so many.
    assert found.rented_usd_micros == 100_000 + 3_500
    # 30 days of 100 W and 75 s of 200 W more, at 50 cents.
    assert found.kwh == pytest.approx(72 + 75 * 200 / 3_600_000)
    assert found.electricity_usd_micros == 36_002_083
    assert found.amortisation_usd_micros == 60_000_000
    assert found.whole - found.running == 60_000_000


def test_a_second_unit_is_taken_where_it_pays(site: Assumptions) -> None:
    traffic = one_span(75, Load(0, 10_000, 2_000))
    assert bill("half", site, traffic, units=2).overflow_tokens == 0
    assert cheapest_units("half", site, traffic, 4).units == 1
    heavy = one_span(2_592_000, Load(0, 259_200_000, 25_920_000))  # just what two have time for
    assert bill("all", site, heavy).overflow_tokens == 142_560_000
    assert cheapest_units("all", site, heavy, 4) == bill("all", site, heavy, units=2)


def test_short_prompts_are_local_where_that_is_the_rule(site: Assumptions) -> None:
    found = bill("short", site, one_span(10_000, Load(499, 4_990, 100), Load(500, 5_000, 100)))
    assert (found.local_tokens, found.rented_tokens) == (5_090, 5_100)
    assert found.rented_usd_micros == 5_000 * 10 + 100 * 50


def test_hired_machines_cost_their_hours_and_no_electricity(site: Assumptions) -> None:
    found = bill("hired", site, one_span(7200, Load(0, 180_000, 18_000)))
    assert found.busy_s == 3600  # one half of two hours
    assert found.hire_usd_micros == 2_000_000
    assert (found.electricity_usd_micros, found.amortisation_usd_micros) == (0, 0)
    assert bill("hired", site, one_span(7200), units=3).hire_usd_micros == 0


def test_caches_and_batches_make_it_cheaper(site: Assumptions) -> None:
    # 250 fresh x $10, 750 cached x $1, 100 x $50; 60 % of it at one half.
    found = bill("thrifty", site, one_span(60, Load(0, 1_000, 100)))
    assert found.rented_usd_micros == (2_500 + 750 + 5_000) * 7 // 10


def test_what_was_cached_stays_so_and_long_prompts_have_their_tier(site: Assumptions) -> None:
    found = bill("all-frontier", site, one_span(60, Load(900, 1_000, 100, 200, 300)))
    assert found.rented_usd_micros == 500 * 10 + 200 * 1 + 300 * 12 + 100 * 50
    assert bill("all-frontier", site, one_span(60, Load(1_001, 1_001, 10))).rented_usd_micros == 1_001 * 20 + 10 * 80


def test_the_ledger_is_replayed_by_quarters(site: Assumptions) -> None:
    kept = a_slice(900, is_kept=True)
    one, two, later = a_slice(900), a_slice(900, "openai", input_tokens=400), a_slice(1800)
    traffic = replayed([later, kept, two, one], 2)
    assert traffic == Traffic(2, (
        Span(900, (Load(400, 800, 100), Load(200, 400, 100))), Span(900, (Load(400, 800, 100),)),
    ))  # fmt: skip
    assert traffic.tokens == 2_300


def test_what_was_done_is_a_bill_as_well(site: Assumptions) -> None:
    rented = a_slice(0, "openai", cost_usd_micros=70)
    found = as_it_was("as it was", site, [a_slice(0), rented, a_slice(0, is_kept=True)], 3, "box")
    assert (found.rented_usd_micros, found.local_tokens, found.rented_tokens) == (70, 900, 900)
    assert found.amortisation_usd_micros == 6_000_000  # a tenth of a month
    assert found.busy_s == 8 + 10
    measured = as_it_was("as it was", site, [a_slice(0, energy_j=7_200_000.0)], 3, "box")
    assert (measured.kwh, measured.electricity_usd_micros) == (2, 1_000_000)
    assert as_it_was("as it was", site, [rented], 3, None).whole == 70


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  more: {rest: poorer}", "the scenario 'more' names the price 'poorer', which is not there"),
        ("  more: {rest: poor, site: bx}", "the scenario 'more' names the site 'bx', which is not there"),
        ("  more: {rest: poor, local_percent: 5}", "what is answered locally needs a site"),
        ("  more: {rest: poor, batches: 5}", "batches"),
        ("volumes: [0]", "volumes are tokens a day"),
        ("baseline: half", "the baseline has no site"),
        ("baseline: none", "the baseline 'none' is no scenario"),
    ],
)
def test_assumptions_that_cannot_be_are_refused(line: str, told: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        read_assumptions(f"{FILE}{line}\n".encode(), "site.yaml")
    assert told in str(refused.value)
    assert str(refused.value).startswith("site.yaml")
