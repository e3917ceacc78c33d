"""What models of providers cost, and since when: by it, the cost of an old call can be explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select

from ringfence.store.tables import prices

UNKNOWN = ""
"""The source of what nobody knows."""


class PriceRow(NamedTuple):
    """`rates` is the price as JSON, None from when on nobody knew it. `since_s` is Unix time."""

    provider: str
    model: str
    since_s: float
    source: str
    rates: str | None


COLUMNS = [prices.c[name] for name in PriceRow._fields]


def record(
    connection: Connection, now_s: float, found: Mapping[tuple[str, str], tuple[str, str | None]]
) -> list[PriceRow]:
    """Adds a row for each of `found`, source and rates, that differs from its last; returns what was added."""
    newest = select(func.max(prices.c.number)).group_by(prices.c.provider, prices.c.model)
    known = {(row.provider, row.model): row for row in connection.execute(select(*COLUMNS, prices.c.number).where(
        prices.c.number.in_(newest)
    ))}  # fmt: skip
    added: list[PriceRow] = []
    for (provider, model), (source, rates) in found.items():
        last = known.get((provider, model))
        if rates == (last.rates if last is not None else None):
            continue  # what was never known is no news
        since_s = now_s if last is None else max(now_s, last.since_s)
        added.append(PriceRow(provider, model, since_s, source, rates))
    if added:
        connection.execute(insert(prices), [row._asdict() for row in added])
    return added


def history(connection: Connection, provider: str | None = None, model: str | None = None) -> list[PriceRow]:
    """All, or those of one provider, or of one model; the oldest first."""
    query = select(*COLUMNS).order_by(prices.c.number)
    for column, wanted in ((prices.c.provider, provider), (prices.c.model, model)):
        if wanted is not None:
            query = query.where(column == wanted)
    return [PriceRow(*row) for row in connection.execute(query)]


def in_force(connection: Connection, provider: str, model: str, at_s: float) -> PriceRow | None:
    """What held at a moment; None where nothing was known then."""
    return of_moment(history(connection, provider, model), at_s)


def of_moment(rows: Iterable[PriceRow], at_s: float) -> PriceRow | None:
    """As `in_force`, of the rows of one model."""
    found = [row for row in rows if row.since_s <= at_s]
    return found[-1] if found else None
