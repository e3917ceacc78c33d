"""The processor and its memory, from /proc: always there, and all there is on many machines."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.accelerators.meminfo import MemInfo, meminfo
from ringfence.core.device import Device, DeviceKind, Holder, Ours, measured


@dataclass(frozen=True, slots=True)
class Cpu:
    """Reads what the kernel tells; `proc` is elsewhere in tests only."""

    kind: str = "cpu"
    title: str = "CPU"
    proc: Path = Path("/proc")

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        """The one RAM device; empty where there is no /proc."""
        memory = meminfo(self.proc)
        return [self._device(memory, ours)] if memory is not None else []

    def _device(self, memory: MemInfo, ours: Sequence[Ours]) -> Device:
        cores = len(os.sched_getaffinity(0))
        holders = [Holder(one.instance, one.resident_bytes, one.pid, one.instance) for one in ours]
        return measured(
            Device(
                id="cpu",
                kind=DeviceKind.RAM,
                name=_model_name(self.proc / "cpuinfo"),
                total_bytes=memory.total_bytes,
                available_bytes=memory.available_bytes,
                used_by_others_bytes=0,
                cores=cores,
                load=_load_per_core(self.proc / "loadavg", cores),
                holders=tuple(holders),
            )
        )


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
