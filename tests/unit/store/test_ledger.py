"""The ledger: what is recorded is what is written, whatever happens in between."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kept_rows import is_intact, rows
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ringfence.core.ledger import CallRow, HoldRow, Spent
from ringfence.core.money import MOST_MICROS
from ringfence.store import ledger as ledger_module
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger import ANYONE, Ledger, UsageRow, totals
from ringfence.store.ledger_writes import COUNTS, MOST_TOKENS, Batch, write

T = TypeVar("T")
NOON_S = 20_000 * 86_400 + 43_200.0  # 2024-10-04T12:00Z
DAY = "2024-10-04"
ROWS_PER_BATCH = 7


def row(number: int = 0, key_id: str = "key_1", **more: Any) -> CallRow:
    told: dict[str, Any] = {
        "id": f"call-{number}", "at_s": NOON_S, "key_id": key_id, "profile": "default", "agent": "", "dialect": "chat",
        "model": "m", "target": "seat/m", "provider": "", "status": 200, "outcome": "ok", "stream": False,
        "input_tokens": 1, "cached_tokens": 0, "cache_write_tokens": 0, "output_tokens": 1, "reasoning_tokens": 0,
        "is_estimated": False, "cost_usd_micros": 0, "energy_j": None, "first_byte_s": 0.1, "total_s": 0.2,
    }  # fmt: skip
    return CallRow(**(told | more))


def hold(name: str = "hold_1", usd_micros: int = 120_000) -> HoldRow:
    return HoldRow(name, "call-1", NOON_S, "key_1", "default", "", "chat", "far", "far@cloud", "cloud", usd_micros)


class BreakableDatabase(Database):
    """A real one that fails when told to: before anything was tried, or after all of it was written."""

    is_broken = False
    is_mute = False

    async def run(self, fn: Callable[[Connection], T]) -> T:
        if self.is_broken:
            raise StoreFailed(self.name, "cannot grow: the disk is full", "free some space on that disk")
        answer = await super().run(fn)
        if self.is_mute:
            raise StoreFailed(self.name, "answered OperationalError", "see the log, and run: ringfence doctor")
        return answer


@pytest.fixture
def breakable(db_path: Path) -> Iterator[BreakableDatabase]:
    database = BreakableDatabase(db_path)
    yield database
    database.close()


def read(db: Database, since_day: str = "") -> list[UsageRow]:
    return db.call(lambda connection: totals(connection, since_day))


def written(db: Database) -> list[CallRow]:
    names = ", ".join(CallRow._fields)

    def ask(connection: Connection) -> list[CallRow]:
        return [CallRow(*found) for found in connection.exec_driver_sql(f"SELECT {names} FROM calls ORDER BY number")]

    return db.call(ask)


def agree(db: Database) -> None:
    """The days are what the rows add up to."""
    summed: Counter[tuple[str, str, str]] = Counter()
    for found in written(db):
        summed[found.key_id, found.model, "requests"] += 1
        summed[found.key_id, found.model, "tokens"] += found.input_tokens + found.output_tokens
        summed[found.key_id, found.model, "cost"] += found.cost_usd_micros or 0
    for day in read(db):
        summed[day.key_id, day.model, "requests"] -= day.requests
        summed[day.key_id, day.model, "tokens"] -= day.prompt_tokens + day.completion_tokens
        summed[day.key_id, day.model, "cost"] -= day.cost_usd_micros
    assert not {slot: amount for slot, amount in summed.items() if amount}


async def test_calls_add_up_by_key_model_and_day(db: Database) -> None:
    ledger = Ledger(db)
    ledger.record(row(1, input_tokens=10, output_tokens=5, cached_tokens=3))
    ledger.record(row(2, outcome="engine_failed", input_tokens=0, output_tokens=0))
    await ledger.flush()
    ledger.record(row(3, outcome="client_gone"))
    ledger.record(row(4, "key_2", input_tokens=2, output_tokens=2, cost_usd_micros=70))
    ledger.record(row(5, at_s=NOON_S + 43_200, input_tokens=100, output_tokens=50))
    await ledger.flush()
    assert ledger.pending == 0
    assert read(db) == [
        UsageRow("key_1", "m", DAY, 3, 1, 11, 6, 3, 0),
        UsageRow("key_2", "m", DAY, 1, 0, 2, 2, 0, 70),
        UsageRow("key_1", "m", "2024-10-05", 1, 0, 100, 50, 0, 0),
    ]
    assert read(db, "2024-10-05") == [UsageRow("key_1", "m", "2024-10-05", 1, 0, 100, 50, 0, 0)]
    assert [found.id for found in written(db)] == [f"call-{number}" for number in range(1, 6)]
    assert written(db)[3] == row(4, "key_2", input_tokens=2, output_tokens=2, cost_usd_micros=70)


async def test_rows_are_written_by_themselves_a_moment_later(db: Database) -> None:
    ledger = Ledger(db)
    for number in range(150):  # more than one statement takes
        ledger.record(row(number))
    async with asyncio.timeout(25):
        while ledger.pending or len(written(db)) < 150:
            await asyncio.sleep(0.01)
    assert [found.id for found in written(db)] == [f"call-{number}" for number in range(150)]
    agree(db)


async def test_an_engine_that_reports_nonsense_cannot_break_the_sums(db: Database) -> None:
    ledger = Ledger(db)
    nonsense = row(1, input_tokens=10**40, output_tokens=-5, cached_tokens=7, cost_usd_micros=10**50)
    ledger.record(nonsense._replace(model="m" * 5000, outcome="o\0k", target="\0"))
    await ledger.flush()
    assert read(db) == [UsageRow("key_1", "m" * 200, DAY, 1, 0, MOST_TOKENS, 0, 7, MOST_MICROS)]
    assert written(db)[0][7:11] == ("", "", 200, "ok")


async def test_a_failure_is_told_once_and_nothing_is_lost(breakable: BreakableDatabase) -> None:
    told: list[Exception] = []
    ledger = Ledger(breakable, told.append)
    for turn in range(2):
        breakable.is_broken = True
        for number in range(3):
            ledger.record(row(10 * turn + number))
            await ledger.flush()
        breakable.is_broken = False
        await ledger.flush()
    assert read(breakable) == [UsageRow("key_1", "m", DAY, 6, 0, 6, 6, 0, 0)]
    assert len(told) == 2
    agree(breakable)


async def test_what_was_written_in_spite_of_a_failure_is_not_written_twice(breakable: BreakableDatabase) -> None:
    ledger = Ledger(breakable)
    breakable.is_mute = True
    ledger.record(row(1))
    ledger.record(row(2, hold_id="hold_2", cost_usd_micros=50))
    await ledger.flush()
    assert ledger.pending == 2
    with pytest.raises(StoreFailed):
        await ledger.hold(hold("hold_3"))
    breakable.is_mute = False
    ledger.record(row(3))
    await ledger.flush()
    assert [found.id for found in written(breakable)] == ["call-1", "call-2", "call-3"]
    assert read(breakable) == [UsageRow("key_1", "m", DAY, 3, 0, 3, 3, 0, 50)]
    assert await ledger.holds() == [], "whoever waited for it was told that it is not held"


async def test_a_hold_that_may_have_been_written_holds_nothing(breakable: BreakableDatabase) -> None:
    ledger = Ledger(breakable)
    breakable.is_mute = True
    with pytest.raises(StoreFailed):
        await ledger.hold(hold())
    breakable.is_mute = False
    assert await ledger.holds() == [hold()]
    await ledger.flush()
    assert await ledger.holds() == []


async def test_no_hold_is_settled_twice(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "SOON_S", 60.0)  # it is written when it is told to be
    ledger = Ledger(db)
    await ledger.hold(hold())
    ledger.record(row(1, hold_id="hold_1", cost_usd_micros=50))
    await ledger.flush()
    assert await ledger.holds() == []
    ledger.record(row(2))
    ledger.record(row(1, hold_id="hold_1", cost_usd_micros=50))
    for _ in range(2):
        ledger.record(row(3, hold_id="hold_3", cost_usd_micros=7))
    await ledger.flush()  # the database refuses that
    assert ledger.pending == 4
    await ledger.flush()
    assert [found.id for found in written(db)] == ["call-1", "call-2", "call-3"]
    assert await ledger.spent_since(NOON_S) == [Spent("key_1", "default", "", 57)]
    agree(db)
    with pytest.raises((IntegrityError, StoreFailed)):
        await db.run(lambda connection: write(connection, Batch([row(4, hold_id="hold_3")])))


async def test_a_hold_is_written_before_it_returns(db: Database, db_path: Path) -> None:
    ledger = Ledger(db)
    holds = [hold(f"hold_{number:03}") for number in range(100)]
    await asyncio.gather(*(ledger.hold(one) for one in holds))
    assert rows(db_path, "SELECT count(*) FROM holds") == [(100,)]
    for one in holds[:70]:
        ledger.release(one.id)
    for number, one in enumerate(holds[70:]):
        ledger.record(row(number, hold_id=one.id, cost_usd_micros=3))
    await ledger.flush()
    assert await ledger.holds() == []
    assert await ledger.spent_since(NOON_S) == [Spent("key_1", "default", "", 90)]


async def test_a_hold_is_refused_while_nothing_can_be_written(breakable: BreakableDatabase) -> None:
    ledger = Ledger(breakable)
    breakable.is_broken = True
    with pytest.raises(StoreFailed, match="disk is full"):
        await ledger.hold(hold())
    ledger.record(row(1))
    with pytest.raises(StoreFailed, match="disk is full"):
        await ledger.hold(hold("hold_2"))
    breakable.is_broken = False
    await ledger.hold(hold("hold_3"))
    assert await ledger.holds() == [hold("hold_3")]
    assert len(written(breakable)) == 1


async def test_a_cancelled_hold_is_taken_back(db_path: Path) -> None:
    committed, gate = asyncio.Event(), asyncio.Event()

    class SlowToAnswer(Database):
        async def run(self, fn: Callable[[Connection], T]) -> T:
            answer = await super().run(fn)
            committed.set()
            await gate.wait()
            return answer

    db = SlowToAnswer(db_path)
    ledger = Ledger(db)
    holding = asyncio.create_task(ledger.hold(hold()))
    await committed.wait()
    holding.cancel()
    assert isinstance((await asyncio.gather(holding, return_exceptions=True))[0], asyncio.CancelledError)
    gate.set()
    await ledger.flush()
    assert await ledger.holds() == []

    committed.clear()
    gate.clear()
    ledger.record(row(1))
    flushing = asyncio.create_task(ledger.flush())
    await committed.wait()
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    ledger.record(row(2))
    gate.set()
    await ledger.flush()
    assert read(db) == [UsageRow("key_1", "m", DAY, 2, 0, 2, 2, 0, 0)], "committed before it was cancelled: once"
    db.close()


@pytest.mark.sqlite("PRAGMA max_page_count")
async def test_a_really_full_database_is_survived(db: Database) -> None:
    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    told: list[Exception] = []
    ledger = Ledger(db, told.append)
    await db.run(limit)
    for number in range(500):
        ledger.record(row(number, f"key_{number:04}", model="m" * 50))
    await ledger.flush()
    assert ledger.pending == 500
    assert read(db) == []
    assert "disk is full" in str(told[0])
    await db.run(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=100000"))
    await ledger.flush()
    assert sum(day.prompt_tokens for day in read(db)) == 500
    agree(db)


async def test_memory_is_bounded_and_totals_stay_right(
    breakable: BreakableDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MOST_PENDING", 10)
    monkeypatch.setattr(ledger_module, "MOST_SLOTS", 5)
    ledger = Ledger(breakable)
    breakable.is_broken = True
    for number in range(60):
        ledger.record(row(number, f"key_{number}", output_tokens=2))
    for number in range(20):
        ledger.record(row(number, "key_paid", hold_id=f"hold_{number}", cost_usd_micros=5))
    await ledger.flush()
    assert ledger.pending == 30, "ten of those that cost nothing, and all that were paid for"
    breakable.is_broken = False
    await ledger.flush()
    await ledger.flush()
    days = read(breakable)
    assert len([found for found in written(breakable) if found.hold_id]) == 20
    assert len(written(breakable)) == 30
    assert [day.requests for day in days if day.key_id == ANYONE] == [45]
    assert [sum(getattr(day, count) for day in days) for count in COUNTS] == [80, 0, 80, 140, 0, 100]


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["flush", "flush twice at once", "break", "mute", "mend", "cancel a flush", "a moment"]),
        st.tuples(st.just("hold"), st.sampled_from(["settle", "release", "cancel", "leave"])),
        st.builds(
            row,
            key_id=st.sampled_from(["key_1", "key_2", "key_3"]),
            model=st.sampled_from(["small", "large"]),
            at_s=st.sampled_from([NOON_S, NOON_S + 86_400]),
            outcome=st.sampled_from(["ok", "client_gone", "engine_failed"]),
            input_tokens=st.integers(0, 5000),
            output_tokens=st.integers(0, 5000),
        ),
    ),
    max_size=40,
)


class Played:
    """The steps, done to a real ledger; what has to be found afterwards."""

    def __init__(self, db: BreakableDatabase) -> None:
        self.db = db
        self.ledger = Ledger(db)
        self.rows: list[str] = []
        self.left: list[str] = []
        self.count = 0

    async def play(self, steps: list[Any]) -> None:
        for step in steps:
            self.count += 1
            match step:
                case "flush":
                    await self.ledger.flush()
                case "flush twice at once":
                    await asyncio.gather(self.ledger.flush(), self.ledger.flush())
                case "cancel a flush":
                    flushing = asyncio.create_task(self.ledger.flush())
                    await asyncio.sleep(0)
                    flushing.cancel()
                    await asyncio.gather(flushing, return_exceptions=True)
                case "a moment":
                    await asyncio.sleep(0.002)
                case "break" | "mute" | "mend":
                    self.db.is_broken, self.db.is_mute = step == "break", step == "mute"
                case CallRow():
                    self.record(step._replace(id=f"call-{self.count}"))
                case (_, ends):
                    await self.hold(f"hold_{self.count}", ends)
        self.db.is_broken = self.db.is_mute = False
        for _ in range(3):
            await self.ledger.flush()

    def record(self, one: CallRow) -> None:
        self.ledger.record(one)
        self.rows.append(one.id)

    async def hold(self, name: str, ends: str) -> None:
        holding = asyncio.create_task(self.ledger.hold(hold(name)))
        if ends == "cancel":
            await asyncio.sleep(0)
            holding.cancel()
        if isinstance((await asyncio.gather(holding, return_exceptions=True))[0], BaseException):
            return
        if ends == "settle":
            self.record(row(self.count, hold_id=name, cost_usd_micros=self.count))
        elif ends == "release":
            self.ledger.release(name)
        else:
            self.left.append(name)


def adds_up(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = BreakableDatabase(Path(folder) / "ringfence.db")
        db.migrate()

        async def play() -> Played:
            played = Played(db)
            await played.play(steps)
            assert sorted(one.id for one in await played.ledger.holds()) == sorted(played.left)
            return played

        played = asyncio.run(play())
        assert sorted(found.id for found in written(db)) == sorted(played.rows)
        agree(db)
        db.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_any_order_of_events_sums_to_the_same_totals(steps: list[Any]) -> None:
    adds_up(steps)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_many_orders_of_events_sum_to_the_same_totals(steps: list[Any]) -> None:
    adds_up(steps)


def flush_forever(path: str, flushed: multiprocessing.Queue[int]) -> None:
    async def loop() -> None:
        database = Database(path)
        ledger = Ledger(database)
        done = 0
        while True:
            for number in range(ROWS_PER_BATCH):
                ledger.record(row(number, f"key_{number}", input_tokens=3, output_tokens=2))
            await ledger.flush()
            done += 1
            flushed.put(done)

    asyncio.run(loop())


@pytest.mark.parametrize("batches", [pytest.param(1, marks=pytest.mark.slow), 20])
def test_killed_while_flushing(db_path: Path, batches: int) -> None:
    path = db_path
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
    assert is_intact(path)
    database = Database(path)
    days = read(database)
    agree(database)
    database.close()
    assert len(days) == ROWS_PER_BATCH
    assert len({(day.requests, day.prompt_tokens, day.completion_tokens) for day in days}) == 1
    assert days[0].requests >= seen
    assert days[0].prompt_tokens == 3 * days[0].requests


@pytest.mark.slow
@pytest.mark.timed
@pytest.mark.sqlite("a figure that is promised for it")
async def test_five_thousand_rows_a_second(db: Database) -> None:
    ledger = Ledger(db)
    ledger.record(row(0))
    await ledger.flush()
    rows = [row(number, f"key_{number % 50}", at_s=NOON_S + number) for number in range(20_000)]
    began = perf_counter()
    for at in range(0, len(rows), 100):
        for one in rows[at : at + 100]:
            ledger.record(one)
        await asyncio.sleep(0)
    await ledger.flush()
    assert ledger.pending == 0
    assert 20_000 / (perf_counter() - began) >= 5_000
    assert len(written(db)) == 20_001


def test_its_repr_names_nobody(db: Database) -> None:
    async def one() -> str:
        ledger = Ledger(db)
        ledger.record(row(1))
        return repr(ledger)

    assert asyncio.run(one()) == "<Ledger with 1 rows pending>"
