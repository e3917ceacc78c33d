"""Rows of the ledger, read in pages, written as text, and forgotten in time."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from ringfence.core.ledger import CallRow
from ringfence.runtime.money import kept_since_s
from ringfence.store import keys as keystore
from ringfence.store import ledger_reads
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger, totals
from ringfence.store.ledger_lines import FIELDS, csv_head, csv_lines, json_lines
from ringfence.store.ledger_reads import START, key_names, last, page

NOON_S = 20_000 * 86_400 + 43_200.25
ROW = CallRow(
    "call-1", NOON_S, "key_1", "default", "coder", "chat", "small", "seat/small", "", 200, "ok", True, 900, 100, 7, 50,
    20, False, 1_234_567, 12.5, 0.25, 1.5,
)  # fmt: skip


async def filled(db: Database, rows: list[CallRow]) -> Ledger:
    ledger = Ledger(db)
    for row in rows:
        ledger.record(row)
    await ledger.flush()
    return ledger


async def test_pages_give_each_row_once_and_in_order(db: Database) -> None:
    # Many at the same time, and one that was written late but belongs to an earlier time.
    rows = [ROW._replace(id=f"call-{number}", at_s=NOON_S + number // 7) for number in range(50)]
    await filled(db, [*rows[1:], rows[0]])
    for limit in (1, 3, 7, 50, 51):
        found: list[CallRow] = []
        mark: ledger_reads.Mark | None = START
        while mark is not None:
            more, mark = db.call(lambda c, at=mark: page(c, at, None, limit))  # noqa: B023
            found += more
        assert sorted(found) == sorted(rows)
        assert [row.at_s for row in found] == sorted(row.at_s for row in rows)
    since, until = NOON_S + 2, NOON_S + 4
    some, rest = db.call(lambda c: page(c, START._replace(at_s=since), until, 100))
    assert {row.id for row in some} == {f"call-{number}" for number in range(14, 28)}
    assert rest is None
    assert [row.id for row in db.call(lambda c: last(c, 2))] == ["call-0", "call-49"]


async def test_lines_of_csv_and_json(db: Database) -> None:
    rows = [ROW, ROW._replace(id="call-2", cost_usd_micros=None, energy_j=None, hold_id="hold_1", stream=False)]
    await filled(db, rows)
    found, _ = db.call(lambda c: page(c, START, None, 10))
    assert found == rows
    told = list(csv.DictReader(io.StringIO(csv_head() + csv_lines(found, {"key_1": "laptop"}))))
    objects = [json.loads(line) for line in json_lines(found, {"key_1": "laptop"}).splitlines()]
    assert [list(row) for row in (*told, *objects)] == [list(FIELDS)] * 4
    assert (told[0]["at"], told[0]["key"], told[0]["stream"]) == ("2024-10-04T12:00:00.250Z", "laptop", "true")
    assert (told[1]["cost_usd_micros"], told[1]["energy_j"], told[1]["hold_id"]) == ("", "", "hold_1")
    assert objects[0]["cost_usd_micros"] == 1_234_567
    assert (objects[1]["cost_usd_micros"], objects[1]["stream"]) == (None, False)


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_name_is_worked_out_by_a_spreadsheet(name: str) -> None:
    text = csv_lines([ROW._replace(agent=name, model='a "b", c')], {"key_1": name})
    (cells,) = csv.reader(io.StringIO(text, newline=""))
    told = dict(zip(FIELDS, cells, strict=True))
    assert told["agent"] == told["key"] == f"'{name}".replace("\r", " ")
    assert told["model"] == 'a "b", c'
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)


def test_times_are_told_no_finer_than_they_are_known() -> None:
    row = ROW._replace(first_byte_s=0.021777374000521377, total_s=1.0000004, energy_j=None)
    told = json.loads(json_lines([row], {}))
    assert (told["first_byte_s"], told["total_s"], told["energy_j"]) == (0.021777, 1.0, None)


async def test_old_rows_are_forgotten_a_few_at_a_time_and_their_days_stay(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_reads, "MOST_PRUNED", 10)
    monkeypatch.setattr("ringfence.store.ledger.PRUNE_PAUSE_S", 0.001)
    ledger = await filled(db, [ROW._replace(id=f"call-{number}", at_s=NOON_S + number) for number in range(50)])
    pruning = asyncio.create_task(ledger.prune(NOON_S + 35))
    await asyncio.sleep(0)
    ledger.record(ROW._replace(id="call-50", at_s=NOON_S + 50))
    assert await pruning == 35
    await ledger.flush()
    found, _ = db.call(lambda c: page(c, START, None, 100))
    assert [row.id for row in found] == [f"call-{number}" for number in range(35, 51)]
    assert sum(day.requests for day in db.call(lambda c: totals(c, ""))) == 51


def test_the_periods_of_budgets_are_kept_however_few_days_are() -> None:
    zone = ZoneInfo("Europe/Berlin")

    def kept(days: int, now: datetime) -> datetime:
        config: Any = SimpleNamespace(money=SimpleNamespace(zone_info=zone, ledger_days=days))
        return datetime.fromtimestamp(kept_since_s(config, now.timestamp()), zone)

    end_of_month = datetime(2026, 8, 30, 12, tzinfo=zone)
    assert kept(1, end_of_month) == datetime(2026, 8, 1, tzinfo=zone)
    assert kept(1, datetime(2026, 8, 2, 12, tzinfo=zone)) == datetime(2026, 7, 27, tzinfo=zone), "a week's beginning"
    assert kept(400, end_of_month).astimezone(UTC) == datetime(2025, 7, 26, 10, tzinfo=UTC)


@pytest.mark.sqlite("locks of its file")
async def test_whoever_only_reads_keeps_no_writer_waiting(db: Database, db_path: Path) -> None:
    await filled(db, [ROW])
    reader = Database(db_path, only_reads=True)

    def slowly(connection: Connection) -> int:
        before = len(page(connection, START, None, 10)[0])
        with sqlite3.connect(db_path, timeout=0) as plain:  # raises where the file is locked
            plain.execute("DELETE FROM calls")
        plain.close()
        return before + len(page(connection, START, None, 10)[0])

    assert reader.call(slowly) == 2, "it sees what there was when it began"
    assert reader.call(lambda c: page(c, START, None, 10)) == ([], None)
    reader.close()


def test_names_of_keys(db: Database, state_dir: Path) -> None:
    key, _ = db.call(
        lambda c: keystore.create(c, keystore.find_pepper(c, state_dir), name="laptop", created_s=1, profile="default")
    )
    assert db.call(key_names) == {key.id: "laptop"}
