"""What was spent, as `ringfence cost` tells it, and the report of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import typer

from ringfence import __version__
from ringfence.cli.spending import Books, assumed, write
from ringfence.core.spending import Held, Part, Slice
from ringfence.costs.assumptions import Assumptions
from ringfence.costs.days import Day, days_of, last_days, sparkline, total
from ringfence.costs.report import report_html
from ringfence.costs.words import price_in_words
from ringfence.store.spending import Whose, first_s, held, parts, slices

SHOWN_DAYS = 30
NO_SLICES: list[Slice] = []
NO_PARTS: list[Part] = []
REPORTED: tuple[tuple[Whose, str], ...] = (
    ("provider", "provider"), ("model", "model"), ("profile", "profile"), ("key", "key"), ("outcome", "outcome"),
)  # fmt: skip


def spent(
    config: Path | None, since: str | None, by: str | None, period: str, assumptions: Path | None
) -> dict[str, Any]:
    """All that the command tells, in micro-dollars."""
    books = Books(config)
    supposed = assumed(assumptions, books.usd_per_kwh)
    price, usd_per_kwh = supposed.baseline_price, _usd_per_kwh(books, supposed, assumptions)
    since_s = books.since_s(since) if since else books.start_s(period)
    month_s = books.start_s("month")
    days = _days(books, min(month_s, _shown_s(books)), price)
    caps = books.caps() or {"caps": None, "call_caps": None}
    found: dict[str, Any] = {
        "zone": books.zone.key,
        "since": since or period,
        "today": total(days, books.start_s("today")).told(usd_per_kwh),
        "month": total(days, month_s).told(usd_per_kwh),
        "usd_per_kwh": usd_per_kwh,
        "held": books.read(held, Held(0, 0))._asdict(),
        **caps,
        "days": [{"day": day.date, **day.told(usd_per_kwh)} for day in days[-SHOWN_DAYS:]],
        "sparkline": sparkline([day.cost_usd_micros for day in days[-SHOWN_DAYS:]]),
        "tokens_sparkline": sparkline([day.local_tokens + day.cloud_tokens for day in days[-SHOWN_DAYS:]]),
        "against": {"scenario": supposed.baseline, "price": price_in_words(price)},
    }
    if since or period != "month":
        found["chosen"] = total(_days(books, since_s, price)).told(usd_per_kwh)
    if by is not None:
        found["by"] = by
        is_by_day = by == "day"
        found["parts"] = _by_day(_days(books, since_s, price)) if is_by_day else _by(books, cast("Whose", by), since_s)
    return found


def write_report(file: Path, config: Path | None, since: str | None, assumptions: Path | None) -> None:
    """Of the last 30 days, where nothing else is said."""
    books = Books(config)
    supposed = assumed(assumptions, books.usd_per_kwh)
    price = supposed.baseline_price
    since_s = books.since_s(since) if since else _shown_s(books)
    days = _days(books, since_s, price)
    tables = [
        (words, [_named(books, whose, one) for one in _parts(books, whose, since_s)]) for whose, words in REPORTED
    ]
    write(file, report_html(
        days, [(words, rows) for words, rows in tables if rows], against=supposed.baseline, price=price,
        usd_per_kwh=_usd_per_kwh(books, supposed, assumptions), zone=books.zone, made=books.made, version=__version__,
    ))  # fmt: skip
    typer.secho(f"The report of {len(days)} days is in {file}.", err=True)


def slices_since(books: Books, since_s: float) -> list[Slice]:
    """What the ledger has since then."""
    return books.read(lambda connection: slices(connection, since_s, books.now_s + 1), NO_SLICES)


def first_call_s(books: Books) -> float | None:
    """When the first one began that is kept."""
    return books.read(first_s, None)


def _days(books: Books, since_s: float, price: Any) -> list[Day]:
    return days_of(slices_since(books, since_s), since_s, books.now_s, books.zone, price)


def _shown_s(books: Books) -> int:
    """When the first of the days that are shown began."""
    return last_days(SHOWN_DAYS, books.now_s, books.zone)[0][0]


def _usd_per_kwh(books: Books, supposed: Assumptions, file: Path | None) -> float | None:
    """As the owner says: in the file of assumptions that was given, or in the configuration. None: nobody did."""
    is_said = file is not None and "usd_per_kwh" in supposed.model_fields_set
    return supposed.usd_per_kwh if is_said else books.usd_per_kwh


def _by(books: Books, whose: Whose, since_s: float) -> list[dict[str, Any]]:
    return [one._asdict() | {"label": _named(books, whose, one).name} for one in _parts(books, whose, since_s)]


def _parts(books: Books, whose: Whose, since_s: float) -> list[Part]:
    return books.read(lambda connection: parts(connection, whose, since_s, books.now_s + 1), NO_PARTS)


def _named(books: Books, whose: Whose, one: Part) -> Part:
    """Keys by what they are called, and own engines as such."""
    if whose == "provider" and not one.name:
        return one._replace(name="own engines")
    return one._replace(name=books.key_names().get(one.name, one.name)) if whose == "key" else one


def _by_day(days: list[Day]) -> list[dict[str, Any]]:
    return [
        {
            "name": day.date, "label": day.date, "calls": day.calls, "local_tokens": day.local_tokens,
            "cloud_tokens": day.cloud_tokens, "kept_tokens": day.kept_tokens, "cost_usd_micros": day.cost_usd_micros,
            "unpriced_calls": day.unpriced_calls, "energy_j": day.energy_j,
        }
        for day in days if day.calls
    ]  # fmt: skip
