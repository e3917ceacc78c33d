"""[pure] What is to be said of bills side by side: what is saved, what is cheapest, and when hardware is paid for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ringfence.core.money import USD_MICROS
from ringfence.costs.assumptions import Assumptions
from ringfence.costs.bill import Bill
from ringfence.costs.words import months_in_words, rounded

AS_IT_WAS = "as it was"
"""The bill of what was done, among those of what might have been."""


class Saving(NamedTuple):
    """Against the baseline, in percent: with amortisation, and without."""

    whole: float
    running: float


def saving(one: Bill, baseline: Bill) -> Saving:
    """Nothing is saved where the baseline costs nothing."""
    cost = baseline.whole
    return Saving(*(100 * (cost - paid) / cost if cost else 0.0 for paid in (one.whole, one.running)))


def payback_months(one: Bill, other: Bill, assumptions: Assumptions, months: float) -> float | None:
    """After how many months the machines of `one` have cost less than going on with `other`, which has none; both bills
    are of so many months. None: never."""
    site = assumptions.scenarios[one.scenario].site
    won = (other.running - one.running) / months if months else 0.0
    if site is None or won <= 0:
        return None
    return assumptions.sites[site].capex_usd * USD_MICROS * one.units / won


def findings(bills: Sequence[Bill], baseline: Bill, assumptions: Assumptions, months: float) -> list[str]:
    """Sentences; all figures in them are of these bills."""
    return [*_cheapest(bills), *_target(bills, baseline, assumptions), *_paid_back(bills, assumptions, months)]


def _cheapest(bills: Sequence[Bill]) -> list[str]:
    if len(bills) < 2:
        return []
    least = min(bills, key=lambda one: one.whole)
    later = min(bills, key=lambda one: one.running)
    told = [f"{least.scenario} costs least: {rounded(least.whole)}."]
    if later.scenario != least.scenario:
        told.append(
            f"Once the hardware is paid for, {later.scenario} costs least: {rounded(later.running)} against "
            f"{rounded(least.running)} of {least.scenario}."
        )
    for one in bills:
        if one.amortisation_usd_micros and one.running > least.whole:
            told.append(
                f"{one.scenario} never costs less than {least.scenario} with this traffic, not even once the hardware "
                f"is paid for ({rounded(one.running)})."
            )
    return told


def _target(bills: Sequence[Bill], baseline: Bill, assumptions: Assumptions) -> list[str]:
    told: list[str] = []
    target = assumptions.saved_percent
    for one in bills:
        if one.scenario == baseline.scenario:
            continue
        whole, running = saving(one, baseline)
        if running < 0:
            said = f"{one.scenario} saves nothing: it costs {rounded(one.whole - baseline.whole)} more"
        elif whole < 0:
            more, later = rounded(one.whole - baseline.whole), "" if running >= target else f", short of {target:g} %,"
            said = (
                f"{one.scenario} costs {more} more until the hardware is paid for; it saves {running:.1f} %{later} "
                "from then on"
            )
        elif whole >= target:
            said = f"{one.scenario} saves {whole:.1f} %"
        elif running >= target:
            said = (
                f"{one.scenario} saves {whole:.1f} %, short of {target:g} %, until the hardware is paid for; "
                f"{running:.1f} % from then on"
            )
        else:
            said = f"{one.scenario} saves {whole:.1f} %, short of {target:g} %" + (
                f" even once the hardware is paid for ({running:.1f} %)" if one.amortisation_usd_micros else ""
            )
        told.append(f"Against {baseline.scenario}, {said}.")
    return told


def _paid_back(bills: Sequence[Bill], assumptions: Assumptions, months: float) -> list[str]:
    told: list[str] = []
    for one in bills:
        if not one.amortisation_usd_micros or one.scenario == AS_IT_WAS:
            continue
        for other in (other for other in bills if not other.units):
            after = payback_months(one, other, assumptions, months)
            won = f"What {one.scenario} saves against {other.scenario}"
            when = f"has paid for its hardware after {months_in_words(after)}" if after is not None else ""
            told.append(f"{won} {when or 'never pays for its hardware'}.")
    return told
