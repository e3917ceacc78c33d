"""AMD's GPUs, from what their driver (amdgpu) writes in /sys. One that has a processor beside it on the same chip
(an APU) takes most of its memory from the system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.accelerators.meminfo import meminfo
from ringfence.accelerators.processes import pids_of
from ringfence.core.device import Device, DeviceKind, Holder, Ours, measured

CARD = re.compile(r"card\d+")
AMD = "0x1002"
APU_FORMATS = (2, 3)
"""Of `gpu_metrics`: cards of their own write version 1 of it, APUs 2 or 3 (linux, kgd_pp_interface.h)."""
UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@dataclass(frozen=True, slots=True)
class Amd:
    """`sys` and `proc` are elsewhere in tests only. An id tells where on the bus the card is."""

    kind: str = "amd"
    title: str = "AMD"
    sys: Path = Path("/sys")
    proc: Path = Path("/proc")

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        """Every card, one that the driver has given up as well."""
        cards = (path for path in (self.sys / "class/drm").glob("card*") if CARD.fullmatch(path.name))
        found = [path / "device" for path in sorted(cards, key=lambda path: int(path.name[4:]))]
        return [self._card(path, ours) for path in found if _text(path / "vendor") == AMD]

    def _card(self, path: Path, ours: Sequence[Ours]) -> Device:
        bus = path.resolve().name
        name = _text(path / "product_name") or f"AMD GPU {_text(path / 'device').removeprefix('0x')}".rstrip()
        total, used = _number(path / "mem_info_vram_total"), _number(path / "mem_info_vram_used")
        if total is None or used is None:
            gone = Device(f"amd-{bus}", DeviceKind.GPU, name, total or 0, 0, 0)
            return gone.taken_out("its driver does not tell its memory; see the kernel's log")
        held, kind, free = self._holders(bus, ours), DeviceKind.GPU, total - used
        if _is_apu(path):
            kind = DeviceKind.UNIFIED
            more, more_free = self._of_the_system(path)
            total, free = total + more, free + more_free
            held += [Holder(one.instance, one.resident_bytes, one.pid, one.instance) for one in ours]
        asleep = _text(path / "power/runtime_status") == "suspended"  # asking for its load would wake it
        busy = None if asleep else _number(path / "gpu_busy_percent")
        return measured(
            Device(
                id=f"amd-{bus}",
                kind=kind,
                name=name,
                total_bytes=total,
                available_bytes=free,
                used_by_others_bytes=0,
                load=None if busy is None else min(busy, 100) / 100,
                temperature_c=None if asleep else _temperature_c(path),
                holders=tuple(held),
            )
        )

    def _of_the_system(self, path: Path) -> tuple[int, int]:
        """What the chip may take of the machine's memory, and how much of that is free."""
        memory = meminfo(self.proc)
        most, used = _number(path / "mem_info_gtt_total"), _number(path / "mem_info_gtt_used")
        if memory is None or most is None:
            return 0, 0
        most = min(most, memory.total_bytes)
        return most, max(0, min(most - (used or 0), memory.available_bytes))

    def _holders(self, bus: str, ours: Sequence[Ours]) -> list[Holder]:
        """Ours alone: of the programs of others, the driver tells only their owner."""
        held = ((instance, pid, self._held_bytes(pid, bus)) for pid, instance in pids_of(ours, self.proc))
        return [Holder(instance, held_bytes, pid, instance) for instance, pid, held_bytes in held if held_bytes]

    def _held_bytes(self, pid: int, bus: str) -> int:
        """By its open files (drm-usage-stats): one client may be told by several of them."""
        by_client: dict[str, int] = {}
        for text in _open_files(self.proc / str(pid) / "fdinfo"):
            fields = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
            if fields.get("drm-pdev") == bus:
                client = fields.get("drm-client-id", "")
                by_client[client] = max(by_client.get(client, 0), _amount(fields.get("drm-memory-vram", "")))
        return sum(by_client.values())


def _open_files(folder: Path) -> Iterator[str]:
    try:
        paths = list(folder.iterdir())
    except OSError:
        return
    yield from (text for text in map(_text, paths) if "drm-pdev" in text)


def _amount(text: str) -> int:
    """Such as '1024 KiB', in bytes."""
    number, _, unit = text.partition(" ")
    return int(number) * UNITS.get(unit, 1) if number.isdigit() else 0


def _is_apu(path: Path) -> bool:
    try:
        with (path / "gpu_metrics").open("rb") as file:
            head = file.read(4)
    except OSError:
        return False
    return len(head) == 4 and head[2] in APU_FORMATS


def _temperature_c(path: Path) -> float | None:
    """Of the edge of the chip, which every card has; else the first that there is."""
    inputs = sorted(path.glob("hwmon/hwmon*/temp*_input"))
    edge = [one for one in inputs if _text(one.with_name(one.name.replace("_input", "_label"))) == "edge"]
    told = (_number(one) for one in (*edge, *inputs))
    return next((number / 1000 for number in told if number is not None), None)


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


ADAPTER = Amd()
