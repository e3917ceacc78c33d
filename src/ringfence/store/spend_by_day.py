"""What was used and spent on each day, by provider: read from the rows of calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, case, func, select

from ringfence.store.tables import calls as calls_table


class DaySpend(NamedTuple):
    """Of one day and one provider; `provider` is empty for what ran on own engines. `unpriced_calls` are those of which
    nobody knows what they cost."""

    begins_s: int
    provider: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd_micros: int
    unpriced_calls: int


def spend_by_day(connection: Connection, days: Iterable[tuple[int, int]]) -> list[DaySpend]:
    """Of days given by when they begin and end, in Unix seconds: a day of a time zone may be longer than another. In
    the order given, then by provider."""
    columns = calls_table.c
    is_unpriced = case((columns.cost_usd_micros.is_(None), 1), else_=0)
    amounts = (
        func.count(), func.sum(columns.input_tokens), func.sum(columns.output_tokens),
        func.coalesce(func.sum(columns.cost_usd_micros), 0), func.sum(is_unpriced),
    )  # fmt: skip
    found: list[DaySpend] = []
    for begins_s, ends_s in days:
        wanted = (
            select(columns.provider, *amounts)
            .where(columns.at_s >= begins_s, columns.at_s < ends_s)
            .group_by(columns.provider)
            .order_by(columns.provider)
        )
        found += [DaySpend(begins_s, row[0], *map(int, row[1:])) for row in connection.execute(wanted)]
    return found
