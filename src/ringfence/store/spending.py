"""What the rows of the ledger come to: sums over many calls, made by the database."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, get_args

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, case, cast, func, select, text

from ringfence.core.spending import BANDS, QUARTER_S, Held, Part, Slice
from ringfence.store.ledger_writes import NO_ERRORS
from ringfence.store.tables import calls as calls_table
from ringfence.store.tables import holds as holds_table

Whose = Literal["key", "profile", "agent", "model", "target", "provider", "outcome"]
WHOSE: tuple[str, ...] = get_args(Whose)
KEPT = ("cached", "joined")
"""Outcomes of calls that no engine worked for."""

C = calls_table.c
IS_KEPT = C.outcome.in_(KEPT)
TOKENS = C.input_tokens + C.output_tokens


def slices(connection: Connection, since_s: float, until_s: float) -> list[Slice]:
    """By quarter of an hour, provider and band, in that order: calls that began in [`since_s`, `until_s`)."""
    start = _whole_quarters(connection) * QUARTER_S
    by = (start, C.provider, case((IS_KEPT, 1), else_=0), _band())
    wanted = (
        select(
            *by, func.count(), func.sum(C.input_tokens), func.sum(C.cached_tokens), func.sum(C.cache_write_tokens),
            func.sum(C.output_tokens), func.coalesce(func.sum(C.cost_usd_micros), 0),
            _how_many(C.cost_usd_micros.is_(None)), func.coalesce(func.sum(C.energy_j), 0.0),
        )
        .where(C.at_s >= since_s, C.at_s < until_s)
        .group_by(text("1, 2, 3, 4"))  # by place: PostgreSQL does not see that two expressions with parameters are one
    )  # fmt: skip
    found = [
        Slice._make((int(row[0]), row[1], bool(row[2]), *(int(amount) for amount in row[3:11]), float(row[11])))
        for row in connection.execute(wanted)
    ]
    return sorted(found)


def parts(connection: Connection, whose: Whose, since_s: float, until_s: float) -> list[Part]:
    """What each key, model or other had of it, the dearest first, then the largest."""
    name = C.key_id if whose == "key" else C[whose]
    local = and_(C.provider == "", C.outcome.not_in(KEPT))
    cloud = and_(C.provider != "", C.outcome.not_in(KEPT))
    wanted = (
        select(
            name, func.count(), _how_many(C.outcome.not_in(NO_ERRORS)), func.sum(C.input_tokens),
            func.sum(C.output_tokens), _tokens_where(local), _tokens_where(cloud), _tokens_where(IS_KEPT),
            func.coalesce(func.sum(C.cost_usd_micros), 0), _how_many(C.cost_usd_micros.is_(None)),
            func.coalesce(func.sum(C.energy_j), 0.0),
        )
        .where(C.at_s >= since_s, C.at_s < until_s)
        .group_by(name)
    )  # fmt: skip
    found = [
        Part._make((row[0], *(int(amount) for amount in row[1:10]), float(row[10])))
        for row in connection.execute(wanted)
    ]
    return sorted(found, key=lambda one: (-one.cost_usd_micros, -one.input_tokens - one.output_tokens, one.name))


def held(connection: Connection) -> Held:
    """All that stands."""
    total = func.coalesce(func.sum(holds_table.c.usd_micros), 0)
    count, micros = connection.execute(select(func.count(), total)).one()
    return Held(int(count), int(micros))


def first_held_s(connection: Connection) -> float | None:
    """The earliest moment for which money is held; None where none is."""
    return connection.execute(select(func.min(holds_table.c.at_s))).scalar()


def first_s(connection: Connection) -> float | None:
    """When the first call began that is kept; None where there is none."""
    return connection.execute(select(func.min(C.at_s))).scalar()


def _whole_quarters(connection: Connection) -> ColumnElement[Any]:
    """Since the epoch. A cast cuts off in SQLite and rounds in PostgreSQL; rounding down is not in every SQLite."""
    if connection.dialect.name == "sqlite":
        return cast(C.at_s / QUARTER_S, BigInteger)
    return cast(func.floor(C.at_s / QUARTER_S), BigInteger)


def _band() -> ColumnElement[Any]:
    rising = [(C.input_tokens < following, band) for band, following in pairwise(BANDS)]
    return case(*rising, else_=BANDS[-1])


def _how_many(where: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(case((where, 1), else_=0)), 0)


def _tokens_where(where: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.coalesce(func.sum(case((where, TOKENS), else_=0)), 0)
