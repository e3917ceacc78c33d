"""The lock file, against the real flock(1): two large loads exclude each other, and a dead holder's lock is free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.core.device import Device, DeviceKind
from ringfence.placement import lock_file
from ringfence.placement.lock_file import LockFile, LockFiles, paths_of
from ringfence.placement.planning import (
    DeviceState,
    Load,
    Model,
    Priority,
    Residency,
    Share,
    Site,
    State,
    plan,
)

GIB = 1 << 30
HOLDER = """
import subprocess, sys, time
from ringfence.placement.lock_file import LockFile
assert LockFile(sys.argv[1]).take()
engine = subprocess.Popen(["sleep", "30"])
print(engine.pid, flush=True)
time.sleep(30)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "gpu0.lock")


@pytest.fixture
def another(path: str) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a program that holds the lock by flock(1)."""
    started: list[subprocess.Popen[bytes]] = []

    def hold() -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            ["flock", path, "sh", "-c", "echo held; exec sleep 30"], stdout=subprocess.PIPE, process_group=0
        )
        started.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == b"held\n"
        return program

    yield hold
    for program in started:
        end(program)


def end(program: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    if program.poll() is None:
        os.killpg(program.pid, number)
    program.wait()
    if program.stdout is not None:
        program.stdout.close()


def wait_until(holds: Callable[[], bool]) -> None:
    """Who was killed is gone a moment later."""
    for _ in range(100):
        if holds():
            return
        time.sleep(0.02)
    pytest.fail("it never came")


def may_flock(path: str) -> bool:
    return subprocess.run(["flock", "-n", path, "true"], check=False).returncode == 0


def files(path: str, now_s: float = 100.0) -> LockFiles:
    return LockFiles({"gpu0": path}, lambda: now_s)


def test_our_load_keeps_others_out_until_it_is_ready(path: str) -> None:
    locks = files(path)
    assert locks.begin("big", ["gpu0", "cpu"])
    assert locks.begin("big", ["gpu0"])
    assert not may_flock(path)
    assert locks.loads_until_s("gpu0") is None, "the plan knows of its own loads"
    locks.end("big")
    locks.end("big")
    assert may_flock(path)
    assert locks.begin("next", ["gpu0"])
    locks.close()
    assert may_flock(path)


def test_anothers_load_is_seen_and_waited_for(path: str, another: Callable[[], subprocess.Popen[bytes]]) -> None:
    locks = files(path)
    assert locks.loads_until_s("gpu0") is None
    program = another()
    assert locks.loads_until_s("gpu0") == 115.0
    assert not locks.begin("big", ["gpu0"])
    end(program)
    wait_until(lambda: locks.loads_until_s("gpu0") is None)
    assert locks.begin("big", ["gpu0"])
    locks.close()


def test_the_planner_has_one_of_two_large_loads_wait(path: str, another: Callable[[], subprocess.Popen[bytes]]) -> None:
    card = Device("gpu0", DeviceKind.GPU, "card", 48 * GIB, 48 * GIB, 0)
    sites = (Site((Share("gpu0", 12 * GIB),)),)
    models = tuple(Model(name, Residency.ALWAYS, Priority.P1, sites) for name in ("one", "two"))
    locks = files(path)

    def planned() -> list[str]:
        state = State((DeviceState(card, loads_until_s=locks.loads_until_s("gpu0")),), models)
        return [action.model for action in plan(state, 100.0).actions if isinstance(action, Load)]

    assert planned() == ["one"]
    program = another()
    assert planned() == []
    end(program)
    wait_until(lambda: planned() == ["one"])


def test_a_holder_that_was_killed_leaves_a_free_lock_though_its_engine_lives(path: str) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    engine = int(holder.stdout.readline())
    try:
        assert LockFile(path).is_elsewhere()
        assert not may_flock(path)
        holder.kill()
        holder.wait()
        os.kill(engine, 0)
        assert may_flock(path)
        assert LockFile(path).take()
    finally:
        holder.stdout.close()
        os.kill(engine, signal.SIGKILL)


def test_flock_waits_for_us_and_then_gets_it(path: str) -> None:
    locks = files(path)
    assert locks.begin("big", ["gpu0"])
    waits = subprocess.Popen(["flock", path, "true"], process_group=0)
    time.sleep(0.1)
    assert waits.poll() is None
    locks.end("big")
    assert waits.wait(25) == 0


def test_a_file_that_was_removed_and_made_anew_is_the_one_that_counts(path: str) -> None:
    locks = files(path)
    assert locks.begin("big", ["gpu0"])
    Path(path).unlink()
    assert may_flock(path)  # makes it anew
    locks.end("big")
    holder = subprocess.Popen(["flock", path, "sleep", "30"], process_group=0)
    try:
        wait_until(lambda: not may_flock(path))
        assert not locks.begin("big", ["gpu0"])
    finally:
        end(holder)


def test_a_file_that_is_removed_while_we_open_it_is_not_the_one_that_counts(
    path: str, another: Callable[[], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = lock_file._opened

    def late(path: str) -> int:
        descriptor = opened(path)
        monkeypatch.undo()
        Path(path).unlink()
        another()  # locks a file that has the name now
        return descriptor

    monkeypatch.setattr(lock_file, "_opened", late)
    assert not LockFile(path).take()


def test_devices_that_share_a_file_exclude_each_other(path: str) -> None:
    locks = LockFiles({"gpu0": path, "gpu1": path}, lambda: 1.0)
    assert locks.begin("one", ["gpu0"])
    assert not locks.begin("two", ["gpu1"])
    assert (locks.loads_until_s("gpu0"), locks.loads_until_s("gpu1")) == (None, 16.0)
    locks.end("one")
    assert locks.begin("two", ["gpu0", "gpu1"])
    locks.close()


def test_all_locks_or_none(tmp_path: Path) -> None:
    first, second = str(tmp_path / "a"), str(tmp_path / "b")
    locks, held = LockFiles({"gpu0": first, "gpu1": second}, lambda: 1.0), LockFile(second)
    assert held.take()
    assert not locks.begin("big", ["gpu1", "gpu0"])
    assert may_flock(first)
    held.free()
    assert locks.begin("big", ["gpu1", "gpu0"])
    assert not may_flock(first) and not may_flock(second)
    locks.close()


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "nowhere"])
def test_what_is_no_lock_file_is_said_and_keeps_nobody_waiting(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path = tmp_path / "no" / "x"
    locks = files(str(path))
    assert locks.loads_until_s("gpu0") is None
    assert locks.begin("big", ["gpu0"])
    locks.end("big")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text


def test_others_can_open_a_file_that_we_made(path: str) -> None:
    before = os.umask(0o077)
    try:
        assert not LockFile(path).is_elsewhere()
    finally:
        os.umask(before)
    assert Path(path).stat().st_mode & 0o777 == 0o644


def test_where_the_files_are() -> None:
    devices = {"GPU-1f": "gpu0", "cpu": "a/b"}
    assert paths_of("/run/lock/{device}.lock", devices) == {
        "GPU-1f": "/run/lock/gpu0.lock", "cpu": "/run/lock/a_b.lock",
    }  # fmt: skip
    assert paths_of("/x.lock", devices) == dict.fromkeys(devices, "/x.lock")
    assert paths_of(None, devices) == {}
