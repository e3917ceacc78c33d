"""Leases on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ringfence.store.db import Database
from ringfence.store.leases import KeptLease, LeaseRows

HELD = KeptLease("lease-1", "finetune", "GPU-a", 16 << 30, 4, False, 60.0, 812, "boot:99", False)
WATCHED = replace(HELD, id="lease-2", is_recalled=True, pid=None, started="", is_watched=True)


async def test_what_is_written_is_there_after_a_restart(db: Database, db_path: Path) -> None:
    await LeaseRows(db).replace([HELD, WATCHED])
    again = Database(db_path)
    assert sorted(await LeaseRows(again).all(), key=lambda one: one.id) == [HELD, WATCHED]
    again.close()


async def test_only_the_last_that_were_written_are_there(db: Database) -> None:
    rows = LeaseRows(db)
    await rows.replace([HELD, WATCHED])
    await rows.replace([WATCHED])
    assert await rows.all() == [WATCHED]
    await rows.replace([])
    assert await rows.all() == []
