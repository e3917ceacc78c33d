"""Reading AMD's cards from a made-up /sys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.accelerators.amd import Amd
from ringfence.core.device import Device, DeviceKind, Ours

GIB = 1024**3
BUS = "0000:03:00.0"
BYTES = st.integers(0, 2**64 - 1)


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """One card of its own, with a display, beside a card of somebody else."""
    folder = tmp_path / "sys"
    card(folder, 1, BUS, total=16 * GIB, used=4 * GIB, busy=70)
    other = folder / "devices/0000:00:02.0"
    other.mkdir(parents=True)
    (other / "vendor").write_text("0x8086\n")
    (folder / "class/drm/card0").mkdir()
    (folder / "class/drm/card0/device").symlink_to(other)
    (folder / "class/drm/card1-DP-1").mkdir()
    return folder


def card(folder: Path, number: int, bus: str, *, total: int, used: int, busy: int = 0) -> Path:
    path = folder / "devices" / bus
    (path / "hwmon/hwmon3").mkdir(parents=True)
    for name, value in {
        "vendor": "0x1002", "device": "0x744c", "product_name": "AMD Radeon RX 7900 XT", "mem_info_vram_total": total,
        "mem_info_vram_used": used, "gpu_busy_percent": busy, "hwmon/hwmon3/temp1_input": 90_000,
        "hwmon/hwmon3/temp1_label": "junction", "hwmon/hwmon3/temp2_input": 61_500, "hwmon/hwmon3/temp2_label": "edge",
    }.items():  # fmt: skip
        (path / name).write_text(f"{value}\n")
    (path / "gpu_metrics").write_bytes(bytes((120, 0, 1, 3)) + bytes(116))
    (folder / f"class/drm/card{number}").mkdir(parents=True)
    (folder / f"class/drm/card{number}/device").symlink_to(path)
    return path


def only(found: list[Device]) -> Device:
    [device] = found
    return device


def test_a_card(sys: Path, proc: Path) -> None:
    device = only(Amd(sys=sys, proc=proc).read())
    assert (device.id, device.kind, device.name) == (f"amd-{BUS}", DeviceKind.GPU, "AMD Radeon RX 7900 XT")
    assert (device.total_bytes, device.available_bytes, device.used_by_others_bytes) == (16 * GIB, 12 * GIB, 4 * GIB)
    assert (device.load, device.temperature_c, device.out_of_service) == (0.7, 61.5, "")


def test_what_our_engines_hold_of_it(sys: Path, proc: Path, process: Callable[[int, str, int], Path]) -> None:
    process(100, "python", 100)
    child = process(101, "llama-server", 100)
    client = f"drm-pdev:\t{BUS}\ndrm-client-id:\t7\ndrm-memory-vram:\t2097152 KiB\n"
    files = {"3": client, "4": client, "5": client.replace("7", "8").replace(BUS, "0000:09:00.0"), "6": "pos: 0\n"}
    (child / "fdinfo").mkdir()
    for name, text in files.items():
        (child / "fdinfo" / name).write_text(text)
    foreign = process(200, "llama-server", 200)
    (foreign / "fdinfo").mkdir()
    (foreign / "fdinfo/3").write_text(client)
    device = only(Amd(sys=sys, proc=proc).read([Ours("qwen3-8b", 100)]))
    assert [(one.instance, one.pid, one.held_bytes) for one in device.holders] == [("qwen3-8b", 101, 2 * GIB)]
    assert device.used_by_others_bytes == 2 * GIB


def test_a_chip_with_a_processor_takes_from_the_system(sys: Path, proc: Path) -> None:
    path = sys / "devices" / BUS
    (path / "gpu_metrics").write_bytes(bytes((128, 0, 3, 0)))
    (path / "mem_info_vram_total").write_text(str(512 * 1024))
    (path / "mem_info_vram_used").write_text(str(112 * 1024))
    (path / "mem_info_gtt_total").write_text(str(500 * 1024))
    (path / "mem_info_gtt_used").write_text(str(300 * 1024))
    device = only(Amd(sys=sys, proc=proc).read())
    assert (device.kind, device.total_bytes) == (DeviceKind.UNIFIED, 1012 * 1024)
    assert device.available_bytes == 600 * 1024  # 400 kB of its own, 200 of the system's 400 that are free


def test_a_card_that_sleeps_is_not_woken(sys: Path, proc: Path) -> None:
    power = sys / "devices" / BUS / "power"
    power.mkdir()
    (power / "runtime_status").write_text("suspended\n")
    device = only(Amd(sys=sys, proc=proc).read())
    assert (device.load, device.temperature_c, device.available_bytes) == (None, None, 12 * GIB)


def test_a_card_whose_driver_gave_it_up_is_out_of_service(sys: Path, proc: Path) -> None:
    (sys / "devices" / BUS / "mem_info_vram_used").unlink()
    device = only(Amd(sys=sys, proc=proc).read())
    assert (device.id, device.total_bytes, device.available_bytes) == (f"amd-{BUS}", 16 * GIB, 0)
    assert "does not tell its memory" in device.out_of_service


def test_cards_are_in_the_order_of_their_numbers(tmp_path: Path, proc: Path) -> None:
    for number in (10, 2, 9):
        card(tmp_path / "sys", number, f"0000:{number:02}:00.0", total=GIB, used=0)
    found = Amd(sys=tmp_path / "sys", proc=proc).read()
    assert [device.id for device in found] == [f"amd-0000:{number:02}:00.0" for number in (2, 9, 10)]


def test_a_machine_without_one(tmp_path: Path) -> None:
    assert Amd(sys=tmp_path).read() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(total=BYTES, used=BYTES, gtt=BYTES, gtt_used=BYTES, apu=st.booleans())
def test_no_figure_is_negative(
    sys: Path, proc: Path, total: int, used: int, gtt: int, gtt_used: int, apu: bool
) -> None:
    path = sys / "devices" / BUS
    (path / "gpu_metrics").write_bytes(bytes((128, 0, 3 if apu else 1, 0)))
    figures = {"vram_total": total, "vram_used": used, "gtt_total": gtt, "gtt_used": gtt_used}
    for name, value in figures.items():
        (path / f"mem_info_{name}").write_text(str(value))
    device = only(Amd(sys=sys, proc=proc).read([Ours("one", 1, 10**6)]))
    assert 0 <= device.available_bytes <= device.total_bytes
    assert 0 <= device.used_by_others_bytes <= device.total_bytes
