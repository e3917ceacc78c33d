"""Programs that belong to a mode: real processes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ringfence.runtime import mode_programs
from ringfence.runtime.mode_programs import ProgramFailed, Programs


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends by itself is waited for no longer than that takes; where a program stays, a test says how long."""
    monkeypatch.setattr(mode_programs, "FIRST_LOOK_S", 25)
    monkeypatch.setattr(mode_programs, "GRACE_S", 25)


def shell(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text)


async def until_written(file: Path) -> str:
    async with asyncio.timeout(25):
        while not (file.exists() and file.read_text().endswith("\n")):
            await asyncio.sleep(0.01)
    return file.read_text().strip()


def is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def test_one_is_told_to_end_and_its_children_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode_programs, "FIRST_LOOK_S", 0.1)
    programs, child, said = Programs(tmp_path / "logs"), tmp_path / "child", tmp_path / "said"
    await programs.start([shell(f"trap 'echo ended > {said}; exit' TERM; sleep 60 & echo $! > {child}; wait")])
    pid = await until_written(child)
    assert is_alive(pid)
    await programs.stop()
    assert await until_written(said) == "ended", "it had its time to end"
    async with asyncio.timeout(25):
        while is_alive(pid):  # nobody has waited for it
            await asyncio.sleep(0.01)
    await programs.stop()  # nothing is left to stop


async def test_one_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode_programs, "FIRST_LOOK_S", 0.1)
    monkeypatch.setattr(mode_programs, "GRACE_S", 0.3)
    programs, own = Programs(tmp_path / "logs"), tmp_path / "pid"
    await programs.start([shell(f"trap '' TERM; echo $$ > {own}; while :; do sleep 0.05; done")])
    pid = await until_written(own)
    await programs.stop()
    assert not is_alive(pid)


async def test_one_that_does_its_work_and_ends_is_no_failure(tmp_path: Path) -> None:
    programs = Programs(tmp_path / "logs")
    await programs.start([("/bin/true",), shell("echo worked")])
    assert (tmp_path / "logs" / "mode-sh.log").read_text() == "worked\n"
    assert (tmp_path / "logs" / "mode-sh.log").stat().st_mode & 0o777 == 0o600
    await programs.stop()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("/bin/false",), "/bin/false ended at once, with exit status 1"),
        (("/no/such/program",), "cannot run /no/such/program: No such file or directory"),
    ],
)
async def test_where_one_fails_none_of_them_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], told: str
) -> None:
    monkeypatch.setattr(mode_programs, "FIRST_LOOK_S", 2)  # the first of them stays, so this is how long it takes
    programs, own = Programs(tmp_path / "logs"), tmp_path / "pid"
    with pytest.raises(ProgramFailed, match=told):
        await programs.start([shell(f"echo $$ > {own}; exec sleep 60"), command])
    pid = own.read_text().strip() if own.exists() else ""
    assert not pid or not is_alive(pid)
    assert programs._running == []


async def test_it_is_told_nothing_of_the_gateways_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    programs, told = Programs(tmp_path / "logs"), tmp_path / "told"
    await programs.start([shell(f"env > {told}; exec 3<&0; readlink /proc/self/fd/0 >> {told}")])
    text = told.read_text()
    assert "SOME_API_KEY" not in text and f"PATH={os.environ['PATH']}" in text
    assert text.endswith("/dev/null\n")
    await programs.stop()
