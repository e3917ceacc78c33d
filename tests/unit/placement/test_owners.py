"""Who a process is and what it holds, with real processes and with a made-up /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ringfence.core.device import Device, DeviceKind, Holder
from ringfence.placement.device_names import named
from ringfence.placement.owners import held_by, owner_of

MIB = 1 << 20
GPU = Device("GPU-a", DeviceKind.GPU, "card", 24 << 30, 20 << 30, 4 << 30)
RAM = Device("cpu", DeviceKind.RAM, "CPU", 64 << 30, 40 << 30, 24 << 30)


def test_a_process_is_known_until_it_ends_and_no_zombie_is() -> None:
    child = subprocess.Popen(["sleep", "30"])
    owner = owner_of(child.pid)
    assert owner is not None
    assert owner == owner_of(child.pid)
    assert owner != owner_of(os.getpid())
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and we have not taken note
    assert Path(f"/proc/{child.pid}").exists()
    assert owner_of(child.pid) is None
    child.wait()
    assert owner_of(child.pid) is None


def test_a_number_that_is_used_again_is_another_owner(tmp_path: Path) -> None:
    write(tmp_path, 7, 1, start=100)
    before = owner_of(7, tmp_path)
    write(tmp_path, 7, 1, start=101)
    assert before != owner_of(7, tmp_path)
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("another\n")
    write(tmp_path, 7, 1, start=100)
    assert before != owner_of(7, tmp_path)


def test_a_gpus_holders_are_counted_with_their_descendants(tmp_path: Path) -> None:
    for pid, parent in ((7, 1), (8, 7), (9, 8), (20, 1), (30, 7), (40, 40)):
        write(tmp_path, pid, parent)
    holders = (
        Holder("python", 100, 9), Holder("python", 20, 7), Holder("other", 500, 20), Holder("ours", 7, 30, "qwen"),
        Holder("told", None, 8), Holder("nobody", 3, None), Holder("gone", 9, 99), Holder("strange", 9, 40),
    )  # fmt: skip
    assert held_by(7, replace(GPU, holders=holders), tmp_path) == 120
    assert held_by(7, GPU, tmp_path) == 0


def test_ram_is_what_is_resident_of_the_program_and_its_children() -> None:
    code = f"x = bytearray({48 * MIB}); print('ready', flush=True); import time; time.sleep(30)"
    shell = subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1" & wait', sys.executable, code], stdout=subprocess.PIPE, process_group=0
    )
    try:
        assert shell.stdout is not None
        assert shell.stdout.readline() == b"ready\n"
        assert 48 * MIB <= held_by(shell.pid, RAM) <= 120 * MIB
        assert held_by(shell.pid, GPU) == 0
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
    assert held_by(shell.pid, RAM) == 0


@pytest.mark.parametrize(
    ("name", "found"),
    [("gpu0", "GPU-a"), ("gpu1", "GPU-b"), ("GPU-b", "GPU-b"), ("ram", "cpu"), ("cpu", "cpu"), ("gpu2", None),
     ("gpu", None), ("", None), ("gpu-1", None), ("GPU0", None)],
)  # fmt: skip
def test_names_of_devices(name: str, found: str | None) -> None:
    meant = named([RAM, GPU, replace(GPU, id="GPU-b")], name)
    assert (meant.id if meant else None) == found


def test_an_id_comes_before_what_it_could_mean() -> None:
    assert named([GPU, replace(GPU, id="gpu0", name="said")], "gpu0").name == "said"  # type: ignore[union-attr]


def write(proc: Path, pid: int, parent: int, start: int = 5) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    fields = ["S", str(parent), *["0"] * 17, str(start), "0"]
    (proc / str(pid) / "stat").write_text(f"{pid} (a) b (c) {' '.join(fields)}\n")
