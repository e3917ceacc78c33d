"""Batches and files on disk: once, in order, sealed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.store.batches import Batch, BatchRows, Written
from ringfence.store.db import Database
from ringfence.store.files import File, FileRows, FilesFull, InUse
from ringfence.store.sealing import Unreadable

NOW_S = 1_790_000_000.0
FILE = File("file-1", "key_1", "batch", "in.jsonl", 4, 0, NOW_S, NOW_S + 3600)
BATCH = Batch(
    "batch_1", "key_1", "default", 0, "", "", "", "/v1/chat/completions", "file-1", "24h", 3600.0, NOW_S,
    NOW_S + 86_400, metadata={"job": "nightly"},
)  # fmt: skip


@pytest.fixture
def rows(db: Database, tmp_path: Path) -> BatchRows:
    return BatchRows(db, FileRows(db, tmp_path))


async def begun(rows: BatchRows, total: int = 4) -> Batch:
    await rows.files.add(FILE, [b"ab\n", b"c"], 100)
    return await rows.begin(await rows.add(BATCH), total, "", NOW_S + 1)


async def test_a_line_is_written_once_and_in_one_of_the_files(rows: BatchRows) -> None:
    batch = await begun(rows)
    await rows.write(batch, [Written(3, True, b"three\n"), Written(2, False, b"two\n")])
    again = [Written(3, False, b"other\n"), Written(2, True, b"other\n"), Written(1, True, b"one\n")]
    await asyncio.gather(
        rows.write(batch, again), rows.write(batch, again), rows.write(batch, [Written(4, True, b"4\n")])
    )
    assert await rows.answered(batch) == {1, 2, 3, 4}
    found = await rows.find(batch.id)
    assert found is not None and (found.total, found.completed, found.failed) == (4, 3, 1)
    assert await rows.files.find(batch.output_file_id, "key_1", NOW_S) is None  # it is not whole yet
    ended = await rows.end(batch, "completed", NOW_S + 9)
    output, errors = [
        await rows.files.find(each, "key_1", NOW_S) for each in (ended.output_file_id, ended.error_file_id)
    ]
    assert output is not None and errors is not None
    assert [text for _, text in await rows.files.read(output, -1, 100)] == [b"one\n", b"three\n", b"4\n"]
    assert [text for _, text in await rows.files.read(errors, -1, 100)] == [b"two\n"]
    assert (output.size_bytes, output.expires_s) == (12, NOW_S + 9 + 3600)
    await rows.write(ended, [Written(9, True, b"late\n")])
    assert await rows.end(batch, "failed", NOW_S + 10) == ended == await rows.find(batch.id)


async def test_a_file_in_which_nothing_stands_is_none(rows: BatchRows) -> None:
    ended = await rows.end(await begun(rows), "cancelled", NOW_S + 9)
    assert (ended.output_file_id, ended.error_file_id) == ("", "")
    assert [file.id for file in await rows.files.listed("key_1", NOW_S, most=9)] == ["file-1"]


async def test_what_was_cancelled_while_it_was_looked_through_stays_so(rows: BatchRows) -> None:
    await rows.files.add(FILE, [b"ab\n"], 100)
    batch = await rows.add(BATCH)
    assert (await rows.cancel(batch, NOW_S + 2)).state == "cancelling"
    begun = await rows.begin(batch, 1, "", NOW_S + 3)
    assert begun.state == "cancelling" and begun.times == {"cancelling_at": NOW_S + 2, "in_progress_at": NOW_S + 3}


async def test_files_that_are_needed_stay(rows: BatchRows) -> None:
    batch = await begun(rows)
    with pytest.raises(InUse):
        await rows.files.delete(FILE)
    await rows.files.prune(NOW_S + 10**9)
    assert await rows.files.read(replace(FILE, number=1), -1, 100) == [(0, b"ab\n"), (1, b"c")]
    await rows.end(batch, "failed", NOW_S)
    await rows.files.prune(NOW_S + 10**9)
    await rows.prune(NOW_S + 10**9)
    assert await rows.files.read(replace(FILE, number=1), -1, 100) == [] and await rows.find(batch.id) is None


async def test_all_files_together_are_bounded(rows: BatchRows) -> None:
    await rows.files.add(FILE, [b"ab\n", b"c"], 7)
    with pytest.raises(FilesFull):
        await rows.files.add(replace(FILE, id="file-2"), [b"ab\n", b"c"], 7)
    await rows.files.delete((await rows.files.listed("key_1", NOW_S, most=1))[0])
    await rows.files.add(replace(FILE, id="file-2"), [b"ab\n", b"c"], 7)


@pytest.mark.parametrize("column", ["boundary = 2", "key_id = 'key_2'", "profile = 'open'", "labels = 'public'"])
async def test_a_batch_whose_row_was_changed_fails(rows: BatchRows, db: Database, column: str) -> None:
    batch = await begun(rows)
    await db.run(lambda connection: connection.exec_driver_sql(f"UPDATE batches SET {column}"))
    assert await rows.open(NOW_S) == []
    found = await rows.find(batch.id)
    assert found is not None and found.state == "failed" and found.metadata is None


async def test_a_file_whose_row_was_changed_does_not_open(rows: BatchRows) -> None:
    file = await rows.files.add(FILE, [b"ab\n"], 100)
    for changed in (replace(file, boundary=2), replace(file, key_id="key_2"), replace(file, id="file-9")):
        with pytest.raises(Unreadable):
            await rows.files.read(changed, -1, 100)


async def test_nothing_of_a_text_is_told_or_readable(rows: BatchRows, tmp_path: Path) -> None:
    batch = await begun(rows)
    await rows.write(batch, [Written(1, True, b"what was answered\n")])
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"what was answered" not in kept and b"nightly" not in kept
    assert "nightly" not in repr(batch)


async def test_a_batch_is_forgotten_once_it_has_ended_and_its_files_expired(rows: BatchRows) -> None:
    batch = await begun(rows)
    gone_s = batch.expires_s + batch.keep_s
    await rows.prune(gone_s + 1)
    assert await rows.find(batch.id) is not None  # one that has not ended never is
    await rows.end(batch, "completed", NOW_S + 2)
    await rows.prune(gone_s)
    assert await rows.find(batch.id) is not None
    await rows.prune(gone_s + 1)
    assert await rows.find(batch.id) is None
