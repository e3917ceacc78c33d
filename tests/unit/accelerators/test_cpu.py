"""Reading the processor and its memory."""

from __future__ import annotations

from pathlib import Path

from ringfence.accelerators.cpu import ADAPTER, Cpu, meminfo_bytes
from ringfence.core.device import DeviceKind


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
    device = Cpu(proc=tmp_path).read(ours_bytes=200 * 1024)[0]
    assert (device.name, device.total_bytes, device.available_bytes) == ("Test CPU", 1000 * 1024, 400 * 1024)
    assert device.used_by_others_bytes == 400 * 1024
    assert device.load == 0.5 / device.cores
    assert Cpu(proc=tmp_path).read(ours_bytes=10**9)[0].used_by_others_bytes == 0


def test_a_machine_without_proc_has_no_device(tmp_path: Path) -> None:
    assert Cpu(proc=tmp_path).read() == []


def test_lines_that_are_no_number_are_left_out() -> None:
    assert meminfo_bytes("A: 1 kB\nB: x kB\nC\nD: 7\n") == {"A": 1024, "D": 7}
