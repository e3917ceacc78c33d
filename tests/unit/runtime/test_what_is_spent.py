"""What is told of money: real purse, real ledger, real database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ringfence.config.schema import Config
from ringfence.core.ledger import CallRow, HoldRow
from ringfence.core.money import Budget
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.runtime.what_is_spent import WhatIsSpent
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger import Ledger

ZONE = ZoneInfo("Asia/Kathmandu")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "ringfence.db")
    database.migrate()
    yield database
    database.close()


async def nothing() -> list[dict[str, Any]]:
    return []


def told(db: Database, ledger: Ledger) -> tuple[Purse, WhatIsSpent]:
    purse = Purse(time.time)
    purse.rows, purse.rules = ledger, MoneyRules(ZONE, Budget(month=100_000_000))
    return purse, WhatIsSpent(purse, ledger, db, Config, nothing)


async def test_caps_holds_and_days(db: Database) -> None:
    ledger = Ledger(db)
    now_s = time.time()
    ledger.record(CallRow(
        "c0", now_s, "key_9", "bold", "", "chat", "smart", "rented/smart", "rented", 200, "ok", False, 10, 0, 0, 4, 0,
        False, 300, None, 0.1, 0.2,
    ))  # fmt: skip
    purse, spent = told(db, ledger)
    await ledger.flush()
    await purse.restore(lambda _holds: set())
    await ledger.hold(
        HoldRow("hold_1", "c1", now_s - 5, "key_9", "bold", "", "chat", "smart", "rented/smart", "rented", 700)
    )
    found = await spent.now()
    assert (found["zone"], found["can_write"], found["problem"]) == ("Asia/Kathmandu", True, "")
    rows = {(one["scope"], one["label"]): one for one in found["standings"]}
    assert rows["house", ""]["limit_usd_micros"] == 100_000_000
    assert {one["spent_usd_micros"] for one in rows.values()} == {300}
    assert set(rows) == {("house", ""), ("provider", "rented"), ("profile", "bold"), ("key", "key_9")}
    (hold,) = found["holds"]
    assert (hold["usd_micros"], hold["provider"], hold["key"]) == (700, "rented", "key_9") and 5 <= hold["age_s"] < 60
    for _ in range(2):  # days that are over are read once
        days = (await spent.days(4))["days"]
        assert [len(day["rows"]) for day in days] == [0, 0, 0, 1]
    assert days[-1]["rows"][0] == {
        "provider": "rented", "calls": 1, "input_tokens": 10, "output_tokens": 4, "usd_micros": 300,
        "unpriced_calls": 0,
    }  # fmt: skip


async def test_what_cannot_be_read_is_said(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_fn: object) -> object:
        raise StoreFailed("ringfence.db", "cannot be read", "look at the disk")

    _, spent = told(db, Ledger(db))
    monkeypatch.setattr(db, "read", broken)
    found = await spent.now()
    assert not found["can_write"] and "look at the disk" in found["problem"]
    assert found["standings"][0]["limit_usd_micros"] == 100_000_000 and found["holds"] == []
