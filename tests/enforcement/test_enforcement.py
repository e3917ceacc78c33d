"""That a kernel enforces the units, by the systemd of this machine, else by one in namespaces of its own. Where neither
is to be had, the scripts say by name why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECK = ("bash", str(HERE / "check_isolation.sh"))
RINGFENCE = (sys.executable, "-m", "ringfence")
CANNOT_BE_SEEN = 77


def _run(*words: str) -> tuple[int, str]:
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == CANNOT_BE_SEEN:
        pytest.skip(done.stdout.strip().splitlines()[-1])
    return done.returncode, done.stdout + done.stderr


def checked(folder: Path, *ringfence: str) -> tuple[int, str]:
    """Exit status and words of the check, run with this `ringfence`."""
    if Path("/run/systemd/system").is_dir():
        return _run(*CHECK, *ringfence)
    _, told = _run("bash", str(HERE / "boot_systemd.sh"), str(folder), *CHECK, *ringfence)
    assert (folder / "status").exists(), told
    status, said = int((folder / "status").read_text()), (folder / "out").read_text()
    if status == CANNOT_BE_SEEN:
        pytest.skip(said.strip().splitlines()[-1])
    return status, said


@pytest.mark.slow
def test_the_kernel_enforces_the_units(tmp_path: Path) -> None:
    status, said = checked(tmp_path, *RINGFENCE)
    assert (status, said.count("ok: ")) == (0, 13), said


@pytest.mark.slow
def test_the_check_sees_a_unit_that_keeps_nothing_in(tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    leaky.write_text(f'#!/bin/sh\n{" ".join(RINGFENCE)} "$@" | grep -v ^IPAddressDeny\n')
    leaky.chmod(0o755)
    status, said = checked(tmp_path, str(leaky))
    assert status == 1, said
    assert said.count("FAILED: ") == 5, said
    assert "FAILED: the gateway reaches a public address (got yes)" in said
