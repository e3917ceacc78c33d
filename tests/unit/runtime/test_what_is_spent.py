"""What is told of money: real purse, real ledger, real database."""

from __future__ import annotations

import time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ringfence.config.schema import Config
from ringfence.core.ledger import CallRow, HoldRow
from ringfence.core.money import Budget, Period
from ringfence.gateway.money import MoneyRules, Purse
from ringfence.runtime.what_is_spent import WhatIsSpent
from ringfence.store import keys as keystore
from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.ledger import Ledger
from ringfence.store.spending import slices

ZONE = ZoneInfo("Asia/Kathmandu")


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
    await purse.restore(lambda _holds: set(), {}.get)
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
        told_days = await spent.days(4)
        days = told_days["days"]
        assert [day["calls"] for day in days] == [0, 0, 0, 1]
    assert told_days["against"] == {"scenario": "all-frontier", "price": "$3.00 in, $15.00 out per million tokens"}
    today = days[-1]
    assert (today["providers"], today["cloud_tokens"], today["local_tokens"]) == ({"rented": 300}, 14, 0)
    assert today["saved_usd_micros"] == 10 * 3 + 4 * 15 - 300
    assert (today["energy_j"], today["electricity_usd_micros"]) == (0.0, None)


async def test_what_a_single_call_may_cost_is_told_of_everyone(db: Database) -> None:
    purse, spent = told(db, Ledger(db))
    small, large = Budget(call=40_000), Budget(day=1, call=500_000)
    purse.rules = MoneyRules(ZONE, small, profiles={"bold": large, "mild": Budget(day=1)}, providers={"rented": small})
    key, _ = await db.run(
        lambda connection: keystore.create(connection, b"pepper", name="laptop", created_s=1, budget=large)
    )
    found = (await spent.now())["call_caps"]
    assert [(one["scope"], one["label"], one["limit_usd_micros"]) for one in found] == [
        ("house", "", 40_000), ("provider", "rented", 40_000), ("profile", "bold", 500_000),
        ("key", "laptop", 500_000),
    ]  # fmt: skip
    assert found[-1]["name"] == key.id


async def test_each_day_has_what_was_done_in_it_also_where_it_has_25_hours(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day is that of the zone; own engines, answers that were kept and calls without a price are told apart."""
    berlin = ZoneInfo("Europe/Berlin")
    now_s = 1_792_922_400 + 86_400  # the day after 2026-10-25, at noon
    begins_s = Period.DAY.start_s(now_s - 86_400, berlin)
    ends_s = Period.DAY.end_s(begins_s, berlin)
    assert ends_s - begins_s == 25 * 3600
    ledger = Ledger(db)
    plain = CallRow(
        "c0", begins_s, "key_9", "bold", "", "chat", "smart", "smart", "rented", 200, "ok", False, 100, 0, 0, 20, 0,
        False, 300, None, 0.1, 0.2,
    )  # fmt: skip
    for number, changed in enumerate((
        {"at_s": begins_s - 1}, {}, {"at_s": ends_s - 0.5, "cost_usd_micros": 40}, {"cost_usd_micros": None},
        {"provider": "other", "cost_usd_micros": 5}, {"provider": "", "cost_usd_micros": 0, "energy_j": 7_200_000.0},
        {"provider": "", "cost_usd_micros": 0, "outcome": "cached"}, {"at_s": ends_s},
    )):  # fmt: skip
        ledger.record(plain._replace(id=f"c{number}", **changed))
    config = Config.model_validate({"money": {"usd_per_kwh": 0.25}})
    purse = Purse(time.time)
    purse.rows, purse.rules = ledger, MoneyRules(berlin)
    monkeypatch.setattr("ringfence.runtime.what_is_spent.time", lambda: float(now_s))
    found = await WhatIsSpent(purse, ledger, db, lambda: config, nothing).days(3)
    assert [(day["day"], day["calls"]) for day in found["days"]] == [
        ("2026-10-24", 1), ("2026-10-25", 6), ("2026-10-26", 1)
    ]  # fmt: skip
    day = found["days"][1]
    assert day["providers"] == {"rented": 340, "other": 5} and day["cost_usd_micros"] == 345
    assert (day["cloud_tokens"], day["local_tokens"], day["kept_tokens"]) == (480, 120, 120)
    assert (day["unpriced_calls"], day["elsewhere_usd_micros"]) == (1, 5 * (100 * 3 + 20 * 15))
    assert day["electricity_usd_micros"] == 500_000  # 2 kWh at 25 cents
    assert found["usd_per_kwh"] == 0.25


async def test_what_cannot_be_read_is_said(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_fn: object) -> object:
        raise StoreFailed("ringfence.db", "cannot be read", "look at the disk")

    _, spent = told(db, Ledger(db))
    monkeypatch.setattr(db, "read", broken)
    found = await spent.now()
    assert not found["can_write"] and "look at the disk" in found["problem"]
    assert found["standings"][0]["limit_usd_micros"] == 100_000_000 and found["holds"] == []


async def test_a_day_is_read_again_as_long_as_money_of_it_is_held(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of a batch at a provider may be settled days after it left, and is a row of that day."""
    ledger, now_s = Ledger(db), time.time()
    _, spent = told(db, ledger)
    left_s = now_s - 4 * 86_400
    line = HoldRow("hold_1", "c1", left_s, "key_9", "bold", "", "chat", "smart", "m", "rented", 700, "batch_1", 1)
    await ledger.hold(line)
    monkeypatch.setattr("ringfence.runtime.what_is_spent.time", lambda: now_s)
    read: list[float] = []

    def counted(connection: Any, since_s: float, until_s: float) -> Any:
        read.append(since_s)
        return slices(connection, since_s, until_s)

    monkeypatch.setattr("ringfence.runtime.what_is_spent.slices", counted)
    assert [day["calls"] for day in (await spent.days(8))["days"]] == [0] * 8
    ledger.record(CallRow(
        "c1", left_s, "key_9", "bold", "", "chat", "smart", "m", "rented", 200, "ok", False, 10, 0, 0, 4, 0, False, 300,
        None, 0.0, 0.0, "hold_1",
    ))  # fmt: skip
    read.clear()
    assert [day["cost_usd_micros"] for day in (await spent.days(8))["days"]] == [0, 0, 0, 300, 0, 0, 0, 0]
    assert len(read) == 5, "the days before it are kept"
    read.clear()
    await spent.days(8)
    assert len(read) == 3, "nothing is held any more: all that ended more than two days ago are kept"
