"""Reports as one file of HTML each, with their pictures in it: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from ringfence.core.money import Price
from ringfence.core.spending import Part
from ringfence.costs.assumptions import Assumptions
from ringfence.costs.days import Day, total
from ringfence.costs.pictures import saved_picture, spent_picture, tokens_picture, volumes_picture
from ringfence.costs.whatif import WhatIf, bill_rows, volume_rows
from ringfence.costs.words import electricity, kwh, percent, price_in_words, rounded, tokens_in_words


def report_html(
    days: Sequence[Day], parts: Sequence[tuple[str, Sequence[Part]]], *, against: str, price: Price,
    usd_per_kwh: float | None, zone: ZoneInfo, made: str, version: str,
) -> str:  # fmt: skip
    """What was paid, day by day and by whose calls they were; `against` names the price of `Day.elsewhere_usd_micros`,
    `made` is when. Electricity is shown where anything is known of it: by its cost, or in kilowatt-hours where
    `usd_per_kwh` is not known."""
    sums = total(days)
    worked = sums.local_tokens + sums.cloud_tokens
    pictures = [
        ("Spent by day and provider", spent_picture(days)),
        (f"Saved against {against}", saved_picture(days, against)),
        ("Tokens, local and cloud", tokens_picture(days)),
    ]
    return _page(
        "report.html", days=days, sums=sums, parts=parts, pictures=pictures, against=against, zone=zone.key, made=made,
        version=version, dollars=rounded, words=tokens_in_words, kwh=kwh, usd_per_kwh=usd_per_kwh,
        electricity=lambda energy_j: electricity(energy_j, usd_per_kwh), price_words=price_in_words(price),
        saved_percent=percent(sums.saved_usd_micros, sums.elsewhere_usd_micros),
        local_percent=percent(sums.local_tokens, worked),
    )  # fmt: skip


def whatif_html(found: WhatIf, assumptions: Assumptions, text: str, *, made: str, version: str) -> str:
    """Scenarios side by side; `text` is the file of the assumptions."""
    names = found.names
    rows = [
        dict(zip(
            ("scenario", "units", "rented", "electricity", "hire", "amortisation", "whole", "saved", "running",
             "saved_then", "local"),
            (one.scenario, one.units, *cells), strict=True,
        ))
        for one, cells in zip(found.bills, bill_rows(found), strict=True)
    ]  # fmt: skip
    return _page(
        "whatif.html", traffic=found.words, rows=rows, findings=found.findings,
        inflections=[one.words for one in found.inflections], assumptions=text, made=made, version=version,
        picture=volumes_picture(assumptions, names), volumes={"names": names, "rows": volume_rows(assumptions, names)},
    )  # fmt: skip


def _page(name: str, **values: object) -> str:
    pages = Environment(loader=PackageLoader("ringfence.costs"), autoescape=True, undefined=StrictUndefined)
    return pages.get_template(name).render(**values)
