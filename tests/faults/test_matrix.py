"""Every cell of the fault matrix: what is written down in matrix.py is what happens."""

from __future__ import annotations

import asyncio
import collections
from pathlib import Path

import pytest
from cells import Came, Rented, tried
from matrix import OTHER, PAGE, ROWS, Ends, Row, outcome_of, page
from spoken import OF_TEXT, SPOKEN, WAYS, found

from ringfence.testing.fake_cloud import make_certificate

Cell = tuple[str, tuple[str, bool], bool]
"""A fault, a way of asking, and whether there is a second target."""
OWN = [row for row in ROWS if not row.place]
RENTED = [way for way in WAYS if way[0] in OF_TEXT - {"rerank"}]
"""No rented model ranks, speaks, hears or draws."""


def ends_of(row: Row, way: tuple[str, bool]) -> Ends | None:
    """What is written down; None where nothing is."""
    name, is_stream = way
    if SPOKEN[name].is_sound:
        return row.sound
    return row.stream if is_stream else row.whole


def wanted(row: Row) -> dict[tuple[str, bool], Ends]:
    return {way: ends for way in WAYS if (ends := ends_of(row, way)) is not None}


def test_every_dialect_is_listed() -> None:
    assert set(SPOKEN) == found()


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/faults/matrix.py"


def test_every_fault_is_listed_once() -> None:
    assert [fault for fault, count in collections.Counter(row.fault for row in ROWS).items() if count > 1] == []


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.fault)
async def test_the_only_target_breaks(row: Row) -> None:
    expected = wanted(row)
    came = await asyncio.gather(*(tried(row, way, has_second=False) for way in expected))
    assert dict(zip(expected, came, strict=True)) == {
        way: Came(ends.seen, ends.ledger if way[0] in OF_TEXT else outcome_of(ends), ends.counts)
        for way, ends in expected.items()
    }


@pytest.mark.parametrize("row", OWN, ids=lambda row: row.fault)
async def test_a_second_target_is_well(row: Row) -> None:
    expected = wanted(row)
    came = await asyncio.gather(*(tried(row, way, has_second=True) for way in expected))
    assert {way: one.seen for way, one in zip(expected, came, strict=True)} == {
        way: ends.chain for way, ends in expected.items()
    }


@pytest.mark.slow
async def test_rented_clouds_break(tmp_path: Path) -> None:
    """All behind one egress process. Where a cloud breaks for a while only, its calls come one after the other."""
    rows = [row for row in ROWS if row.cloud]
    expected: dict[Cell, str] = {}
    came: dict[Cell, str] = {}
    async with Rented(tmp_path, make_certificate(tmp_path)) as rented:

        async def one(row: Row, way: tuple[str, bool], has_second: bool) -> None:
            assert row.cloud is not None
            place, alone = (row.fault, way, has_second), row.cloud[way[1]]
            is_mended = has_second and (alone[0] in "45" or row.once)
            expected[place] = OTHER if is_mended else alone
            came[place] = await rented.tried(row, way, has_second=has_second)
            rented.engines[row.fault].as_usual()

        async def all_of(row: Row) -> None:
            cells = [one(row, way, has_second) for way in RENTED for has_second in (False, True)]
            if not row.once:
                await asyncio.gather(*cells)
            else:
                for cell in cells:
                    await cell

        await asyncio.gather(*(all_of(row) for row in rows))
    assert {place: (seen, expected[place]) for place, seen in came.items() if seen != expected[place]} == {}
    assert len(came) == len(rows) * len(RENTED) * 2
