"""Sums over the rows of the ledger."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.ledger import CallRow, HoldRow
from ringfence.core.spending import Held, Part, Slice
from ringfence.store.db import Database
from ringfence.store.ledger import Ledger
from ringfence.store.spending import first_s, held, parts, slices

QUARTER = 1_799_999_100
"""When one begins."""

PLAIN = CallRow(
    "call", QUARTER + 1.5, "key_1", "default", "", "chat", "small", "t", "", 200, "ok", False, 100, 10, 5, 20, 0, False,
    0, None, 0.1, 1.0,
)  # fmt: skip


async def written(db: Database, *rows: dict[str, Any]) -> None:
    ledger = Ledger(db)
    for number, over in enumerate(rows):
        ledger.record(PLAIN._replace(id=f"call_{number}", **over))
    await ledger.flush()


async def test_slices_are_of_one_quarter_one_provider_and_one_band(db: Database) -> None:
    await written(
        db,
        {}, {"at_s": QUARTER + 899.9, "energy_j": 7.5}, {"at_s": QUARTER + 900.0}, {"at_s": QUARTER - 0.1},
        {"provider": "openai", "cost_usd_micros": 40}, {"provider": "openai", "cost_usd_micros": None},
        {"input_tokens": 2048}, {"outcome": "cached"}, {"at_s": QUARTER + 5000.0},
    )  # fmt: skip
    found = db.call(lambda connection: slices(connection, QUARTER - 1, QUARTER + 5000))
    assert found == [
        Slice(QUARTER - 900, "", False, 0, 1, 100, 10, 5, 20, 0, 0, 0.0),
        Slice(QUARTER, "", False, 0, 2, 200, 20, 10, 40, 0, 0, 7.5),
        Slice(QUARTER, "", False, 2048, 1, 2048, 10, 5, 20, 0, 0, 0.0),
        Slice(QUARTER, "", True, 0, 1, 100, 10, 5, 20, 0, 0, 0.0),
        Slice(QUARTER, "openai", False, 0, 2, 200, 20, 10, 40, 40, 1, 0.0),
        Slice(QUARTER + 900, "", False, 0, 1, 100, 10, 5, 20, 0, 0, 0.0),
    ]
    assert QUARTER % 900 == 0
    assert db.call(first_s) == QUARTER - 0.1


async def test_parts_are_the_dearest_first(db: Database) -> None:
    await written(
        db,
        {}, {"key_id": "key_2", "outcome": "timeout", "energy_j": 7.5}, {"key_id": "key_2", "outcome": "joined"},
        {"key_id": "key_3", "provider": "openai", "cost_usd_micros": 40},
        {"key_id": "key_1", "provider": "openai", "cost_usd_micros": None}, {"at_s": QUARTER - 5.0},
    )  # fmt: skip
    by_key = db.call(lambda connection: parts(connection, "key", QUARTER, QUARTER + 9))
    assert by_key == [
        Part("key_3", 1, 0, 100, 20, 0, 120, 0, 40, 0, 0.0),
        Part("key_1", 2, 0, 200, 40, 120, 120, 0, 0, 1, 0.0),
        Part("key_2", 2, 1, 200, 40, 120, 0, 120, 0, 0, 7.5),
    ]
    by_outcome = db.call(lambda connection: parts(connection, "outcome", QUARTER, QUARTER + 9))
    assert {one.name: one.calls for one in by_outcome} == {"ok": 3, "timeout": 1, "joined": 1}
    by_provider = db.call(lambda connection: parts(connection, "provider", 0, 2e9))
    assert [(one.name, one.calls) for one in by_provider] == [("openai", 2), ("", 4)]


async def test_what_is_held_is_the_sum_of_the_holds(db: Database) -> None:
    assert db.call(held) == Held(0, 0)
    ledger = Ledger(db)
    for number, micros in enumerate((70, 5)):
        await ledger.hold(HoldRow(f"hold_{number}", "call", 1.0, "key_1", "default", "", "chat", "m", "t", "p", micros))
    assert db.call(held) == Held(2, 75)


@pytest.mark.sqlite("locks of its file")
async def test_who_reads_is_waited_for_by_nobody(db: Database, state_dir: Path) -> None:
    await written(db, {})
    reading = Database(state_dir / "ringfence.db", only_reads=True)
    other = sqlite3.connect(state_dir / "ringfence.db", timeout=0.1, isolation_level=None, check_same_thread=False)

    def read_while_another_writes(connection: Any) -> int:
        before = len(slices(connection, 0, 2e9))
        other.execute("DELETE FROM calls")
        return before + len(slices(connection, 0, 2e9))

    assert reading.call(read_while_another_writes) == 2  # what stood when it began to read
    assert reading.call(lambda connection: slices(connection, 0, 2e9)) == []
    other.close()
    reading.close()
