"""What the journal says in short: never more than it knows, and without reading everything again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.egress import journal_summary
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import START, line_after, verify
from ringfence.egress.journal_summary import MOST_CALLS, Group, JournalSummary

NOON = 1_793_534_400.0  # 2026-11-01 12:00 UTC
MIDNIGHT = NOON - 43_200
DIGEST = sha256(b"").hexdigest()
PERSONAL = Group("personal", "key_1", "groq", "large")


class Clock:
    now_s = NOON

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path, clock: Clock) -> Iterator[Journal]:
    opened = Journal.open(folder, clock=clock, most_file_bytes=3000)
    yield opened
    opened.close()


@pytest.fixture
def summary(folder: Path, clock: Clock) -> JournalSummary:
    return JournalSummary(folder, clock=clock, rest=lambda _s: None)


async def send(journal: Journal, profile: str = "personal", **others: Any) -> int:
    told: dict[str, Any] = {
        "call": "call-1", "key": "key_1", "provider": "groq", "model": "large", "allowed": Boundary.CLOUD,
        "address": "192.0.2.7:443", "max_tokens": 9, "bytes_out": 100, "sha256_out": DIGEST,
    }  # fmt: skip
    return await journal.sent(profile=profile, **(told | others))


async def end(journal: Journal, seq: int, outcome: str = "ok") -> None:
    await journal.ended(seq, status=200, bytes_in=7, sha256_in=DIGEST, outcome=outcome)


def test_no_journal_says_nothing(summary: JournalSummary) -> None:
    found = summary.read(MIDNIGHT)
    assert (found.exists, found.verdict.is_whole, found.verdict.lines) == (False, True, 0)
    assert (found.begun_s, found.last, found.groups, found.calls) == (None, {}, {}, [])


async def test_one_without_a_line_begins_when_it_was_made(journal: Journal, summary: JournalSummary) -> None:
    found = summary.read(MIDNIGHT)
    assert found.exists
    assert found.begun_s is not None and abs(found.begun_s - time.time()) < 5
    assert found.last == {}


async def test_calls_are_counted_for_whom_and_where_to(journal: Journal, summary: JournalSummary, clock: Clock) -> None:
    for address in ("192.0.2.7:443", "192.0.2.8:443"):
        await end(journal, await send(journal, address=address))
    clock.now_s += 60
    await end(journal, await send(journal, key="key_2"))
    found = summary.read(MIDNIGHT)
    assert found.begun_s == NOON
    assert found.last == {"personal": NOON + 60}
    assert found.groups.keys() == {PERSONAL, PERSONAL._replace(key="key_2")}
    count = found.groups[PERSONAL]
    assert (count.calls, count.bytes_out, count.bytes_in, count.not_sent) == (2, 200, 14, 0)
    assert count.addresses == {"192.0.2.7:443", "192.0.2.8:443"}
    assert [call.sent.seq for call in found.calls] == [5, 3, 1]
    assert all(call.ended is not None for call in found.calls)


async def test_a_call_that_was_given_up_has_not_left(journal: Journal, summary: JournalSummary) -> None:
    await end(journal, await send(journal), "not_sent")
    found = summary.read(MIDNIGHT)
    assert found.last == {}
    assert (found.groups[PERSONAL].calls, found.groups[PERSONAL].not_sent) == (0, 1)
    assert [call.has_left for call in found.calls] == [False]


async def test_a_call_counts_as_left_until_the_journal_says_otherwise(
    journal: Journal, summary: JournalSummary, clock: Clock
) -> None:
    seq = await send(journal)
    during = summary.read(MIDNIGHT)
    assert (during.last, during.running) == ({"personal": NOON}, {"personal"})
    assert during.groups[PERSONAL].calls == 1
    clock.now_s += 30
    await end(journal, seq, "not_sent")
    after = summary.read(MIDNIGHT)
    assert (after.last, after.running) == ({}, frozenset())
    assert after.groups[PERSONAL].calls == 0


async def test_a_call_is_over_when_it_has_ended(journal: Journal, summary: JournalSummary, clock: Clock) -> None:
    seq = await send(journal)
    clock.now_s += 90
    await end(journal, seq)
    assert summary.read(MIDNIGHT).last == {"personal": NOON + 90}


async def test_a_call_that_a_crash_cut_off_does_not_run_for_ever(
    journal: Journal, summary: JournalSummary, clock: Clock
) -> None:
    await send(journal)
    clock.now_s += 2 * 3600
    found = summary.read(MIDNIGHT)
    assert (found.last, found.running) == ({"personal": NOON}, frozenset())


async def test_a_clock_that_jumps_back_widens_no_claim(journal: Journal, summary: JournalSummary, clock: Clock) -> None:
    await end(journal, await send(journal))
    clock.now_s -= 600
    await end(journal, await send(journal))
    assert summary.read(MIDNIGHT).last == {"personal": NOON}


async def test_a_day_begins_where_it_is_asked_to(journal: Journal, summary: JournalSummary, clock: Clock) -> None:
    for at_s in (MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 3600):
        clock.now_s = at_s
        await end(journal, await send(journal))
    clock.now_s = NOON
    for since_s, calls in ((MIDNIGHT, 2), (MIDNIGHT + 900, 1), (MIDNIGHT - 900, 3), (NOON, 0)):
        found = summary.read(since_s)
        assert sum(count.calls for count in found.groups.values()) == len(found.calls) == calls
        assert found.since_s == since_s
    assert summary.read(MIDNIGHT + 77).since_s == MIDNIGHT
    assert summary.read(0).since_s >= NOON - 51 * 3600
    clock.now_s += 5 * 86_400
    later = summary.read(clock.now_s - 86_400)
    assert (later.groups, later.calls) == ({}, [])
    assert later.last == {"personal": MIDNIGHT + 3600}


async def test_only_the_newest_calls_are_listed_and_all_are_counted(journal: Journal, summary: JournalSummary) -> None:
    for _ in range(MOST_CALLS + 5):
        await end(journal, await send(journal))
    found = summary.read(MIDNIGHT)
    assert len(found.calls) == MOST_CALLS
    assert found.calls[0].sent.seq == 2 * (MOST_CALLS + 5) - 1
    assert found.groups[PERSONAL].calls == MOST_CALLS + 5


async def test_reading_on_gives_what_reading_anew_gives(
    journal: Journal, summary: JournalSummary, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through several files, with a crash between them; and no line twice."""
    taken: list[int] = []
    monkeypatch.setattr(journal_summary._Breath, "draw", lambda _self: taken.append(1))
    for number in range(20):
        clock.now_s += 1
        seq = await send(journal)
        if number % 3:
            await end(journal, seq)
        found = summary.read(MIDNIGHT)
        if number == 10:
            journal.close()
            with sorted(folder.glob("*.jsonl"))[-1].open("ab") as file:
                file.write(b'{"seq":9')
            assert summary.read(MIDNIGHT).verdict.is_whole
            journal = Journal.open(folder, clock=clock, most_file_bytes=3000)
    lines = verify(folder).lines
    assert len(taken) == lines
    again = JournalSummary(folder, clock=clock).read(MIDNIGHT)
    assert found == replace(again, checked_s=found.checked_s)
    assert found.verdict == verify(folder)
    assert found.verdict.recovered == 1
    journal.close()


