"""The ledger: a row for each call, holds of money, and what was used by key, model and UTC day.

Rows are collected for a moment and written together; a hold is on the disk before its call leaves. Numbers and names
only, no text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text

from ringfence.core.identity import Key
from ringfence.core.ledger import CallRow, HoldRow, Spent
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.tables import calls as calls_table
from ringfence.store.tables import holds as holds_table
from ringfence.store.tables import usage as usage_table

DAY_S = 86400
SOON_S = 0.02
"""A row waits so long for others that are written with it."""
LATER_S = 1.0
"""After a failure."""
MOST_PENDING = 100_000
"""Rows of calls that cost nothing, while nothing can be written; beyond, only days are counted for them."""
MOST_TOKENS = 10**9
"""Per request. Engines are believed up to here; beyond, a broken one could overflow the columns."""
NO_ERRORS = frozenset(("ok", "client_gone", "parked", "cached", "joined"))

COUNTS = ("requests", "errors", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd_micros")
ADD = text(
    f"INSERT INTO usage (key_id, model, day, {', '.join(COUNTS)})"  # noqa: S608 - constants of this file
    f" VALUES (:key_id, :model, :day, {', '.join(f':{count}' for count in COUNTS)})"
    " ON CONFLICT (key_id, model, day) DO UPDATE SET "
    + ", ".join(f"{count} = usage.{count} + excluded.{count}" for count in COUNTS)
)
"""The same words for SQLite and PostgreSQL: the dialects' own constructs would each load their dialect."""

Slot = tuple[str, str, int]
"""Key id, model, and days since the epoch."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one key used of one model on one UTC day (YYYY-MM-DD)."""

    key_id: str
    model: str
    day: str
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_usd_micros: int


