"""Rows of the ledger for whoever looks at them, a page at a time, and the end of old ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, delete, or_, select

from ringfence.core.ledger import CallRow
from ringfence.store.tables import api_keys, calls

COLUMNS = [calls.c[name] for name in CallRow._fields]
MOST_PRUNED = 500
"""Rows that one transaction deletes: others wait for it."""


class Mark(NamedTuple):
    """Where a page ended: the time and the number of its last row."""

    at_s: float
    number: int


START = Mark(0.0, -1)


def page(connection: Connection, after: Mark, until_s: float | None, limit: int) -> tuple[list[CallRow], Mark | None]:
    """The next rows by time, before `until_s`; and where they end, None when these are the last."""
    columns = calls.c
    later = or_(columns.at_s > after.at_s, and_(columns.at_s == after.at_s, columns.number > after.number))
    wanted = select(columns.number, *COLUMNS).where(columns.at_s >= after.at_s, later)
    if until_s is not None:
        wanted = wanted.where(columns.at_s < until_s)
    found = connection.execute(wanted.order_by(columns.at_s, columns.number).limit(limit)).all()
    rows = _rows(found)
    return rows, Mark(rows[-1].at_s, found[-1][0]) if len(found) == limit else None


def last(connection: Connection, limit: int) -> list[CallRow]:
    """Those that were written last, the latest first."""
    wanted = select(calls.c.number, *COLUMNS).order_by(calls.c.number.desc()).limit(limit)
    return _rows(connection.execute(wanted).all())


def key_names(connection: Connection) -> dict[str, str]:
    """By id, of revoked ones as well."""
    return {row[0]: row[1] for row in connection.execute(select(api_keys.c.id, api_keys.c.name))}


def prune(connection: Connection, before_s: float) -> int:
    """Forgets the oldest rows before then, not many at a time; how many. The days stay."""
    oldest = select(calls.c.number).where(calls.c.at_s < before_s).order_by(calls.c.at_s).limit(MOST_PRUNED)
    return connection.execute(delete(calls).where(calls.c.number.in_(oldest))).rowcount


def _rows(found: Sequence[Row[Any]]) -> list[CallRow]:
    return [CallRow._make(row[1:]) for row in found]
