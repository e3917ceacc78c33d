"""The writer of the egress journal: what is on disk, when, and what happens when the disk does not want to."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.egress import journal as writer
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import NOT_SENT, calls, read, verify
from ringfence.store.failure import StoreFailed

NOON = 1_793_534_400.0  # 2026-11-01 12:00 UTC
DAY_S = 86_400.0
DIGEST = sha256(b"what was said").hexdigest()


def a_call(number: int = 1, **others: Any) -> dict[str, Any]:
    return {
        "call": f"call-{number}", "key": "key_1", "profile": "personal", "provider": "groq", "model": "m/large:free",
        "allowed": Boundary.CLOUD, "address": "192.0.2.7:443", "max_tokens": 100, "bytes_out": 1234,
        "sha256_out": DIGEST, **others,
    }  # fmt: skip


AN_END = {"status": 200, "bytes_in": 99, "sha256_in": DIGEST, "outcome": "ok"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    opened = Journal.open(folder)
    yield opened
    opened.close()


async def test_a_call_makes_two_lines(journal: Journal, folder: Path) -> None:
    seq = await journal.sent(**a_call())
    [sent] = read(folder)
    assert (sent.seq, sent.kind, sent.call, sent.key, sent.profile) == (seq, "sent", "call-1", "key_1", "personal")
    assert (sent.provider, sent.model, sent.allowed) == ("groq", "m/large:free", "CLOUD")
    assert (sent.address, sent.max_tokens, sent.bytes_out, sent.sha256_out) == ("192.0.2.7:443", 100, 1234, DIGEST)
    assert abs(sent.at_s - time.time()) < 5
    assert sent.time.endswith("+00:00")
    await journal.ended(seq, **AN_END)
    ended = list(read(folder))[1]
    assert (ended.kind, ended.of, ended.call, ended.status) == ("ended", seq, "call-1", 200)
    assert (ended.bytes_in, ended.sha256_in, ended.outcome) == (99, DIGEST, "ok")
    assert verify(folder).is_whole


async def test_anyone_can_check_a_hash_with_a_shell(journal: Journal, folder: Path) -> None:
    await journal.sent(**a_call())
    line = next(folder.glob("*.jsonl")).read_text().rstrip("\n")
    body, _, rest = line.rpartition(',"hash":"')
    assert sha256(f"{body}}}".encode()).hexdigest() == rest.removesuffix('"}')
    assert json.loads(line)["prev"] == "0" * 64


async def test_only_the_owner_may_look(journal: Journal, folder: Path) -> None:
    await journal.sent(**a_call())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    folder.chmod(0o755)
    journal.close()
    Journal.open(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the file held each time when a slow sync of it had ended."""
    synced: list[bytes] = []
    real = os.fdatasync

    def sync(descriptor: int) -> None:
        time.sleep(0.1)
        real(descriptor)
        synced.append(Path(f"/proc/self/fd/{descriptor}").read_bytes())

    monkeypatch.setattr(writer.os, "fdatasync", sync)
    return synced


async def test_sent_is_on_disk_before_it_returns_and_the_loop_goes_on(journal: Journal, slow_disk: list[bytes]) -> None:
    sending = asyncio.ensure_future(journal.sent(**a_call()))
    ticks = 0
    while not sending.done():
        assert not slow_disk or ticks
        await asyncio.sleep(0.005)
        ticks += 1
    assert ticks >= 5
    assert b"call-1" in slow_disk[0]


async def test_lines_that_wait_are_synced_together(journal: Journal, folder: Path, slow_disk: list[bytes]) -> None:
    seqs = await asyncio.gather(*(journal.sent(**a_call(number)) for number in range(50)))
    assert seqs == list(range(1, 51))
    assert len(slow_disk) <= 3
    assert verify(folder).lines == 50


