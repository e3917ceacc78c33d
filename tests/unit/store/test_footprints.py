"""What was learned of memory, kept over a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.core.footprint import Footprint, Setup
from ringfence.store import footprints as store
from ringfence.store.db import Database
from ringfence.store.footprints import FootprintRows

SETUP = Setup("llamacpp", "b1", "sha-a", 4096, 2, "Q4_K_M", "f16", "RTX 4090")
KNOWN = Footprint(SETUP, "qwen3", 6 * 1024**3, 7 * 1024**3, 0, 1, 12.5)


async def test_what_is_put_is_there_after_a_restart(db: Database, db_path: Path) -> None:
    unseen = Footprint(replace(SETUP, window=8192), "qwen3", 8 * 1024**3)
    await FootprintRows(db).put([KNOWN, unseen])
    again = Database(db_path)
    found = await FootprintRows(again).all()
    again.close()
    assert sorted(found, key=lambda one: one.setup.window) == [KNOWN, unseen]


async def test_one_takes_the_place_of_what_was_kept_of_the_same_setup(db: Database) -> None:
    rows = FootprintRows(db)
    later = replace(KNOWN, peak_bytes=10, loads=2, predicted_bytes=None)
    await rows.put([KNOWN])
    await rows.put([later])
    assert await rows.all() == [later]
    await rows.put([])
    assert await rows.all() == [later]


async def test_a_name_of_any_length_is_kept(db: Database) -> None:
    await FootprintRows(db).put([replace(KNOWN, setup=replace(SETUP, model="m" * 10_000), architecture="a" * 10_000)])
    [found] = await FootprintRows(db).all()
    assert (len(found.setup.model), len(found.architecture)) == (200, 100)


async def test_of_too_many_the_oldest_are_forgotten(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_KEPT", 3)
    rows = FootprintRows(db)
    await rows.put([replace(KNOWN, setup=replace(SETUP, window=number), seen_s=float(number)) for number in range(10)])
    assert sorted(one.setup.window for one in await rows.all()) == [7, 8, 9]