@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("is_kept_size", [True, False])
async def test_a_line_that_was_changed_after_it_was_read_is_found(
    journal: Journal, summary: JournalSummary, folder: Path, where: str, is_kept_size: bool
) -> None:
    for _ in range(12):
        await end(journal, await send(journal))
    journal.close()
    assert summary.read(MIDNIGHT).verdict.is_whole
    files = sorted(folder.glob("*.jsonl"))
    path = files[0 if where == "first" else -1]
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"personal"', b'"anothers"' if is_kept_size else b'"other"', 1))
    found = summary.read(MIDNIGHT)
    assert not found.verdict.is_whole
    assert (found.verdict.file, found.verdict) == (path.name, verify(folder))
    assert sum(count.calls for count in found.groups.values()) == 11  # what the other lines say
    path.write_bytes(good)
    deadline = time.monotonic() + 25
    while not summary.read(MIDNIGHT).verdict.is_whole:
        assert time.monotonic() < deadline, "mended, and still told to be broken"
        time.sleep(0.02)


@pytest.mark.parametrize("what", ["file", "head", "end"])
async def test_what_was_removed_is_missed(journal: Journal, summary: JournalSummary, folder: Path, what: str) -> None:
    for _ in range(12):
        await end(journal, await send(journal))
    journal.close()
    assert summary.read(MIDNIGHT).verdict.is_whole
    files = sorted(folder.glob("*.jsonl"))
    if what == "end":
        with files[-1].open("r+b") as file:
            lines = file.read().splitlines(keepends=True)
            file.truncate(len(b"".join(lines[:-1])))
    else:
        (files[-1] if what == "file" else folder / "head").unlink()
    found = summary.read(MIDNIGHT)
    assert (found.verdict.is_whole, found.verdict) == (False, verify(folder))


