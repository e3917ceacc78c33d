"""What was spent, as `ringfence cost` tells it, and the report of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import typer

from ringfence import __version__
from ringfence.cli.spending import Books, assumed, baseline_price, write
from ringfence.core.spending import Held, Part, Slice
from ringfence.costs.days import Day, days_of, sparkline, total
from ringfence.costs.report import price_in_words, report_html
from ringfence.store.spending import Whose, first_s, held, parts, slices

SHOWN_DAYS = 30
DAY_S = 86_400
NO_SLICES: list[Slice] = []
NO_PARTS: list[Part] = []
REPORTED: tuple[tuple[Whose, str], ...] = (
    ("provider", "provider"), ("model", "model"), ("profile", "profile"), ("key", "key"), ("outcome", "outcome"),
)  # fmt: skip


def spent(
    config: Path | None, since: str | None, by: str | None, period: str, assumptions: Path | None
) -> dict[str, Any]:
    """All that the command tells, in micro-dollars."""
    books, supposed = Books(config), assumed(assumptions)
    price = baseline_price(supposed)
    since_s = books.since_s(since) if since else books.start_s(period)
    month_s, shown_s = books.start_s("month"), books.now_s - (SHOWN_DAYS - 1) * DAY_S
    days = _days(books, min(since_s, month_s, shown_s), price)
    found: dict[str, Any] = {
        "zone": books.zone.key,
        "today": _sums(total(days, books.start_s("today"))),
        "month": _sums(total(days, month_s)),
        "held": books.read(held, Held(0, 0))._asdict(),
        "caps": books.caps(),
        "days": [{"day": day.date, **_sums(day)} for day in days[-SHOWN_DAYS:]],
        "sparkline": sparkline([day.cost_usd_micros for day in days[-SHOWN_DAYS:]]),
        "tokens_sparkline": sparkline([day.local_tokens + day.cloud_tokens for day in days[-SHOWN_DAYS:]]),
        "against": {"scenario": supposed.baseline, "price": price_in_words(price)},
    }
    if by is not None:
        found["by"] = by
        found["since"] = since or period
        found["parts"] = _by_day(days, since_s) if by == "day" else _by(books, cast("Whose", by), since_s)
    return found


def write_report(file: Path, config: Path | None, since: str | None, assumptions: Path | None) -> None:
    """Of the last 30 days, where nothing else is said."""
    books, supposed = Books(config), assumed(assumptions)
    price = baseline_price(supposed)
    since_s = books.since_s(since) if since else books.now_s - (SHOWN_DAYS - 1) * DAY_S
    days = _days(books, since_s, price)
    tables = [
        (words, [_named(books, whose, one) for one in _parts(books, whose, since_s)]) for whose, words in REPORTED
    ]
    write(file, report_html(
        days, [(words, rows) for words, rows in tables if rows], against=supposed.baseline, price=price,
        zone=books.zone, made=books.made, version=__version__,
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


def _sums(day: Day) -> dict[str, Any]:
    return {
        "calls": day.calls, "cost_usd_micros": day.cost_usd_micros, "unpriced_calls": day.unpriced_calls,
        "local_tokens": day.local_tokens, "cloud_tokens": day.cloud_tokens, "kept_tokens": day.kept_tokens,
        "elsewhere_usd_micros": day.elsewhere_usd_micros, "saved_usd_micros": day.saved_usd_micros,
        "energy_j": day.energy_j, "providers": day.providers,
    }  # fmt: skip


def _by(books: Books, whose: Whose, since_s: float) -> list[dict[str, Any]]:
    return [one._asdict() | {"label": _named(books, whose, one).name} for one in _parts(books, whose, since_s)]


def _parts(books: Books, whose: Whose, since_s: float) -> list[Part]:
    return books.read(lambda connection: parts(connection, whose, since_s, books.now_s + 1), NO_PARTS)


def _named(books: Books, whose: Whose, one: Part) -> Part:
    """Keys by what they are called, and own engines as such."""
    if whose == "provider" and not one.name:
        return one._replace(name="own engines")
    return one._replace(name=books.key_names().get(one.name, one.name)) if whose == "key" else one


def _by_day(days: list[Day], since_s: float) -> list[dict[str, Any]]:
    return [
        {
            "name": day.date, "label": day.date, "calls": day.calls, "local_tokens": day.local_tokens,
            "cloud_tokens": day.cloud_tokens, "kept_tokens": day.kept_tokens, "cost_usd_micros": day.cost_usd_micros,
            "unpriced_calls": day.unpriced_calls,
        }
        for day in days if day.calls and day.begins_s >= since_s - DAY_S
    ]  # fmt: skip