async def test_files_are_bounded_sealed_and_continue_the_chain(folder: Path) -> None:
    journal = Journal.open(folder, most_file_bytes=4000)
    sealed: dict[Path, tuple[bytes, int]] = {}
    for number in range(20):
        await journal.ended(await journal.sent(**a_call(number)), **AN_END)
        files = sorted(folder.glob("*.jsonl"))
        for path in files[:-1]:
            sealed.setdefault(path, (path.read_bytes(), path.stat().st_mtime_ns))
    journal.close()
    assert len(sealed) >= 3
    assert all((path.read_bytes(), path.stat().st_mtime_ns) == before for path, before in sealed.items())
    assert all(path.stat().st_size <= 4000 for path in folder.glob("*.jsonl"))
    verdict = verify(folder)
    assert verdict.is_whole
    assert (verdict.lines, verdict.files) == (40, len(sealed) + 1)


async def test_it_continues_where_it_ended(folder: Path) -> None:
    for number in range(5):
        journal = Journal.open(folder, most_file_bytes=1500)
        assert await journal.sent(**a_call(number)) == number + 1
        journal.close()
    assert verify(folder).lines == 5
    assert verify(folder).is_whole


async def test_one_writer(journal: Journal, folder: Path) -> None:
    with pytest.raises(StoreFailed, match="is in use"):
        Journal.open(folder)
    journal.close()
    Journal.open(folder).close()


async def test_a_closed_journal_takes_nothing(journal: Journal) -> None:
    seq = await journal.sent(**a_call())
    journal.close()
    journal.close()
    with pytest.raises(StoreFailed, match="closed"):
        await journal.sent(**a_call())
    with pytest.raises(StoreFailed, match="closed"):
        journal.ended(seq, **AN_END)