async def test_a_chain_written_anew_under_an_old_head_is_found_by_reading_on(
    journal: Journal, summary: JournalSummary, folder: Path
) -> None:
    await end(journal, await send(journal))
    journal.close()
    summary.read(MIDNIGHT)
    (folder / "head").write_text(f"1:{'ab' * 32}\n")
    assert "written anew" in summary.read(MIDNIGHT).verdict.what


async def test_all_is_read_again_now_and_then(
    journal: Journal, summary: JournalSummary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that keeps inode, size and time is not seen by its looks."""
    await end(journal, await send(journal))
    journal.close()
    summary.read(MIDNIGHT)
    path = next(folder.glob("*.jsonl"))
    about = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"personal"', b'"anothers"'))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert summary.read(MIDNIGHT).verdict.is_whole
    monkeypatch.setattr(journal_summary, "LEAST_AGE_S", 0.0)
    monkeypatch.setattr(journal_summary, "SHARE", 0)
    assert not summary.read(MIDNIGHT).verdict.is_whole


def _long_one(folder: Path, calls: int) -> None:
    """As the writer makes it, without a sync for each line."""
    folder.mkdir()
    head, content, first = START, bytearray(), 1
    for number in range(calls):
        at = datetime.fromtimestamp(NOON - calls + number, UTC).isoformat(timespec="milliseconds")
        sent = {
            "time": at, "kind": "sent", "call": f"call-{number}", "key": "key_1", "profile": "personal",
            "provider": "groq", "model": "large", "allowed": "CLOUD", "address": "192.0.2.7:443", "max_tokens": 9,
            "bytes_out": 1, "sha256_out": DIGEST,
        }  # fmt: skip
        line, head = line_after(sent, head)
        content += line
        ended = {"time": at, "kind": "ended", "of": head.seq, "call": f"call-{number}", "status": 200, "bytes_in": 1,
                 "sha256_in": DIGEST, "outcome": "ok"}  # fmt: skip
        line, head = line_after(ended, head)
        content += line
        if len(content) > 2**20 or number == calls - 1:
            (folder / f"{first:012d}.jsonl").write_bytes(content)
            content, first = bytearray(), head.seq + 1
    (folder / "head").write_text(f"{head}\n")


def test_a_long_one_is_read_once_with_rests_and_then_at_a_glance(folder: Path, clock: Clock) -> None:
    _long_one(folder, 10_000)
    rests: list[float] = []
    summary = JournalSummary(folder, clock=clock, rest=rests.append)
    began = time.perf_counter()
    found = summary.read(MIDNIGHT)
    first_s = time.perf_counter() - began
    assert found.groups[PERSONAL].calls == 10_000
    assert len(rests) > 20
    again_s = []
    for _ in range(5):
        began = time.perf_counter()
        assert summary.read(MIDNIGHT) == found
        again_s.append(time.perf_counter() - began)
    assert min(again_s) < first_s / 10
