"""The processor and its memory, from /proc: always there, and all there is on many machines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ringfence.core.device import Device, DeviceKind


@dataclass(frozen=True, slots=True)
class Cpu:
    """Reads what the kernel tells; `proc` is elsewhere in tests only."""

    kind: str = "cpu"
    title: str = "CPU"
    proc: Path = Path("/proc")

    def read(self, ours_bytes: int = 0) -> list[Device]:
        """The one RAM device; empty where there is no /proc. `ours_bytes` is what our own engines hold of it."""
        try:
            memory = meminfo_bytes((self.proc / "meminfo").read_text(encoding="ascii", errors="replace"))
        except OSError:
            return []
        total = memory.get("MemTotal", 0)
        available = memory.get("MemAvailable", memory.get("MemFree", 0))
        cores = len(os.sched_getaffinity(0))
        return [
            Device(
                id="cpu",
                kind=DeviceKind.RAM,
                name=_model_name(self.proc / "cpuinfo"),
                total_bytes=total,
                available_bytes=min(available, total),
                used_by_others_bytes=max(0, total - available - ours_bytes),
                cores=cores,
                load=_load_per_core(self.proc / "loadavg", cores),
            )
        ]


def meminfo_bytes(text: str) -> dict[str, int]:
    """The fields of /proc/meminfo in bytes; lines that are no number are left out."""
    fields: dict[str, int] = {}
    for line in text.splitlines():
        name, _colon, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            fields[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return fields


def _model_name(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "CPU"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(names, "CPU") or "CPU"


def _load_per_core(path: Path, cores: int) -> float | None:
    try:
        return float(path.read_text(encoding="ascii").split()[0]) / max(cores, 1)
    except (OSError, ValueError, IndexError):
        return None


ADAPTER = Cpu()
