"""Parked requests on disk: sealed, ended once, restored after a start."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.parked import CANCELLED, DONE, KEPT_S, UNREADABLE, WAITING, Parked, ParkedRows
from ringfence.store.sealing import KEY_FILE, Seal, Unreadable, find_seal
from ringfence.store.tables import parked

TEXT = b"a canary that nobody may read"
NOW_S = 1_790_000_000.0


def row(name: str = "one", *, ticketed: bool = True, wait_s: float = 900) -> Parked:
    return Parked(
        name, "key_1", "private", 0, 0, "near", "chat", "", "", False, len(TEXT), ticketed, NOW_S, NOW_S + wait_s
    )


@pytest.fixture
def rows(db: Database, state_dir: Path) -> ParkedRows:
    return ParkedRows(db, state_dir)


class TestSeal:
    def test_what_is_sealed_opens_with_the_same_words_alone(self) -> None:
        seal = Seal(secrets.token_bytes(32))
        closed = seal.close(TEXT, b"about")
        assert seal.open(closed, b"about") == TEXT and TEXT not in closed
        assert seal.close(TEXT, b"about") != closed
        for sealed, about, other in (
            (closed, b"another", seal), (closed[:-1] + bytes([closed[-1] ^ 1]), b"about", seal), (b"", b"about", seal),
            (closed, b"about", Seal(bytes(32))),
        ):  # fmt: skip
            with pytest.raises(Unreadable):
                other.open(sealed, about)

    def test_the_key_is_made_once_and_is_private(self, tmp_path: Path) -> None:
        seal = find_seal(tmp_path)
        assert find_seal(tmp_path).key_id == seal.key_id
        key = (tmp_path / KEY_FILE).read_bytes()
        assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
        assert key.hex() not in repr(seal) + seal.key_id and seal.key_id not in key.hex()

    @pytest.mark.parametrize(("content", "mode"), [(b"short", 0o600), (bytes(33), 0o600), (bytes(32), 0o640)])
    def test_one_that_cannot_be_trusted_is_refused(self, tmp_path: Path, content: bytes, mode: int) -> None:
        (tmp_path / KEY_FILE).write_bytes(content)
        (tmp_path / KEY_FILE).chmod(mode)
        with pytest.raises(StoreFailed, match=KEY_FILE):
            find_seal(tmp_path)


async def test_a_row_is_written_sealed_and_ended_once(rows: ParkedRows, db: Database, state_dir: Path) -> None:
    one = await rows.add(row(), TEXT)
    two = await rows.add(row("two"), TEXT)
    assert two.number > one.number and await rows.find("one") == one
    assert await rows.text(one) == TEXT
    assert await rows.end(one, DONE, NOW_S + 5, 200, b"x-a: b\r\n\r\n" + TEXT)
    assert not await rows.end(one, CANCELLED, NOW_S + 6)
    ended = await rows.find("one")
    assert ended == replace(one, state=DONE, ended_s=NOW_S + 5, status=200)
    assert await rows.result(one) == (b"x-a: b\r\n", TEXT)
    with pytest.raises(Unreadable):
        await rows.text(one)
    assert all(TEXT not in path.read_bytes() for path in state_dir.iterdir())


async def test_a_row_that_was_changed_does_not_open(rows: ParkedRows, db: Database) -> None:
    one, two = await rows.add(row(), TEXT), await rows.add(row("two"), b"another text")
    words: list[dict[str, Any]] = [
        {"boundary": 2}, {"profile": "personal"}, {"key_id": "key_2"}, {"model": "far"}, {"dialect": "completions"},
        {"agent": "coder"}, {"named": "personal"}, {"stream": True}, {"profile": 'private",0,"near'},
    ]  # fmt: skip
    for changed in (replace(one, **other) for other in words):
        with pytest.raises(Unreadable):
            await rows.text(changed)
    body = db.call(lambda c: c.execute(text("SELECT body FROM parked WHERE id = 'one'")).scalar())
    db.call(lambda c: c.execute(update(parked).where(parked.c.id == "two").values(body=body)))
    with pytest.raises(Unreadable):
        await rows.text(two)


async def test_after_a_start_tickets_wait_and_nobody_else(rows: ParkedRows) -> None:
    await rows.add(row("walked-away", ticketed=False), None)
    two, one = await rows.add(row("b"), TEXT), await rows.add(row("a"), TEXT)
    done = await rows.add(row("done"), TEXT)
    await rows.end(done, DONE, NOW_S)
    assert await rows.restore(NOW_S + 1) == [two, one]
    left = await rows.find("walked-away")
    assert left is not None and (left.state, left.ended_s) == (CANCELLED, NOW_S + 1)
    assert rows.problem == ""


async def test_with_another_key_they_end_until_the_right_one_is_back(db: Database, state_dir: Path) -> None:
    one = await ParkedRows(db, state_dir).add(row(), TEXT)
    late = await ParkedRows(db, state_dir).add(row("late", wait_s=10), TEXT)
    key = (state_dir / KEY_FILE).read_bytes()
    (state_dir / KEY_FILE).unlink()
    another = ParkedRows(db, state_dir)
    assert await another.restore(NOW_S + 1) == []
    assert "2 parked requests" in another.problem and KEY_FILE in another.problem
    found = await another.find(one.id)
    assert found is not None and found.state == UNREADABLE
    (state_dir / KEY_FILE).write_bytes(key)
    again = ParkedRows(db, state_dir)
    assert await again.restore(NOW_S + 20) == [one]
    assert again.problem == "" and await again.text(one) == TEXT
    gone = await again.find(late.id)
    assert gone is not None and gone.state == UNREADABLE


async def test_what_ended_long_ago_is_forgotten(rows: ParkedRows) -> None:
    old, new = await rows.add(row("old"), TEXT), await rows.add(row("new"), TEXT)
    await rows.add(row("waits"), TEXT)
    await rows.end(old, DONE, NOW_S, 200, b"\r\n")
    await rows.end(new, DONE, NOW_S + 100, 200, b"\r\n")
    await rows.prune(NOW_S + KEPT_S + 50)
    assert await rows.find("old") is None
    kept = [await rows.find("new"), await rows.find("waits")]
    assert [one and one.state for one in kept] == [DONE, WAITING]


@pytest.mark.parametrize(("name", "most"), [("MOST_KEPT", 2), ("MOST_KEPT_BYTES", 2 * 1100)])
async def test_of_too_many_the_oldest_are_forgotten(
    rows: ParkedRows, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(f"ringfence.store.parked.{name}", most)
    await rows.add(row("waits"), TEXT)
    for number in range(4):
        await rows.end(await rows.add(row(str(number)), TEXT), DONE, NOW_S + number, 200, b"\r\n" + 1000 * b"a")
    await rows.prune(NOW_S + 10)
    assert [one.id for one in await rows.ended(9)] == ["3", "2"]
    assert await rows.find("waits") is not None