async def test_what_is_handed_in_is_written_before_closing(journal: Journal, folder: Path) -> None:
    journal.ended(await journal.sent(**a_call()), **AN_END)
    journal.close()
    assert verify(folder).lines == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "a" * 257}, {"model": "two\nlines"}, {"profile": "\x1b[2J"}, {"key": "\ud800"}, {"bytes_out": -1},
        {"bytes_out": 2**63}, {"sha256_out": "what was said"}, {"sha256_out": DIGEST.upper()}, {"max_tokens": 1.5},
        {"provider": None},
    ],
)  # fmt: skip
async def test_no_text_gets_in(journal: Journal, folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be in the journal") as refused:
        await journal.sent(**a_call(**wrong))
    [value] = wrong.values()
    assert str(value) not in str(refused.value)
    assert journal.today("groq") == 0
    await journal.sent(**a_call(max_tokens=None))
    assert verify(folder).lines == 1


async def test_an_end_belongs_to_a_call_that_runs_and_has_a_code(journal: Journal) -> None:
    seq = await journal.sent(**a_call())
    with pytest.raises(ValueError, match="outcome"):
        journal.ended(seq, **{**AN_END, "outcome": "The cat sat on the mat."})
    await journal.ended(seq, **AN_END)
    with pytest.raises(ValueError, match="no call runs"):
        journal.ended(seq, **AN_END)


async def test_who_gives_up_while_it_is_written_has_sent_nothing(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_written, has_given_up, real = threading.Event(), threading.Event(), os.fdatasync

    def sync(descriptor: int) -> None:
        is_written.set()
        has_given_up.wait(25)
        real(descriptor)

    monkeypatch.setattr(writer.os, "fdatasync", sync)
    sending = asyncio.ensure_future(journal.sent(**a_call()))
    assert await asyncio.to_thread(is_written.wait, 25)
    sending.cancel()
    has_given_up.set()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await journal.sent(**a_call(2))
    await asyncio.sleep(0)
    journal.close()
    first, second = calls(folder)
    assert first.ended is not None and first.ended.outcome == NOT_SENT
    assert not first.has_left
    assert second.has_left


async def test_a_removed_file_is_noticed_while_it_is_written(journal: Journal, folder: Path) -> None:
    await journal.sent(**a_call())
    next(folder.glob("*.jsonl")).unlink()
    with pytest.raises(StoreFailed, match="was removed"):
        await journal.sent(**a_call(2))
    with pytest.raises(StoreFailed):
        await journal.sent(**a_call(3))
    journal.close()
    assert not verify(folder).is_whole
    with pytest.raises(StoreFailed, match="has no lines"):
        Journal.open(folder)


async def test_a_disk_that_fails_to_sync(journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines may be there or not; nothing leaves, and afterwards the journal says so."""
    running = await journal.sent(**a_call())
    with monkeypatch.context() as patched:
        patched.setattr(writer.os, "fdatasync", _failing)
        ending = journal.ended(running, **AN_END)
        with pytest.raises(StoreFailed):
            await journal.sent(**a_call(2))
        with pytest.raises(StoreFailed):
            await ending
    assert journal.today("groq") == 1
    await journal.sent(**a_call(3))
    journal.close()
    assert verify(folder).is_whole
    assert [(c.sent.call, c.has_left, c.ended.outcome if c.ended else None) for c in calls(folder)] == [
        ("call-1", True, "ok"), ("call-2", False, NOT_SENT), ("call-3", True, None),
    ]  # fmt: skip


def _failing(_descriptor: int) -> None:
    raise OSError(5, "Input/output error")


# -- clock and caps ---------------------------------------------------------------------------------------------


def at(now: list[float]) -> Callable[[], float]:
    return lambda: now[0]


async def test_todays_calls_are_counted_by_provider_and_survive_a_restart(folder: Path) -> None:
    now = [NOON - DAY_S]
    journal = Journal.open(folder, clock=at(now), most_file_bytes=1500)
    for _ in range(5):
        await journal.sent(**a_call())
    now[0] = NOON
    assert journal.today("groq") == 0
    for provider in ("groq", "groq", "other", "groq", "groq", "groq"):
        await journal.ended(await journal.sent(**a_call(provider=provider)), **AN_END)
    assert (journal.today("groq"), journal.today("other"), journal.today("third")) == (5, 1, 0)
    journal.close()
    journal = Journal.open(folder, clock=at(now), most_file_bytes=1500)
    assert (journal.today("groq"), journal.today("other")) == (5, 1)
    now[0] += DAY_S
    assert journal.today("groq") == 0
    journal.close()


async def test_calls_that_wait_for_the_disk_count(journal: Journal, slow_disk: list[bytes]) -> None:
    sending = [asyncio.ensure_future(journal.sent(**a_call(number))) for number in range(3)]
    await asyncio.sleep(0)
    assert journal.today("groq") == 3
    await asyncio.gather(*sending)
    assert journal.today("groq") == 3


async def test_a_clock_that_jumps_back(folder: Path) -> None:
    now = [NOON]
    journal = Journal.open(folder, clock=at(now), most_file_bytes=1500)
    await journal.sent(**a_call(1))
    now[0] = NOON + 3 * DAY_S
    for number in range(2, 8):
        await journal.sent(**a_call(number))
    now[0] = NOON - 10
    await journal.sent(**a_call(8))
    assert journal.today("groq") == 2
    journal.close()
    journal = Journal.open(folder, clock=at(now), most_file_bytes=1500)
    assert journal.today("groq") == 2, "the wrong clock's files do not hide the day before them"
    assert await journal.sent(**a_call(9)) == 9
    journal.close()
    assert verify(folder).is_whole
    assert [entry.seq for entry in read(folder, since_s=NOON - 60, until_s=NOON + 60)] == [1, 8, 9]


async def test_ten_thousand_lines_in_a_bounded_time(folder: Path) -> None:
    journal = Journal.open(folder, most_file_bytes=2**20)
    started = time.monotonic()
    for first in range(0, 5000, 250):
        seqs = await asyncio.gather(*(journal.sent(**a_call(first + number)) for number in range(250)))
        await asyncio.gather(*(journal.ended(seq, **AN_END) for seq in seqs))
    journal.close()
    written = time.monotonic()
    assert written - started < 20
    verdict = verify(folder)
    assert (verdict.is_whole, verdict.lines) == (True, 10_000)
    assert len(calls(folder)) == 5000
    assert time.monotonic() - written < 5