class Ledger:
    """To be used from one event loop. `on_failure` is told once when writing begins to fail."""

    def __init__(self, db: Database, on_failure: Callable[[StoreFailed], None] | None = None) -> None:
        self._db = db
        self._on_failure = on_failure
        self._rows: list[CallRow] = []
        self._counts: dict[Slot, list[int]] = {}
        self._released: list[str] = []
        self._holds: list[tuple[HoldRow, asyncio.Future[None]]] = []
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._is_failing = False

    def __repr__(self) -> str:
        return f"<Ledger with {len(self._rows)} rows pending>"

    @property
    def pending(self) -> int:
        """Rows that are not written yet."""
        return len(self._rows)

    @property
    def is_failing(self) -> bool:
        """Whether it could not be written when that was last tried."""
        return self._is_failing

    # -- what is handed in ----------------------------------------------------------------------------------------

    def record(self, row: CallRow) -> None:
        """One call has ended; with a `hold_id`, so has that hold."""
        row = _believed(row)
        slot = (row.key_id, row.model, int(row.at_s // DAY_S))
        counts = self._counts.get(slot)
        if counts is None:
            counts = self._counts[slot] = [0] * len(COUNTS)
        for place, amount in enumerate((
            1, row.outcome not in NO_ERRORS, row.input_tokens, row.output_tokens, row.cached_tokens,
            row.cost_usd_micros or 0,
        )):  # fmt: skip
            counts[place] += amount
        if len(self._rows) < MOST_PENDING or row.hold_id is not None:
            self._rows.append(row)
        self._wake(SOON_S)

    def release(self, hold_id: str) -> None:
        """Nothing was spent of it."""
        self._released.append(hold_id)
        self._wake(SOON_S)

    async def hold(self, row: HoldRow) -> None:
        """Returns when it is on the disk. Raises StoreFailed; cancelled, it is taken back."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holds.append((row, written))
        self._wake(0)
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            written.add_done_callback(lambda done: None if done.exception() else self.release(row.id))
            raise

    # -- writing --------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Writes what is pending, in one transaction. What could not be written stays pending; never raises for it."""
        # Shielded: if the caller gives up, the batch is still either written or taken back, and not both.
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    def _wake(self, in_s: float) -> None:
        if in_s == 0 and self._writing is None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            self._begin()
        elif self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_S if self._is_failing else in_s, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write_on(), name="write ledger")

    async def _write_on(self) -> None:
        """Until nothing is left that should not wait."""
        try:
            await self._flush()
            while self._holds:
                await self._flush()
        finally:
            self._writing = None
            if self._rows or self._released or self._counts:
                self._wake(SOON_S)

    async def _flush(self) -> None:
        async with self._turn:
            rows, self._rows = self._rows, []
            counts, self._counts = self._counts, {}
            released, self._released = self._released, []
            holds, self._holds = self._holds, []
            if not (rows or counts or released or holds):
                return
            asked = [row for row, _ in holds]
            try:
                await self._db.run(lambda connection: _write(connection, rows, counts, released, asked))
            except BaseException as failure:
                self._take_back(rows, counts, released)
                for _, written in holds:
                    if not written.done():
                        written.set_exception(failure)
                        written.exception()  # nobody may be waiting any more
                if not isinstance(failure, StoreFailed):
                    raise
                if not self._is_failing and self._on_failure is not None:
                    self._on_failure(failure)
                self._is_failing = True
            else:
                self._is_failing = False
                for _, written in holds:
                    if not written.done():
                        written.set_result(None)

    def _take_back(self, rows: list[CallRow], counts: dict[Slot, list[int]], released: list[str]) -> None:
        self._rows[:0] = rows
        self._released[:0] = released
        for slot, amounts in counts.items():
            now = self._counts.setdefault(slot, [0] * len(COUNTS))
            for place, amount in enumerate(amounts):
                now[place] += amount

    # -- reading --------------------------------------------------------------------------------------------------

    async def spent_since(self, since_s: float) -> list[Spent]:
        """What was paid for since then, of what is written."""
        return await self._db.run(lambda connection: spent_since(connection, since_s))

    async def holds(self) -> list[HoldRow]:
        """All that stand."""
        columns = [holds_table.c[name] for name in HoldRow._fields]
        return await self._db.run(lambda connection: [HoldRow(*row) for row in connection.execute(select(*columns))])


def spent_since(connection: Connection, since_s: float) -> list[Spent]:
    """By key, profile and provider."""
    columns = calls_table.c
    whose = (columns.key_id, columns.profile, columns.provider)
    wanted = (
        select(*whose, func.sum(columns.cost_usd_micros))
        .where(columns.at_s >= since_s, columns.cost_usd_micros > 0)
        .group_by(*whose)
    )
    return [Spent(row[0], row[1], row[2], int(row[3])) for row in connection.execute(wanted)]


def totals(connection: Connection, since_day: str) -> list[UsageRow]:
    """What was written for `since_day` (YYYY-MM-DD, UTC) and later days: by day, then key, then model."""
    columns = usage_table.c
    wanted = select(usage_table).where(columns.day >= since_day).order_by(columns.day, columns.key_id, columns.model)
    return [UsageRow(**row._mapping) for row in connection.execute(wanted)]


def _write(
    connection: Connection, rows: list[CallRow], counts: dict[Slot, list[int]], released: list[str],
    holds: list[HoldRow],
) -> None:  # fmt: skip
    if rows:
        connection.execute(insert(calls_table), [row._asdict() for row in rows])
    if counts:
        connection.execute(ADD, [_parameters(slot, amounts) for slot, amounts in counts.items()])
    if ended := [*released, *(row.hold_id for row in rows if row.hold_id is not None)]:
        for at in range(0, len(ended), 500):
            connection.execute(delete(holds_table).where(holds_table.c.id.in_(ended[at : at + 500])))
    if holds:
        connection.execute(insert(holds_table), [row._asdict() for row in holds])


def _parameters(slot: Slot, counts: list[int]) -> dict[str, Any]:
    key_id, model, day = slot
    iso_day = datetime.fromtimestamp(day * DAY_S, UTC).date().isoformat()
    return {"key_id": key_id, "model": model, "day": iso_day, **dict(zip(COUNTS, counts, strict=True))}


def _believed(row: CallRow) -> CallRow:
    if all(0 <= amount <= MOST_TOKENS for amount in row[12:17]):
        return row
    names = CallRow._fields[12:17]
    return row._replace(**{name: max(0, min(getattr(row, name), MOST_TOKENS)) for name in names})


def with_usage(key: Key, rows: Iterable[UsageRow]) -> dict[str, Any]:
    """A key as people see it: its fields, and what it has used in all."""
    mine = [row for row in rows if row.key_id == key.id]
    return {
        **asdict(key),
        "requests": sum(row.requests for row in mine),
        "prompt_tokens": sum(row.prompt_tokens for row in mine),
        "completion_tokens": sum(row.completion_tokens for row in mine),
        "cost_usd_micros": sum(row.cost_usd_micros for row in mine),
    }
