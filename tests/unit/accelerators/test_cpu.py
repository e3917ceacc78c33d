"""Reading the processor and its memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.accelerators.cpu import ADAPTER, Cpu
from ringfence.accelerators.meminfo import meminfo, meminfo_bytes
from ringfence.core.device import DeviceKind, Ours


def test_this_machine() -> None:
    device = ADAPTER.read()[0]
    assert (device.id, device.kind) == ("cpu", DeviceKind.RAM)
    assert 0 < device.available_bytes <= device.total_bytes
    assert device.used_bytes == device.used_by_others_bytes
    assert device.cores >= 1


def test_what_we_hold_is_not_others(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nHugePages_Total: 3\n")
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name : Test CPU\n")
    (tmp_path / "loadavg").write_text("0.50 0.40 0.30 1/2 3\n")
    device = Cpu(proc=tmp_path).read([Ours("a", 1, 200 * 1024)])[0]
    assert (device.name, device.total_bytes, device.available_bytes) == ("Test CPU", 1000 * 1024, 400 * 1024)
    assert device.used_by_others_bytes == 400 * 1024
    assert device.load == 0.5 / device.cores
    assert Cpu(proc=tmp_path).read([Ours("a", 1, 10**9)])[0].used_by_others_bytes == 0


def test_a_machine_without_proc_has_no_device(tmp_path: Path) -> None:
    assert Cpu(proc=tmp_path).read() == []


def test_lines_that_are_no_number_are_left_out() -> None:
    assert meminfo_bytes("A: 1 kB\nB: x kB\nC\nD: 7\n") == {"A": 1024, "D": 7}


def cgroup(folder: Path, most: str, used: int, files: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")


@pytest.mark.parametrize(
    ("ours", "told"),
    [
        ("0::/app/gateway", (600 * 1024, 200 * 1024)),  # the one around it has less left
        ("0::/", (1000 * 1024, 400 * 1024)),  # no limit
        ("0::/../elsewhere", (1000 * 1024, 400 * 1024)),  # not to be seen from here
        ("4:memory:/app", (1000 * 1024, 400 * 1024)),  # version 1
    ],
)
def test_a_container_has_no_more_than_its_limit(proc: Path, tmp_path: Path, ours: str, told: tuple[int, int]) -> None:
    groups = tmp_path / "cgroup"
    cgroup(groups / "app", str(700 * 1024), 600 * 1024, 100 * 1024)
    cgroup(groups / "app/gateway", str(600 * 1024), 100 * 1024)
    (proc / "self").mkdir()
    (proc / "self/cgroup").write_text(ours + "\n")
    assert meminfo(proc, groups) == told


def test_a_container_that_is_over_its_limit_has_nothing_left(proc: Path, tmp_path: Path) -> None:
    cgroup(tmp_path / "cgroup", "1000", 5000)
    (proc / "self").mkdir()
    (proc / "self/cgroup").write_text("0::/\n")
    assert meminfo(proc, tmp_path / "cgroup") == (1000, 0)
