"""[pure] Scenarios side by side for one traffic, with what follows from it, as rows for tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.costs.assumptions import Assumptions
from ringfence.costs.bill import Bill, Traffic, bill, cheapest_units, stated
from ringfence.costs.findings import AS_IT_WAS, findings, saving
from ringfence.costs.inflection import MOST_UNITS, Inflection, inflections
from ringfence.costs.words import millions, rounded


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`words` says of what traffic; `tokens_per_day` is its mean."""

    words: str
    tokens_per_day: int
    days: float
    bills: tuple[Bill, ...]
    baseline: Bill
    findings: tuple[str, ...]
    inflections: tuple[Inflection, ...]

    @property
    def names(self) -> list[str]:
        """Of the scenarios."""
        return [one.scenario for one in self.bills if one.scenario != AS_IT_WAS]


def what_if(
    assumptions: Assumptions, traffic: Traffic, words: str, names: Sequence[str] = (), was: Bill | None = None
) -> WhatIf:  # fmt: skip
    """Of the scenarios named, or of all; ledgers and stated months alike. `was` is the bill of what was done."""
    wanted = tuple(names) or tuple(assumptions.scenarios)
    bills = (was,) if was is not None else ()
    bills += tuple(bill(name, assumptions, traffic) for name in wanted)
    baseline = bill(assumptions.baseline, assumptions, traffic)
    told = findings(bills, baseline, assumptions, traffic.days / assumptions.days)
    per_day = round(traffic.tokens / traffic.days) if traffic.days else 0
    return WhatIf(words, per_day, traffic.days, bills, baseline, tuple(told), tuple(inflections(assumptions, wanted)))


def bill_rows(found: WhatIf) -> Iterator[tuple[str, ...]]:
    """For each bill: rented, electricity, hire, amortisation, whole, saved, running, saved then, local share."""
    for one in found.bills:
        saved = saving(one, found.baseline)
        tokens = one.local_tokens + one.rented_tokens
        yield (
            *(rounded(micros) if micros else "-" for micros in (
                one.rented_usd_micros, one.electricity_usd_micros, one.hire_usd_micros, one.amortisation_usd_micros,
            )),
            rounded(one.whole), f"{saved.whole:.1f} %", rounded(one.running), f"{saved.running:.1f} %",
            f"{100 * one.local_tokens / tokens:.0f} %" if tokens else "-",
        )  # fmt: skip


def volume_rows(assumptions: Assumptions, names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """A month at each volume of the assumptions, with the number of units that is cheapest."""
    return [
        (millions(volume), [_cell(one) for one in _at(assumptions, names, volume)]) for volume in assumptions.volumes
    ]


def as_json(found: WhatIf, assumptions: Assumptions) -> dict[str, Any]:
    """All of it, in micro-dollars."""
    return {
        "traffic": found.words,
        "tokens_per_day": found.tokens_per_day,
        "days": found.days,
        "scenarios": [_bill_json(one, found.baseline) for one in found.bills],
        "findings": list(found.findings),
        "inflections": [
            {
                "what": one.what, "scenario": one.scenario, "against": one.against, "with_amortisation": one.is_whole,
                "stretches": [stretch._asdict() for stretch in one.stretches], "words": one.words,
            }
            for one in found.inflections
        ],
        "volumes": [
            {
                "tokens_per_day": volume,
                "scenarios": [
                    {
                        "scenario": one.scenario, "units": one.units, "whole_usd_micros": one.whole,
                        "running_usd_micros": one.running,
                    }
                    for one in _at(assumptions, found.names, volume)
                ],
            }
            for volume in assumptions.volumes
        ],
        "assumptions": assumptions.model_dump(mode="json"),
    }  # fmt: skip


def _bill_json(one: Bill, baseline: Bill) -> dict[str, Any]:
    saved = saving(one, baseline)
    return {
        **one._asdict(), "whole_usd_micros": one.whole, "running_usd_micros": one.running,
        "saved_percent": round(saved.whole, 2), "saved_percent_once_paid_for": round(saved.running, 2),
    }  # fmt: skip


def _at(assumptions: Assumptions, names: Sequence[str], volume: int) -> list[Bill]:
    return [cheapest_units(name, assumptions, stated(assumptions, volume), MOST_UNITS) for name in names]


def _cell(one: Bill) -> str:
    whole = rounded(one.whole)
    if not one.units:
        return whole
    return f"{whole} ({rounded(one.running)}) ×{one.units}"
