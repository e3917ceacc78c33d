"""Responses on disk: sealed, for one key, for a time; and which profiles keep any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence.config.schema import ProfileSettings
from ringfence.store import responses
from ringfence.store.db import Database
from ringfence.store.responses import Kept, ResponseRows
from ringfence.store.sealing import KEY_FILE, Unreadable

TEXT = b"a canary that nobody may read"
NOW_S = 1_790_000_000.0
ROW = Kept("resp_1", "key_1", 0, "fast", NOW_S, NOW_S + 60)


@pytest.fixture
def rows(db: Database, state_dir: Path) -> ResponseRows:
    return ResponseRows(db, state_dir)


async def test_one_is_found_by_its_key_until_it_expires(rows: ResponseRows, db: Database) -> None:
    await rows.add(ROW, TEXT)
    assert await rows.find("resp_1", "key_1", NOW_S + 59) == (ROW, TEXT)
    assert await rows.find("resp_1", "key_2", NOW_S) is None
    assert await rows.find("resp_1", "key_1", NOW_S + 60) is None
    if db.path is not None:
        assert TEXT not in db.path.read_bytes() + db.path.with_name("ringfence.db-wal").read_bytes()
    body = await db.run(lambda connection: connection.exec_driver_sql("SELECT body FROM responses").scalar_one())
    assert TEXT not in bytes(body)
    assert not await rows.delete("resp_1", "key_2") and await rows.delete("resp_1", "key_1")
    assert await rows.find("resp_1", "key_1", NOW_S) is None


async def test_with_another_key_of_the_seal_none_opens(rows: ResponseRows, db: Database, state_dir: Path) -> None:
    await rows.add(ROW, TEXT)
    (state_dir / KEY_FILE).unlink()
    with pytest.raises(Unreadable):
        await ResponseRows(db, state_dir).find("resp_1", "key_1", NOW_S)


async def test_the_oldest_of_too_many_are_forgotten(rows: ResponseRows, monkeypatch: pytest.MonkeyPatch) -> None:
    for age_s in range(4):
        await rows.add(replace(ROW, id=f"resp_{age_s}", created_s=NOW_S - age_s), TEXT)
    monkeypatch.setattr(responses, "MOST_BYTES", 2 * (len(TEXT) + 28))
    await rows.prune(NOW_S)
    found = [await rows.find(f"resp_{age_s}", "key_1", NOW_S) is not None for age_s in range(4)]
    assert found == [True, True, False, False]
    await rows.prune(NOW_S + 60)
    assert await rows.find("resp_0", "key_1", NOW_S) is None


@pytest.mark.parametrize(
    ("told", "stores"),
    [
        ({}, False), ({"boundary": "host"}, False), ({"boundary": "cloud"}, True), ({"tier": "T2"}, True),
        ({"tier": "T1", "boundary": "mesh"}, False), ({"tier": "T4"}, False),
        ({"tier": "T4", "boundary": "mesh"}, True),
        ({"tier": "T1", "stores": True}, True), ({"boundary": "cloud", "stores": False}, False),
    ],
)  # fmt: skip
def test_which_profiles_keep_any(told: dict[str, Any], stores: bool) -> None:
    assert ProfileSettings(**told).profile("one").stores is stores
