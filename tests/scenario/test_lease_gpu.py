"""A command that takes memory of a device for itself, and large loads that wait for one another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from moving import DEVICE, HURRIED, LOADS_S, Callers, Site, alike
from whole import LONG_TOKENS, Stream, control, gone, is_alive, kill, made_key, until

pytestmark = pytest.mark.slow

WORKS = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); sys.stdin.read()"
LARGE = "11GiB"


@pytest.fixture
def site_of(start_up: Any, tmp_path: Path) -> Any:
    """Makes sites; each is stopped at the end of its test."""
    made: list[Site] = []

    def make(models: dict[str, Any], **more: Any) -> Site:
        made.append(Site(start_up, tmp_path, models, **more))
        return made[-1]

    yield make
    for site in made:
        site.up.stop()


@contextmanager
def leased(site: Site, *words: str, wrote: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`ringfence lease`, with a command that works until its input ends, and writes its number."""
    env = os.environ | {"RINGFENCE_STATE_DIR": str(site.up.folder)}
    command = [sys.executable, "-m", "ringfence", "lease", *words, "--", sys.executable, "-c", WORKS, str(wrote)]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, cwd=wrote.parent) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def written(file: Path) -> int:
    return until(lambda: int(file.read_text() or 0), LOADS_S, f"a number in {file.name}")


def leases(site: Site) -> list[dict[str, Any]]:
    return list(control(site.up, "/leases")["leases"])


def ranked(folder: Path) -> dict[str, Any]:
    """One that comes before the command, and one that comes after it."""
    high = alike(folder, "high", residency="always", memory="2GiB", priority="P0")
    return high | alike(folder, "low", residency="always", memory="4GiB", priority="P3", parallel=2)


def test_lower_ones_leave_for_a_command_and_come_back_after_it(site_of: Any, tmp_path: Path) -> None:
    profiles = {"broad": {"boundary": "host", "chain": ["low", "high"]}}
    site = site_of(ranked(tmp_path), profiles=profiles)
    broad, wrote = made_key(site.up, "broad", profile="broad"), tmp_path / "wrote"
    for name in ("high", "low"):
        site.until_ready(name)
    engine = site.pid("high")
    with Stream(site.up, model="low", timeout_s=60, max_tokens=LONG_TOKENS) as stream:
        stream.until_text()
        with leased(site, "--memory", "5GiB", "--priority", "1", "--device", DEVICE, wrote=wrote) as command:
            assert stream.rest()[1] == []
            assert stream.saw_done, "it was drained, and not cut"
            written(wrote)
            assert site.phases() == {"high": "ready", "low": "absent"}
            [row] = leases(site)
            assert (row["phase"], row["bytes"], row["device"]) == ("held", 5 << 30, DEVICE)
            refused = site.chat("low")
            assert (refused.status, refused.code) == (503, "target_unavailable")
            assert site.chat("auto", key=broad).headers["x-ringfence-target"] == "llamacpp/high"
            assert command.stdin is not None
            command.stdin.close()
            assert command.wait(20) == 0
    site.until_ready("low")
    assert leases(site) == []
    assert site.chat("low").status == 200
    assert site.pid("high") == engine


@pytest.mark.parametrize("which", ["holder", "command"])
def test_who_holds_memory_and_is_killed_gives_it_back(site_of: Any, tmp_path: Path, which: str) -> None:
    site, wrote = site_of(ranked(tmp_path)), tmp_path / "wrote"
    for name in ("high", "low"):
        site.until_ready(name)
    with leased(site, "--memory", "5GiB", "--priority", "1", wrote=wrote) as holder:
        inner = written(wrote)
        assert site.phases()["low"] == "absent"
        kill(holder.pid if which == "holder" else inner)
        holder.wait(20)
        gone([inner], 10)
        until(lambda: leases(site) == [], 20, "the end of the lease")
    site.until_ready("low")


@contextmanager
def locked(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """flock(1) holds the lock, as another program does during a large load of its own."""
    with subprocess.Popen(["flock", str(file), "sh", "-c", "echo held; read _"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, start_new_session=True) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)


def test_a_large_load_waits_for_that_of_another_program_until_it_is_killed(site_of: Any, tmp_path: Path) -> None:
    lock = tmp_path / "large.lock"
    models = alike(tmp_path, "one", memory=LARGE, residency="lazy") | alike(
        tmp_path, "small", memory="1GiB", residency="lazy"
    )
    placement = HURRIED | {"lock_file": str(lock), "cycle_s": 1}
    with locked(lock) as other:
        site = site_of(models, size="24GiB", placement=placement)
        with Callers(site) as callers:
            waits = callers.chat("one")
            assert site.chat("small").status == 200, "a small one waits for nobody"
            until(lambda: site.rows()["one"]["waiting"], 25, "one who waits")
            assert site.phases()["one"] == "absent"
            assert [row["name"] for row in site.plan()["waiting"]] == ["one"]
            os.killpg(other.pid, 9)
            other.wait(25)
            assert waits.result(60).status == 200
    assert site.phases() == {"one": "ready", "small": "ready"}
    with locked(lock):
        pass  # it is free again


def test_of_two_large_loads_one_waits_for_the_other(site_of: Any, tmp_path: Path) -> None:
    lock = tmp_path / "large.lock"
    models = alike(tmp_path, "one two", memory=LARGE, residency="lazy")
    site = site_of(models, size="24GiB", placement=HURRIED | {"lock_file": str(lock), "cycle_s": 1})
    seen: set[tuple[str, ...]] = set()
    with Callers(site) as callers:
        replies = [callers.chat(name) for name in ("one", "two")]
        until(lambda: seen.add(tuple(site.phases().values())) or all(reply.done() for reply in replies), 60, "both")
        assert [reply.result().status for reply in replies] == [200, 200]
    assert ("starting", "starting") not in seen
    assert any("starting" in phases and "absent" in phases for phases in seen), seen
    assert site.phases() == {"one": "ready", "two": "ready"}


def test_an_engine_that_is_killed_while_it_loads_frees_the_lock(site_of: Any, tmp_path: Path) -> None:
    lock = tmp_path / "large.lock"
    models = alike(tmp_path, "one two", memory=LARGE, residency="lazy")
    site = site_of(models, size="24GiB", placement=HURRIED | {"lock_file": str(lock), "cycle_s": 1})
    with Callers(site) as callers:
        first = callers.chat("one")
        engine = until(lambda: site.pid("one"), 20, "its process")
        kill(engine, 19)  # it loads for ever
        second = callers.chat("two")
        until(lambda: site.rows()["two"]["waiting"], 25, "one who waits for the other load")
        assert (site.phases()["one"], site.phases()["two"]) == ("starting", "absent")
        kill(engine)
        assert [reply.result(60).status for reply in (first, second)] == [200, 200]
    assert not is_alive(engine)
