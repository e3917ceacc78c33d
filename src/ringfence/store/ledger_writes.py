"""How rows of the ledger get into the database: some 60 with one statement, so that the thread that writes needs the
interpreter for moments only, and the loop that answers requests has it the rest of the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Dialect, String, select

from ringfence.core.ledger import CallRow, HoldRow
from ringfence.core.money import MOST_MICROS
from ringfence.store.tables import calls, metadata

AT_ONCE = 64
"""Rows that one statement writes."""
DAY_S = 86400
MOST_TOKENS = 10**9
"""Per request. Engines are believed up to here; beyond, a broken one could overflow the columns."""
NO_ERRORS = frozenset(("ok", "client_gone", "parked", "cached", "joined"))
SLOT = ("key_id", "model", "day")
COUNTS = ("requests", "errors", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd_micros")

Slot = tuple[str, str, int]
"""Key id, model, and days since the epoch."""
Counts = dict[Slot, list[int]]

TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
tokens: Callable[[CallRow], tuple[int, ...]] = attrgetter(*TOKENS)
TYPES = {name: calls.c[name].type for name in CallRow._fields}
WIDTHS = {name: kind.length or 0 for name, kind in TYPES.items() if isinstance(kind, String)}
texts: Callable[[CallRow], tuple[str | None, ...]] = attrgetter(*WIDTHS)


@dataclass(slots=True)
class Batch:
    """What is written with one transaction. `counts` are of calls whose rows are not kept; `is_again` says that it may
    be written already, because nobody knows how the last try ended."""

    rows: list[CallRow] = field(default_factory=list[CallRow])
    counts: Counts = field(default_factory=dict[Slot, list[int]])
    released: list[str] = field(default_factory=list[str])
    holds: list[HoldRow] = field(default_factory=list[HoldRow])
    is_again: bool = False


def write(connection: Connection, batch: Batch) -> None:
    """All of it, and what it adds to the days."""
    rows, counts = batch.rows, batch.counts
    if batch.is_again and rows:
        there = _there(connection, rows)
        if all(_identity(row) in there for row in rows):
            rows, counts = [], {}
        rows = _unsettled(rows, {hold_id for *_, hold_id in there if hold_id is not None})
    days: Counts = {slot: [*amounts] for slot, amounts in counts.items()}
    ended = [*batch.released, *(row.hold_id for row in rows if row.hold_id is not None)]
    dialect = connection.dialect
    for part in _parts(rows):
        sure = [believed(row) for row in part]
        for row in sure:
            count(days, row)
        connection.exec_driver_sql(*_insert(dialect, "calls", CallRow._fields, sure))
    for part in _parts(sorted(days.items())):
        values = [(*slot[:2], iso_day(slot[2]), *amounts) for slot, amounts in part]
        text, told = _insert(dialect, "usage", (*SLOT, *COUNTS), values)
        connection.exec_driver_sql(text + ADDS, told)
    for part in _parts(ended):
        marks = ", ".join([_mark(dialect)] * len(part))
        connection.exec_driver_sql(f"DELETE FROM holds WHERE id IN ({marks})", tuple(part))  # noqa: S608 - marks only
    for part in _parts(batch.holds):
        connection.exec_driver_sql(*_insert(dialect, "holds", HoldRow._fields, part))


def count(counts: Counts, row: CallRow) -> None:
    """Add a call to its key, model and day."""
    slot = (row.key_id, row.model, int(row.at_s // DAY_S))
    add(counts, slot, (
        1, int(row.outcome not in NO_ERRORS), row.input_tokens, row.output_tokens, row.cached_tokens,
        row.cost_usd_micros or 0,
    ))  # fmt: skip


def add(counts: Counts, slot: Slot, amounts: Iterable[int]) -> None:
    """Add to what is there."""
    found = counts.get(slot)
    if found is None:
        counts[slot] = [*amounts]
        return
    for place, amount in enumerate(amounts):
        found[place] += amount


def iso_day(day: int) -> str:
    """YYYY-MM-DD, in UTC."""
    return datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()


ADDS = f" ON CONFLICT ({', '.join(SLOT)}) DO UPDATE SET " + ", ".join(
    f"{count} = usage.{count} + excluded.{count}" for count in COUNTS
)
"""The same words for SQLite and PostgreSQL."""


Rows = Sequence[tuple[Any, ...]]


def _insert(dialect: Dialect, table: str, names: tuple[str, ...], rows: Rows) -> tuple[str, tuple[Any, ...]]:
    """A statement for all of the rows, and what goes into it. PostgreSQL takes them as one text: a thousand parameters
    cost it, and its driver, several times as much."""
    if dialect.name == "postgresql":
        return _insert_json(dialect, table, names), (json.dumps([dict(zip(names, row, strict=True)) for row in rows]),)
    return _insert_values(table, names, len(rows)), tuple(chain.from_iterable(rows))


@cache
def _insert_values(table: str, names: tuple[str, ...], rows: int) -> str:
    values = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([values] * rows)}"  # noqa: S608 - our names


@cache
def _insert_json(dialect: Dialect, table: str, names: tuple[str, ...]) -> str:
    columns, named = metadata.tables[table].c, ", ".join(names)
    kinds = ", ".join(f"{name} {columns[name].type.compile(dialect)}" for name in names)
    return f"INSERT INTO {table} ({named}) SELECT {named} FROM json_to_recordset(%s::json) AS t({kinds})"  # noqa: S608 - our names


def _mark(dialect: Dialect) -> str:
    return "?" if dialect.paramstyle == "qmark" else "%s"


def _parts(whole: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (whole[at : at + AT_ONCE] for at in range(0, len(whole), AT_ONCE))


Identity = tuple[str, float, str | None]


def _identity(row: CallRow) -> Identity:
    return (row.id, row.at_s, row.hold_id)


def _there(connection: Connection, rows: list[CallRow]) -> set[Identity]:
    """Those of these rows that are written, and any other that ends the same holds."""
    columns, found = calls.c, set[Identity]()
    for part in _parts(rows):
        asked = select(columns.id, columns.at_s, columns.hold_id)
        ended = [row.hold_id for row in part if row.hold_id is not None]
        for wanted in (asked.where(columns.id.in_([row.id for row in part])), asked.where(columns.hold_id.in_(ended))):
            found.update((row[0], row[1], row[2]) for row in connection.execute(wanted))
    return found


def _unsettled(rows: list[CallRow], settled: set[str]) -> list[CallRow]:
    """Without those that would end a hold a second time."""
    left: list[CallRow] = []
    for row in rows:
        if row.hold_id is None:
            left.append(row)
        elif row.hold_id not in settled:
            settled.add(row.hold_id)
            left.append(row)
    return left


def believed(row: CallRow) -> CallRow:
    """With figures and names that go into their columns: one row that does not would keep out all that follow."""
    amounts = tokens(row)
    if min(amounts) < 0 or max(amounts) > MOST_TOKENS:
        row = row._replace(
            **{name: max(0, min(amount, MOST_TOKENS)) for name, amount in zip(TOKENS, amounts, strict=True)}
        )
    if (row.cost_usd_micros or 0) > MOST_MICROS:
        row = row._replace(cost_usd_micros=MOST_MICROS)
    for name, text, width in zip(WIDTHS, texts(row), WIDTHS.values(), strict=True):
        if text is not None and (len(text) > width or not text.isascii() or "\0" in text):
            row = row._replace(**{name: text.replace("\0", "").encode(errors="replace").decode()[:width]})
    return row
