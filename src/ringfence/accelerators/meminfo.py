"""The memory of the machine, as the kernel tells it: that of the processor, and of a GPU that has none of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CGROUPS = Path("/sys/fs/cgroup")


class MemInfo(NamedTuple):
    """`available_bytes` is what can be taken without swapping: pages that only hold files count as free."""

    total_bytes: int
    available_bytes: int


def meminfo(proc: Path, cgroups: Path = CGROUPS) -> MemInfo | None:
    """Of the machine, or of the container or unit that we are in where that may take less; its engines are in it as
    well. None where there is no /proc."""
    try:
        fields = meminfo_bytes((proc / "meminfo").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return None
    total, available = fields.get("MemTotal", 0), fields.get("MemAvailable", fields.get("MemFree", 0))
    for most, free in _limits(proc, cgroups):
        total, available = min(total, most), min(available, free)
    return MemInfo(total, max(0, min(total, available)))


def meminfo_bytes(text: str) -> dict[str, int]:
    """The fields of /proc/meminfo in bytes; lines that are no number are left out."""
    fields: dict[str, int] = {}
    for line in text.splitlines():
        name, _colon, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            fields[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return fields


def _limits(proc: Path, cgroups: Path) -> Iterator[tuple[int, int]]:
    """(most, free) bytes of our cgroup (version 2) and of each one around it that has a limit."""
    lines = _text(proc / "self/cgroup").splitlines()
    ours = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if ours is None or ".." in Path(ours).parts:
        return
    for folder in (cgroups / ours, *(cgroups / parent for parent in Path(ours).parents)):
        most, used = _text(folder / "memory.max"), _text(folder / "memory.current")
        if most.isdigit() and used.isdigit():
            stat = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
            files = stat.get("inactive_file", "0")
            yield int(most), int(most) - int(used) + (int(files) if files.isdigit() else 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
