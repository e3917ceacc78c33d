"""Usage: what is recorded is what is written, whatever happens in between."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from ringfence.core.usage import Usage
from ringfence.store import ledger as ledger_module
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger import ADD, ANYONE, COUNTS, MOST_TOKENS, UsageLedger, UsageRow, totals

T = TypeVar("T")
NOON_S = 20_000 * 86_400 + 43_200  # 2024-10-04T12:00Z
DAY = "2024-10-04"
KEYS_PER_BATCH = 7


class BreakableDatabase(Database):
    """A real one that fails when told to, before or after the transaction was tried."""

    is_broken = False

    async def run(self, fn: Callable[[Connection], T]) -> T:
        if self.is_broken:
            raise StoreFailed(self.name, "cannot grow: the disk is full", "free some space on that disk")
        return await super().run(fn)


@pytest.fixture
def breakable(state_dir: Path) -> BreakableDatabase:
    database = BreakableDatabase(state_dir / "ringfence.db")
    database.migrate()
    return database


def read(db: Database, since_day: str = "") -> list[UsageRow]:
    return db.call(lambda connection: totals(connection, since_day))


async def test_calls_add_up_by_key_model_and_day(db: Database) -> None:
    now = [float(NOON_S)]
    ledger = UsageLedger(db, lambda: now[0])
    ledger.record("key_1", "small", "t1", "ok", Usage(10, 5, 3))
    ledger.record("key_1", "small", "t2", "engine_failed", Usage())
    await ledger.flush()
    ledger.record("key_1", "small", "t1", "client_gone", Usage(1, 1))
    ledger.record("key_2", "small", "t1", "ok", Usage(2, 2))
    now[0] = NOON_S + 43_200
    ledger.record("key_1", "small", "t1", "ok", Usage(100, 50))
    await ledger.flush()
    assert ledger.pending == 0
    assert read(db) == [
        UsageRow("key_1", "small", DAY, 3, 1, 11, 6, 3),
        UsageRow("key_2", "small", DAY, 1, 0, 2, 2, 0),
        UsageRow("key_1", "small", "2024-10-05", 1, 0, 100, 50, 0),
    ]
    assert read(db, "2024-10-05") == [UsageRow("key_1", "small", "2024-10-05", 1, 0, 100, 50, 0)]


async def test_an_engine_that_reports_nonsense_cannot_break_the_sums(db: Database) -> None:
    ledger = UsageLedger(db, lambda: NOON_S)
    ledger.record("key_1", "m", "t", "ok", Usage(10**40, -5, 7))
    await ledger.flush()
    assert read(db) == [UsageRow("key_1", "m", DAY, 1, 0, MOST_TOKENS, 0, 7)]


async def test_a_failure_is_told_once_and_nothing_is_lost(breakable: BreakableDatabase) -> None:
    told: list[StoreFailed] = []
    ledger = UsageLedger(breakable, lambda: NOON_S, told.append)
    for _ in range(2):
        breakable.is_broken = True
        for _ in range(3):
            ledger.record("key_1", "m", "t", "ok", Usage(1, 1))
            await ledger.flush()
        breakable.is_broken = False
        await ledger.flush()
    assert read(breakable) == [UsageRow("key_1", "m", DAY, 6, 0, 6, 6, 0)]
    assert len(told) == 2
    breakable.close()


async def test_a_really_full_database_is_survived(db: Database) -> None:
    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    told: list[StoreFailed] = []
    ledger = UsageLedger(db, lambda: NOON_S, told.append)
    await db.run(limit)
    for number in range(500):
        ledger.record(f"key_{number:04}", "m" * 50, "t", "ok", Usage(1, 2))
    await ledger.flush()
    assert ledger.pending == 500
    assert read(db) == []
    assert "disk is full" in str(told[0])
    await db.run(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=100000"))
    await ledger.flush()
    assert sum(row.prompt_tokens for row in read(db)) == 500


async def test_memory_is_bounded_and_totals_stay_right(
    breakable: BreakableDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MOST_PENDING", 10)
    ledger = UsageLedger(breakable, lambda: NOON_S)
    breakable.is_broken = True
    for number in range(50):
        ledger.record(f"key_{number}", "m", "t", "ok", Usage(1, 2, 1))
        if number % 7 == 0:
            await ledger.flush()
    assert ledger.pending == 11
    breakable.is_broken = False
    await ledger.flush()
    rows = read(breakable)
    assert [row.key_id for row in rows].count(ANYONE) == 1
    assert [sum(getattr(row, count) for row in rows) for count in COUNTS] == [50, 0, 50, 100, 50]
    breakable.close()


async def test_a_flush_cancelled_after_its_commit_counts_once(state_dir: Path) -> None:
    committed, gate = asyncio.Event(), asyncio.Event()

    class SlowToAnswer(Database):
        async def run(self, fn: Callable[[Connection], T]) -> T:
            answer = await super().run(fn)
            committed.set()
            await gate.wait()
            return answer

    db = SlowToAnswer(state_dir / "ringfence.db")
    db.migrate()
    ledger = UsageLedger(db, lambda: NOON_S)
    ledger.record("key_1", "m", "t", "ok", Usage(1, 1))
    flushing = asyncio.create_task(ledger.flush())
    await committed.wait()
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    ledger.record("key_1", "m", "t", "ok", Usage(1, 1))
    gate.set()
    await ledger.flush()
    assert read(db) == [UsageRow("key_1", "m", DAY, 2, 0, 2, 2, 0)]
    db.close()


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["flush", "flush twice at once", "break", "mend"]),
        st.tuples(
            st.sampled_from(["key_1", "key_2", "key_3"]),
            st.sampled_from(["small", "large"]),
            st.integers(0, 2),
            st.sampled_from(["ok", "client_gone", "engine_failed"]),
            st.builds(Usage, st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000)),
        ),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_any_order_of_events_sums_to_the_same_totals(steps: list[object]) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    now = [float(NOON_S)]

    async def play(db: BreakableDatabase) -> None:
        ledger = UsageLedger(db, lambda: now[0])
        for step in steps:
            match step:
                case "flush":
                    await ledger.flush()
                case "flush twice at once":
                    await asyncio.gather(ledger.flush(), ledger.flush())
                case "break" | "mend":
                    db.is_broken = step == "break"
                case (str(key_id), str(model), int(day), str(outcome), Usage() as used):
                    now[0] = NOON_S + day * 86_400
                    ledger.record(key_id, model, "t", outcome, used)
                    where = (key_id, model, f"2024-10-{4 + day:02}")
                    expected[where] += 1
                    expected[(*where, "tokens")] += used.total_tokens  # type: ignore[index]
                    expected[(*where, "errors")] += outcome == "engine_failed"  # type: ignore[index]
        db.is_broken = False
        await ledger.flush()

    with tempfile.TemporaryDirectory() as folder:
        db = BreakableDatabase(Path(folder, "ringfence.db"))
        db.migrate()
        asyncio.run(play(db))
        rows = [asdict(row) for row in read(db)]
        db.close()
    found: Counter[object] = Counter()
    for row in rows:
        where = (row["key_id"], row["model"], row["day"])
        found[where] = row["requests"]
        found[(*where, "tokens")] = row["prompt_tokens"] + row["completion_tokens"]
        found[(*where, "errors")] = row["errors"]
    assert +found == +expected


def flush_forever(path: str, flushed: multiprocessing.Queue[int]) -> None:
    async def loop() -> None:
        database = Database(path)
        database.migrate()
        ledger = UsageLedger(database, lambda: NOON_S)
        done = 0
        while True:
            for number in range(KEYS_PER_BATCH):
                ledger.record(f"key_{number}", "m", "t", "ok", Usage(3, 2))
            await ledger.flush()
            done += 1
            flushed.put(done)

    asyncio.run(loop())


@pytest.mark.parametrize("batches", [1, 5, 20])
def test_killed_while_flushing(state_dir: Path, batches: int) -> None:
    path = state_dir / "ringfence.db"
    spawn = multiprocessing.get_context("spawn")
    flushed = spawn.Queue()
    child = spawn.Process(target=flush_forever, args=(str(path), flushed))
    child.start()
    try:
        seen = 0
        while seen < batches:
            seen = flushed.get(timeout=30)
    finally:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join(10)
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()
    database = Database(path)
    database.migrate()
    rows = read(database)
    database.close()
    assert len(rows) == KEYS_PER_BATCH
    assert len({(row.requests, row.prompt_tokens, row.completion_tokens) for row in rows}) == 1
    assert rows[0].requests >= seen
    assert rows[0].prompt_tokens == 3 * rows[0].requests


def test_the_statement_is_known_to_postgresql_too() -> None:
    compiled = str(ADD.compile(dialect=postgresql.dialect(paramstyle="named")))
    assert "ON CONFLICT (key_id, model, day) DO UPDATE SET requests = usage.requests + excluded.requests" in compiled


def test_its_repr_names_nobody(db: Database) -> None:
    ledger = UsageLedger(db, lambda: NOON_S)
    ledger.record("key_1", "m", "t", "ok", Usage(1, 1))
    assert repr(ledger) == "<UsageLedger with 1 rows pending>"
