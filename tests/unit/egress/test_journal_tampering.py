"""Whatever is done to a journal is found; what nobody touched is whole; what a crash left is accounted for."""

from __future__ import annotations

import asyncio
import json
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import MOST_LAG, MOST_RECOVERIES, Head, Verdict, read, read_head, verify
from ringfence.store.failure import StoreFailed

DIGEST = sha256(b"").hexdigest()
Files = dict[str, bytes]


async def write(folder: Path, count: int, first: int = 0) -> None:
    journal = Journal.open(folder, most_file_bytes=3000)
    for number in range(first, first + count):
        seq = await journal.sent(
            call=f"call-{number}", key="key_1", profile="personal", provider="groq", model="large",
            allowed=Boundary.CLOUD, address="192.0.2.7:443", max_tokens=9, bytes_out=number, sha256_out=DIGEST,
        )  # fmt: skip
        if number % 5:
            await journal.ended(seq, status=200, bytes_in=number, sha256_in=DIGEST, outcome="ok")
    journal.close()


def content_of(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def put(files: Files, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def judged(files: Files) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        return verify(put(files, Path(folder)))


def written(count: int, torn: bytes = b"") -> Files:
    """A journal of three and more files; `torn` is what a crash left in its middle."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(write(folder, count // 2))
        if torn:
            last = sorted(folder.glob("*.jsonl"))[-1]
            last.write_bytes(last.read_bytes() + torn)
        asyncio.run(write(folder, count - count // 2, count // 2))
        return content_of(folder)


PLAIN = written(15)
TORN = written(15, b'{"seq":12,"time":"2026-11-0')
LINES = sorted(name for name in PLAIN if name != "head")


def test_the_samples_are_whole_and_have_several_files() -> None:
    assert judged(PLAIN).is_whole
    assert judged(TORN).is_whole
    assert (judged(PLAIN).recovered, judged(TORN).recovered) == (0, 1)
    assert len(LINES) >= 3
    assert PLAIN[LINES[-1]].count(b"\n") >= 4


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 14), torn=st.binary(max_size=40))
def test_an_untouched_journal_is_whole(count: int, torn: bytes) -> None:
    verdict = judged(written(count, torn if count > 1 else b""))
    assert verdict.is_whole, verdict
    assert verdict.unfinished_bytes == 0


def test_another_end_of_the_line_in_head_is_found() -> None:
    assert not judged({**PLAIN, "head": PLAIN["head"][:-1] + b"\r"}).is_whole


@settings(max_examples=300, deadline=None)
@given(data=st.data(), sample=st.sampled_from([PLAIN, TORN]))
def test_a_changed_byte_is_found(data: st.DataObject, sample: Files) -> None:
    name = data.draw(st.sampled_from(sorted(sample)))
    place = data.draw(st.integers(0, len(sample[name]) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != sample[name][place]))
    content = bytearray(sample[name])
    content[place] = other
    verdict = judged({**sample, name: bytes(content)})
    assert not verdict.is_whole
    assert verdict.what
    if sample is PLAIN and name != "head":
        assert (verdict.file, verdict.line) == (name, sample[name].count(b"\n", 0, place) + 1)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), sample=st.sampled_from([PLAIN, TORN]))
def test_bytes_that_were_removed_are_found(data: st.DataObject, sample: Files) -> None:
    """Also whole lines, whole files, and the end."""
    name = data.draw(st.sampled_from(sorted(sample)))
    ends = [0, *(place + 1 for place, byte in enumerate(sample[name]) if byte == 10)]
    place = st.one_of(st.sampled_from(ends), st.integers(0, len(sample[name])))
    start, end = sorted((data.draw(place), data.draw(place)))
    assume(start < end)
    assert not judged({**sample, name: sample[name][:start] + sample[name][end:]}).is_whole


@settings(max_examples=200, deadline=None)
@given(data=st.data(), sample=st.sampled_from([PLAIN, TORN]), some=st.binary(min_size=1, max_size=30))
def test_bytes_that_were_inserted_are_found(data: st.DataObject, sample: Files, some: bytes) -> None:
    name = data.draw(st.sampled_from(sorted(sample)))
    place = data.draw(st.integers(0, len(sample[name])))
    verdict = judged({**sample, name: sample[name][:place] + some + sample[name][place:]})
    last = max(other for other in sample if other != "head")
    if name == last and place == len(sample[name]) and b"\n" not in some:
        assert verdict.unfinished_bytes == len(some), "as a line that is being written"
    else:
        assert not verdict.is_whole


def lines_of(files: Files) -> list[tuple[str, bytes]]:
    return [(name, line) for name in LINES for line in files[name].splitlines(keepends=True)]


def laid_out(lines: list[tuple[str, bytes]]) -> Files:
    return {"head": PLAIN["head"]} | {name: b"".join(line for at, line in lines if at == name) for name in LINES}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_lines_that_changed_places_or_were_repeated_are_found(data: st.DataObject) -> None:
    lines = lines_of(PLAIN)
    place = st.integers(0, len(lines) - 1)
    here, there = data.draw(place), data.draw(place)
    if data.draw(st.booleans()):
        lines.insert(there, (lines[there][0], lines[here][1]))
        expected = judged(laid_out(lines))
    else:
        assume(here != there)
        (name, line), (other_name, other) = lines[here], lines[there]
        lines[here], lines[there] = (name, other), (other_name, line)
        expected = judged(laid_out(lines))
        bad = min(here, there)
        number = sum(at == lines[bad][0] for at, _ in lines[: bad + 1])
        assert (expected.file, expected.line) == (lines[bad][0], number)
    assert not expected.is_whole


@pytest.mark.parametrize("name", [*LINES, "head"])
def test_a_removed_file_is_found(name: str) -> None:
    verdict = judged({other: content for other, content in PLAIN.items() if other != name})
    assert not verdict.is_whole
    following = ([*LINES, LINES[-2]] if name == LINES[-1] else LINES)[LINES.index(name) + 1] if name != "head" else name
    assert verdict.file == following


def test_files_that_changed_names_are_found() -> None:
    first, second = LINES[:2]
    assert not judged({**PLAIN, first: PLAIN[second], second: PLAIN[first]}).is_whole
    gone = {name: content for name, content in PLAIN.items() if name != first}
    assert not judged({**gone, f"{int(first[:12]) + 1:012d}.jsonl": PLAIN[first]}).is_whole


def test_every_removed_line_is_named_with_its_place() -> None:
    lines = lines_of(PLAIN)
    for removed in range(len(lines) - 1):
        verdict = judged(laid_out(lines[:removed] + lines[removed + 1 :]))
        assert not verdict.is_whole
        name = lines[removed + 1][0]
        number = sum(at == name for at, _ in lines[:removed]) + 1
        # A file that begins too late by its name says so before any of its lines is read.
        assert (verdict.file, verdict.line) in ((name, number), (name, 0))
        assert f"{removed + 1} " in verdict.what


def test_the_end_cannot_be_cut_off_together_with_the_head_unnoticed_by_who_noted_it(tmp_path: Path) -> None:
    """What an attacker with write access can do is seen with a head that was kept elsewhere, and only so."""
    folder = put(PLAIN, tmp_path / "a")
    noted = verify(folder).head
    shorter = tmp_path / "b"
    asyncio.run(write(shorter, 4))
    assert verify(shorter).is_whole
    assert not verify(shorter, noted).is_whole
    anew = tmp_path / "c"
    asyncio.run(write(anew, 30))
    assert verify(anew).is_whole
    assert "written anew" in verify(anew, noted).what
    asyncio.run(write(folder, 3))
    assert verify(folder, noted).is_whole


def test_nothing_is_whole(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert verify(folder) == Verdict(True, 0, 0, Head(0, "0" * 64))
        assert list(read(folder)) == []


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rest=st.one_of(st.just(b""), st.binary(max_size=60), st.just(b"\0" * 500)))
def test_what_a_crash_left_is_accounted_for(data: st.DataObject, rest: bytes) -> None:
    """The end is torn anywhere after the line that the head names; every whole line stays, to the byte."""
    name = LINES[-1]
    ends = [place + 1 for place, byte in enumerate(PLAIN[name]) if byte == 10]
    known = data.draw(st.integers(0, len(ends) - 1))
    cut = data.draw(st.integers(ends[known] + 1, ends[-1] + 1)) - 1
    with tempfile.TemporaryDirectory() as place:
        folder = put({**PLAIN, name: PLAIN[name][:cut] + rest}, Path(place) / "journal")
        line = PLAIN[name].splitlines()[known]
        head = Head(int(name[:12]) + known, line[-66:-2].decode())
        (folder / "head").write_text(f"{head}\n")
        asyncio.run(write(folder, 0))
        kept = (folder / name).read_bytes()
        assert kept.startswith(PLAIN[name][:cut] + rest), "nothing was cut"
        verdict = verify(folder)
        assert verdict.is_whole, verdict
        assert verdict.recovered == (1 if PLAIN[name][:cut][-1:] != b"\n" or rest else 0)
        whole = int(name[:12]) - 1 + sum(end <= cut for end in ends)
        assert [entry.seq for entry in read(folder)][:whole] == list(range(1, whole + 1))
        assert read_head(folder) == verdict.head
        asyncio.run(write(folder, 2, 100))
        assert verify(folder).is_whole


@pytest.mark.parametrize("what", ["middle", "end", "head", "no head", "first file"])
def test_a_broken_journal_is_not_written_on(tmp_path: Path, what: str) -> None:
    name = LINES[-1]
    broken = {
        "middle": {name: PLAIN[name].replace(b'"groq"', b'"grok"', 1)},
        "end": {name: PLAIN[name][: PLAIN[name].rindex(b"\n", 0, -1) + 1]},
        "head": {"head": b"x" + PLAIN["head"]},
    }
    gone = {"no head": "head", "first file": LINES[-2]}.get(what)
    files = {at: content for at, content in (PLAIN | broken.get(what, {})).items() if at != gone}
    folder = put(files, tmp_path / "journal")
    with pytest.raises(StoreFailed, match="ringfence journal verify"):
        Journal.open(folder)
    assert content_of(folder) == files


def test_a_head_may_lag_only_as_far_as_a_crash_leaves_it() -> None:
    files = written(300)
    started = f"0:{'0' * 64}\n".encode()
    found = judged(files | {"head": started})
    assert not found.is_whole
    assert found.file == "head"
    names = {line["seq"]: line["hash"] for name, raw in files.items() if name != "head" for line in rows_of(raw)}
    last = max(names)
    assert judged(files | {"head": f"{last - MOST_LAG}:{names[last - MOST_LAG]}\n".encode()}).is_whole
    late = last - MOST_LAG - MOST_RECOVERIES - 1
    assert not judged(files | {"head": f"{late}:{names[late]}\n".encode()}).is_whole
    first = {"000000000001.jsonl": files["000000000001.jsonl"], "head": started}
    assert judged(first).is_whole, "a crash right after the first lines"


async def test_the_journal_writes_no_further_than_its_head_may_lag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(tmp_path / "j")
    monkeypatch.setattr(Journal, "_note_head", refusing)
    told: list[bool] = []
    for number in range(MOST_LAG + 5):
        try:
            await journal.sent(
                call=f"c{number}", key="k", profile="p", provider="g", model="m", allowed=Boundary.CLOUD,
                address="192.0.2.7:1", max_tokens=1, bytes_out=1, sha256_out=DIGEST,
            )  # fmt: skip
            told.append(True)
        except StoreFailed:
            told.append(False)
    monkeypatch.undo()
    journal.close()
    assert told == [True] * MOST_LAG + [False] * 5
    assert verify(tmp_path / "j").is_whole


def refusing(journal: Journal) -> None:
    raise StoreFailed(journal._folder, "is full", "make room")


def rows_of(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.splitlines()]
