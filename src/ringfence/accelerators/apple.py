"""Apple's chips: one memory for processor and GPU, as macOS tells it.

Nothing names who holds what of it; what our engines hold is known from their processes where the system tells.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ringfence.core.device import Device, DeviceKind, Holder, NotRead, Ours, measured

SYSCTL = ("/usr/sbin/sysctl", "-n", "hw.memsize", "hw.ncpu", "machdep.cpu.brand_string")
VM_STAT = ("/usr/bin/vm_stat",)
PAGE = re.compile(r"page size of (\d+) bytes")
PAGES = re.compile(r"^Pages (free|inactive):\s+(\d+)\.", re.MULTILINE)
TIMEOUT_S = 3.0
Run = Callable[[Sequence[str]], str]


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S).stdout


@dataclass(frozen=True, slots=True)
class Apple:
    """`run` and `system` are others in tests only."""

    kind: str = "apple"
    title: str = "Apple"
    run: Run = _run
    system: str = sys.platform

    def read(self, ours: Sequence[Ours] = ()) -> list[Device]:
        """The one pool of a Mac; empty on other systems. Raises NotRead."""
        if self.system != "darwin":
            return []
        try:
            total, cores, name = self.run(SYSCTL).splitlines()[:3]
            told = self.run(VM_STAT)
            return [self._device(int(total), int(cores), name.strip(), available_bytes(told), ours)]
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise NotRead(f"macOS does not tell its memory ({type(error).__name__})") from None

    def _device(self, total: int, cores: int, name: str, available: int, ours: Sequence[Ours]) -> Device:
        holders = tuple(
            Holder(one.instance, one.resident_bytes or None, one.pid, one.instance) for one in ours
        )  # fmt: skip
        return measured(
            Device(
                id="apple", kind=DeviceKind.UNIFIED, name=name or "Apple", total_bytes=total, available_bytes=available,
                used_by_others_bytes=0, cores=cores, holders=holders,
            )
        )  # fmt: skip


def available_bytes(vm_stat: str) -> int:
    """Pages that are free, and those that nobody has used for a while: as psutil counts them for macOS
    (psutil/arch/osx/mem.c, `avail = inactive + free`). Raises ValueError."""
    page, pages = PAGE.search(vm_stat), dict(PAGES.findall(vm_stat))
    if page is None or set(pages) != {"free", "inactive"}:
        raise ValueError("vm_stat says something else")
    return int(page[1]) * sum(map(int, pages.values()))


ADAPTER = Apple()
