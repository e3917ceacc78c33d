"""The ledger: a row for each call, holds of money, and what was used by key, model and UTC day.

Rows are collected for a moment and written together; a hold is on the disk before its call leaves. Numbers and names
only, no text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from ringfence.core.identity import Key
from ringfence.core.ledger import CallRow, HoldRow, Spent
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger_reads import prune
from ringfence.store.ledger_writes import DAY_S, Batch, Counts, believed, count, write
from ringfence.store.tables import calls as calls_table
from ringfence.store.tables import holds as holds_table
from ringfence.store.tables import usage as usage_table

SOON_S = 0.005
"""A row waits so long for others that are written with it."""
LATER_S = 1.0
"""After a failure."""
HOLD_WAIT_S = 3.0
"""A hold waits so long for the database; once that was too short, or writing fails, `LATE_WAIT_S`."""
LATE_WAIT_S = 0.5
MOST_AT_ONCE = 2000
"""Rows of one transaction: a hold waits for no more than that."""
MOST_PENDING = 100_000
"""Rows of calls that cost nothing, while nothing can be written; beyond, only days are counted for them."""
MOST_SLOTS = 10_000
"""Of those days; beyond, under ANYONE."""
ANYONE = "*"
"""In place of a key, for what could not be kept apart while nothing could be written for long."""
PRUNE_PAUSE_S = 0.05
log = logging.getLogger("ringfence.ledger")


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


Waiting = tuple[HoldRow, asyncio.Future[None]]


class Ledger:
    """To be used from one event loop. `on_failure` is told once when writing begins to fail."""

    def __init__(self, db: Database, on_failure: Callable[[Exception], None] | None = None) -> None:
        self._db = db
        self._on_failure = on_failure
        self._rows: list[CallRow] = []
        self._unkept: Counts = {}
        """What the calls add up to whose rows are not kept."""
        self._released: list[str] = []
        self._holds: list[Waiting] = []
        self._failed: Batch | None = None
        """Comes before all others: it may be written in spite of its failure, and must not be so twice."""
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._is_failing = self._is_late = False

    def __repr__(self) -> str:
        return f"<Ledger with {self.pending} rows pending>"

    @property
    def pending(self) -> int:
        """Rows that are not written yet."""
        return len(self._rows) + (len(self._failed.rows) if self._failed is not None else 0)

    @property
    def is_failing(self) -> bool:
        """Whether it could not be written when that was last tried."""
        return self._is_failing

    # -- what is handed in ----------------------------------------------------------------------------------------

    def record(self, row: CallRow) -> None:
        """One call has ended; with a `hold_id`, so has that hold."""
        if len(self._rows) < MOST_PENDING or row.hold_id is not None:
            self._rows.append(row)
        else:
            self._count(row)
        if self._timer is None:
            self._wake(SOON_S)

    def release(self, hold_id: str) -> None:
        """Nothing was spent of it."""
        self._released.append(hold_id)
        self._wake(SOON_S)

    async def hold(self, row: HoldRow) -> None:
        """Returns when it is on the disk. Raises StoreFailed, also where that takes long; cancelled, it is taken
        back."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()
        self._holds.append((row, written))
        self._wake(0)
        wait_s = LATE_WAIT_S if self._is_late or self._is_failing else HOLD_WAIT_S
        timer = loop.call_later(wait_s, self._late, written, wait_s)  # not asyncio.timeout: calls are no tasks
        try:
            await asyncio.shield(written)
        except asyncio.CancelledError:
            if not written.done():
                written.cancel()  # who writes sees it
            elif not written.cancelled() and written.exception() is None:
                self.release(row.id)
            raise
        finally:
            timer.cancel()

    def _late(self, written: asyncio.Future[None], wait_s: float) -> None:
        """Where it is written in the end, it is released at once."""
        if written.done():
            return
        self._is_late = True
        what = f"does not answer within {wait_s:g} s"
        written.set_exception(StoreFailed(self._db.name, what, "look at what else the database does"))
        written.exception()  # nobody may be waiting any more

    def _count(self, row: CallRow) -> None:
        """Slots are bounded as well: callers can bring as many keys and models as they like."""
        if len(self._unkept) >= MOST_SLOTS and (row.key_id, row.model, int(row.at_s // DAY_S)) not in self._unkept:
            row = row._replace(key_id=ANYONE, model=ANYONE)
        count(self._unkept, believed(row))

    # -- writing --------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Writes what is pending. What could not be written stays pending; never raises for it."""
        # Shielded: if the caller gives up, a batch is still either written or taken back, and not both.
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    def _wake(self, in_s: float) -> None:
        if in_s == 0 and self._writing is None:
            if self._timer is not None:
                self._timer.cancel()
            self._begin()
        elif self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_S if self._is_failing else in_s, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write_on(), name="write ledger")

    async def _write_on(self) -> None:
        """Until nothing is left that should not wait."""
        try:
            is_well = await self._write_next()
            while self._holds or (is_well and len(self._rows) >= MOST_AT_ONCE):
                is_well = await self._write_next()
        finally:
            self._writing = None
        if self._has_more:
            self._wake(SOON_S)

    async def _flush(self) -> None:
        for _ in range(3 + len(self._rows) // MOST_AT_ONCE + (self._failed is not None)):
            async with self._turn:  # what is being written may leave something behind
                pass
            if not self._has_more or not await self._write_next():
                return

    @property
    def _has_more(self) -> bool:
        return bool(self._rows or self._released or self._holds or self._unkept or self._failed is not None)

    async def _write_next(self) -> bool:
        """One batch; False when it could not be written."""
        async with self._turn:
            waiting: list[Waiting] = []
            batch = self._failed
            if batch is None:
                batch = Batch(self._rows[:MOST_AT_ONCE], self._unkept, self._released)
                del self._rows[:MOST_AT_ONCE]
                self._unkept, self._released = {}, []
                waiting, self._holds = [asked for asked in self._holds if not asked[1].done()], []
                batch.holds = [row for row, _ in waiting]
            try:
                await self._db.run(lambda connection: write(connection, batch))
            except BaseException as failure:
                self._fail(batch, waiting, failure)
                return False
            if self._is_failing:
                log.warning("calls are written down again; %d had waited", len(batch.rows))
            self._failed, self._is_failing, self._is_late = None, False, False
            for row, written in waiting:
                if written.done():  # meanwhile: nobody wants it any more
                    self._released.append(row.id)
                else:
                    written.set_result(None)
            return True

    def _fail(self, batch: Batch, waiting: list[Waiting], failure: BaseException) -> None:
        """Keep the batch, and refuse what waits for it: nothing is paid for while nothing can be written down."""
        batch.released += [row.id for row in batch.holds]  # which may be written, as far as anybody knows
        batch.holds, batch.is_again = [], True
        self._failed = batch
        told = failure if isinstance(failure, StoreFailed) else self._unknown(failure)
        waiting, self._holds = waiting + self._holds, []
        for _, written in waiting:
            if not written.done():
                written.set_exception(told)
                written.exception()  # nobody may be waiting any more
        if not isinstance(failure, Exception):
            raise failure
        if not isinstance(failure, StoreFailed):
            log.exception("a batch of the ledger failed", exc_info=failure)
        if not self._is_failing and self._on_failure is not None:
            self._on_failure(told)
        self._is_failing = True

    def _unknown(self, failure: BaseException) -> StoreFailed:
        return StoreFailed(
            self._db.name, f"failed ({type(failure).__name__})", "see the log, and run: ringfence doctor"
        )

    # -- reading --------------------------------------------------------------------------------------------------

    async def spent_since(self, since_s: float) -> list[Spent]:
        """What was paid for since then, of what is written."""
        return await self._db.run(lambda connection: spent_since(connection, since_s))

    async def holds(self) -> list[HoldRow]:
        """All that stand."""
        columns = [holds_table.c[name] for name in HoldRow._fields]
        return await self._db.run(lambda connection: [HoldRow(*row) for row in connection.execute(select(*columns))])

    async def prune(self, before_s: float) -> int:
        """Forgets rows of calls before then, a few at a time so that nobody waits for it; how many. The days stay."""
        pruned = 0
        while (now := await self._db.run(lambda connection: prune(connection, before_s))) > 0:
            pruned += now
            await asyncio.sleep(PRUNE_PAUSE_S)
        return pruned


def spent_since(connection: Connection, since_s: float) -> list[Spent]:
    """By key, profile, provider and agent."""
    columns = calls_table.c
    whose = (columns.key_id, columns.profile, columns.provider, columns.agent)
    wanted = (
        select(*whose, func.sum(columns.cost_usd_micros))
        .where(columns.at_s >= since_s, columns.cost_usd_micros > 0)
        .group_by(*whose)
    )
    return [Spent(row[0], row[1], row[2], int(row[4]), row[3]) for row in connection.execute(wanted)]


def spent_by_key(connection: Connection, starts: Mapping[str, float]) -> dict[str, dict[str, int]]:
    """What each key has spent since the moments of `starts`, by their names; micro-dollars."""
    found: dict[str, dict[str, int]] = {}
    for name, since_s in starts.items():
        for row in spent_since(connection, since_s):
            mine = found.setdefault(row.key_id, {})
            mine[name] = mine.get(name, 0) + row.usd_micros
    return found


def totals(connection: Connection, since_day: str) -> list[UsageRow]:
    """What was written for `since_day` (YYYY-MM-DD, UTC) and later days: by day, then key, then model."""
    columns = usage_table.c
    wanted = select(usage_table).where(columns.day >= since_day).order_by(columns.day, columns.key_id, columns.model)
    return [UsageRow(**row._mapping) for row in connection.execute(wanted)]


def with_usage(key: Key, rows: Iterable[UsageRow], spent: Mapping[str, int] | None = None) -> dict[str, Any]:
    """A key as people see it: its fields, what it has used in all, and what it has `spent` in the periods under way."""
    mine = [row for row in rows if row.key_id == key.id]
    return {
        **asdict(key),
        "requests": sum(row.requests for row in mine),
        "prompt_tokens": sum(row.prompt_tokens for row in mine),
        "completion_tokens": sum(row.completion_tokens for row in mine),
        "cost_usd_micros": sum(row.cost_usd_micros for row in mine),
        "spent": {name: (spent or {}).get(name, 0) for name in ("day", "week", "month")},
    }
