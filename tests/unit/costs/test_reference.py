"""The reference month: its figures come out of the assumptions that are written down, and what they do not bear out is
said."""

from __future__ import annotations

from importlib.resources import files

import pytest

from ringfence.core.money import USD_MICROS
from ringfence.costs.assumptions import Assumptions, read_assumptions
from ringfence.costs.bill import Bill, bill, cheapest_units, stated
from ringfence.costs.inflection import Stretch, inflections
from ringfence.costs.whatif import WhatIf, as_json, what_if

WHOLE_USD = {"all-frontier": 540, "all-cheap": 84, "hybrid": 172, "optimised": 148}
PAID_FOR_USD = {"all-frontier": 540, "all-cheap": 84, "hybrid": 97, "optimised": 73}


@pytest.fixture(scope="module")
def reference() -> Assumptions:
    return read_assumptions(files("ringfence.costs").joinpath("reference.yaml").read_bytes(), "reference.yaml")


@pytest.fixture(scope="module")
def found(reference: Assumptions) -> WhatIf:
    return what_if(reference, stated(reference), "The reference month")


def months(reference: Assumptions, tokens_per_day: int) -> dict[str, Bill]:
    traffic = stated(reference, tokens_per_day)
    return {name: cheapest_units(name, reference, traffic, 8) for name in reference.scenarios}


def test_the_reference_month_comes_out(reference: Assumptions) -> None:
    assert reference.tokens_per_day == 2_000_000
    month = {name: bill(name, reference, stated(reference)) for name in reference.scenarios}
    assert {name: round(one.whole / USD_MICROS) for name, one in month.items()} == WHOLE_USD
    assert {name: round(one.running / USD_MICROS) for name, one in month.items()} == PAID_FOR_USD


def test_it_comes_out_by_hand(reference: Assumptions) -> None:
    # 60M tokens, one half output: 30M x $3 + 30M x $15, and 30M x $0.60 + 30M x $2.20.
    assert bill("all-frontier", reference, stated(reference)).whole == 90_000_000 + 450_000_000
    assert bill("all-cheap", reference, stated(reference)).whole == 18_000_000 + 66_000_000
    hybrid = bill("hybrid", reference, stated(reference))
    # 15 % of $540. 25.5M / 850 + 25.5M / 50 seconds of work; 720 h x 70 W + 150 h x 330 W = 99.9 kWh at 16 cents.
    assert hybrid.rented_usd_micros == 81_000_000
    assert hybrid.busy_s == 30_000 + 510_000
    assert hybrid.kwh == pytest.approx(99.9)
    assert hybrid.electricity_usd_micros == 15_984_000
    assert hybrid.amortisation_usd_micros == 1800 * USD_MICROS // 24
    optimised = bill("optimised", reference, stated(reference))
    # 9M tokens: 0.9M x $3 + 3.6M x $0.30 + 4.5M x $15 = $71.28, of which 40 % at half the price.
    assert optimised.rented_usd_micros == 71_280_000 * 8 // 10
    assert optimised.running - optimised.rented_usd_micros == 15_984_000


def test_what_the_reference_does_not_bear_out_is_said(found: WhatIf) -> None:
    told = found.findings
    assert "all-cheap costs least: $84.00." in told
    assert (
        "hybrid never costs less than all-cheap with this traffic, not even once the hardware is paid for ($96.98)."
        in told
    )
    for name, whole, later in (("hybrid", "68.2", "82.0"), ("optimised", "72.6", "86.5")):
        assert (
            f"Against all-frontier, {name} saves {whole} %, short of 80 %, until the hardware is paid for; {later} % "
            "from then on." in told
        )
    assert "What hybrid saves against all-cheap never pays for its hardware." in told
    # $1800 / ($84 - $73.008), and $1800 / ($540 - $96.984).
    assert "What optimised saves against all-cheap has paid for its hardware after 13.6 years." in told
    assert "What hybrid saves against all-frontier has paid for its hardware after 4.1 months." in told


def test_inflections_are_where_the_straight_lines_cross(reference: Assumptions) -> None:
    """A month of one machine costs $83.064 and, for each million tokens a day, rented tokens and $3.96 of power: $44.46
    for hybrid, $32.472 for optimised; all-cheap $42 and all-frontier $270 for each."""
    at = {(one.what, one.scenario, one.against, one.is_whole): one.stretches for one in inflections(reference)}

    def since(*key: object) -> float:
        (first, *_) = at[key]  # type: ignore[index]
        return first.since / 1e6

    assert since("cheaper", "hybrid", "all-frontier", True) == pytest.approx(83.064 / (270 - 44.46), abs=0.001)
    assert since("cheaper", "optimised", "all-frontier", True) == pytest.approx(83.064 / (270 - 32.472), abs=0.001)
    assert since("cheaper", "optimised", "all-cheap", False) == pytest.approx(8.064 / (42 - 32.472), abs=0.001)
    assert since("saved", "optimised", "80 % of all-frontier", True) == pytest.approx(83.064 / (54 - 32.472), abs=0.001)
    assert since("saved", "hybrid", "80 % of all-frontier", False) == pytest.approx(8.064 / (54 - 44.46), abs=0.001)
    for is_whole in (True, False):
        assert at["cheaper", "hybrid", "all-cheap", is_whole] == ()
    assert at["saved", "hybrid", "80 % of all-frontier", True] == ()
    # One machine has time for 0.85 x 86,400 s / (0.85 x (0.5 / 850 + 0.5 / 50) s) a day; what does not fit costs $270
    # for each million instead of $3.96 of power, so the second is worth its $83.064 so much later.
    room = 86_400 / (0.5 / 850 + 0.5 / 50) / 1e6
    second = room + 83.064 / (0.85 * (270 - 3.96 / 0.85))
    assert since("unit", "hybrid", "2 units of desktop than with 1", True) == pytest.approx(second, abs=0.001)
    # By the hour of work: $0.40 x 2.5 h x 30 for each million, against $83.064 and $3.96 of power.
    (hired,) = at["hired", "hybrid", "rented-gpu paid only while it works", True]
    assert hired == Stretch(0, pytest.approx(83.064e6 / (0.40 * 2.5 * 30 - 3.96), abs=1000))


@pytest.mark.parametrize(
    ("tokens_per_day", "units", "hybrid", "optimised"),
    [
        (2_000_000, 1, 171.984, 148.008),
        (5_000_000, 1, 305.364, 245.424),
        (10_000_000, 2, 610.728, 490.848),
        (20_000_000, 3, 1138.392, 898.632),
    ],
)
def test_a_month_at_other_volumes(
    reference: Assumptions, tokens_per_day: int, units: int, hybrid: float, optimised: float
) -> None:
    month = months(reference, tokens_per_day)
    assert (month["hybrid"].units, month["hybrid"].whole) == (units, round(hybrid * USD_MICROS))
    assert (month["optimised"].units, month["optimised"].whole) == (units, round(optimised * USD_MICROS))


def test_it_is_told_in_json(found: WhatIf, reference: Assumptions) -> None:
    told = as_json(found, reference)
    assert [one["scenario"] for one in told["scenarios"]] == list(WHOLE_USD)
    assert told["scenarios"][2]["saved_percent"] == 68.15
    assert [one["tokens_per_day"] for one in told["volumes"]] == [2_000_000, 5_000_000, 10_000_000, 20_000_000]
    assert read_back(told["assumptions"]) == reference


def read_back(data: dict[str, object]) -> Assumptions:
    return Assumptions.model_validate(data)
