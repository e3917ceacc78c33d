"""The journal in processes that are killed, and on disks that are full: real ones."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import NOT_SENT, calls, read, verify

A_CALL = """
import asyncio, errno, json, os, resource, subprocess, sys
from pathlib import Path
from ringfence.core.boundary import Boundary
from ringfence.egress.journal import Journal
from ringfence.egress.journal_chain import verify
from ringfence.store.failure import StoreFailed

D = "0" * 64
def sent(journal, call):
    return journal.sent(call=call, key="k", profile="p", provider="c", model="m", allowed=Boundary.CLOUD,
        address="192.0.2.7:443", max_tokens=1, bytes_out=1, sha256_out=D)
def ended(journal, seq):
    return journal.ended(seq, status=200, bytes_in=1, sha256_in=D, outcome="ok")
folder = Path(sys.argv[1])
"""

WRITES_UNTIL_KILLED = """
async def one(journal, lane):
    for number in range(100_000):
        call = f"{os.getpid()}-{lane}-{number}"
        seq = await sent(journal, call)
        os.write(1, f"sent {seq} {call}\\n".encode())
        await ended(journal, seq)
        os.write(1, f"ended {seq} {call}\\n".encode())
async def main():
    journal = Journal.open(folder, most_file_bytes=20_000)
    await asyncio.gather(*(one(journal, lane) for lane in range(5)))
asyncio.run(main())
"""

FILLS_THE_DISK = """
async def main():
    journal = Journal.open(folder, most_file_bytes=2**20)
    running = await sent(journal, "first")
    fill()
    told = {"sent": 0, "refused": 0}
    for number in range(400):
        try:
            await asyncio.gather(*(sent(journal, f"call-{number}-{lane}") for lane in range(3)))
            told["sent"] += 3
        except StoreFailed as failed:
            told["refused"] += 1
            told["why"] = str(failed)
            if told["refused"] == 5:
                break
    try:
        await ended(journal, running)
    except StoreFailed:
        told["end_refused"] = True
    told["full_bytes"] = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    verdict = verify(folder)
    told["whole_when_full"], told["unfinished_bytes"] = verdict.is_whole, verdict.unfinished_bytes
    make_room()
    told["last"] = await sent(journal, "last")
    journal.close()
    print(json.dumps(told))
asyncio.run(main())
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}


@pytest.mark.parametrize("kills", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_process_leaves_no_gap(tmp_path: Path, kills: int) -> None:
    """At random moments: every call that was told to be on disk is there, and the chain goes on."""
    folder = tmp_path / "journal"
    chance = random.Random(50)
    told: set[tuple[str, int, str]] = set()
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", A_CALL + WRITES_UNTIL_KILLED, str(folder)], env=environment(), stdout=subprocess.PIPE
        )  # fmt: skip
        assert process.stdout is not None
        try:
            said = b"".join(process.stdout.readline() for _ in range(chance.randrange(1, 30)))
            time.sleep(chance.random() * 0.02)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(25)
        said += process.stdout.read()
        process.stdout.close()
        for line in said.decode().splitlines():
            kind, seq, call = line.split()
            told.add((kind, int(seq), call))
        Journal.open(folder, most_file_bytes=20_000).close()
        assert verify(folder).is_whole
    entries = list(read(folder))
    written = {(entry.kind, entry.of or entry.seq, entry.call) for entry in entries}
    assert len(told) > 10 * kills
    assert told <= written
    assert (
        len([entry for entry in entries if entry.kind == "sent"]) - len({t for t in told if t[0] == "sent"})
        <= 5 * kills
    )
    assert len(list(folder.glob("*.jsonl"))) > kills // 5


LIMIT = """
def fill():
    limit(8_000)
def make_room():
    limit(resource.RLIM_INFINITY)
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""
TMPFS = """
filler = folder.parent / "filler"
def fill():
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
def make_room():
    filler.unlink()
"""


@pytest.mark.parametrize("kind", ["limit", "tmpfs"])
def test_a_full_disk_lets_nothing_leave_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "state"
    place.mkdir()
    script = A_CALL + (LIMIT if kind == "limit" else TMPFS) + FILLS_THE_DISK
    command = [sys.executable, "-c", script, str(place / "journal")]
    if kind == "tmpfs":
        command = in_a_mount(place, "size=128k", *command)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[0])
    assert told["sent"] > 0
    assert told["refused"] == 5
    assert "free some space" in told["why"] or "File too large" in told["why"]
    assert told["end_refused"]
    assert told["whole_when_full"]
    if kind == "limit":
        assert told["full_bytes"] == 8000
        assert told["unfinished_bytes"] > 0
    folder = place / "journal" if kind == "limit" else tmp_path / "copy"
    verdict = verify(folder)
    assert verdict.is_whole, verdict
    assert verdict.recovered == bool(told["unfinished_bytes"])
    found = {call.sent.call: call for call in calls(folder)}
    assert found["first"].ended is not None and found["first"].ended.outcome == "ok", "written once there was room"
    assert found["last"].sent.seq == told["last"]
    left = [name for name, call in found.items() if call.has_left]
    assert told["sent"] <= len(left) - 2 <= told["sent"] + 2, "of a batch that was cut, the first may have been told"
    assert all(call.ended is None or call.ended.outcome in ("ok", NOT_SENT) for call in found.values())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    script = A_CALL + "try:\n    Journal.open(folder)\nexcept StoreFailed as failed:\n    print(failed)\n"
    place = tmp_path / "state"
    place.mkdir()
    command = in_a_mount(place, "ro", sys.executable, "-c", script, str(place / "journal"))
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert "Read-only file system" in done.stdout, done.stderr


def in_a_mount(place: Path, options: str, *command: str) -> list[str]:
    """In a namespace of its own, with a small file system at `place`; what it holds is copied to `copy` at the end."""
    steps = 'mount -t tmpfs -o "$1" tmpfs "$2" && cd "$2" && shift 2 && "$@" && cp -r journal ../copy'
    tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("needs user namespaces")
    return ["unshare", "-rm", "sh", "-c", steps, "sh", options, str(place), *command]
