"""Whose memory it is: a process and those that it started, told from a later one with the same number."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ringfence.core.device import Device, DeviceKind

PROC = Path("/proc")
DEEPEST = 64
"""Generations that are looked at: a process that is its own ancestor would only be a fault in reading."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: numbers are used again, the moment of its start is not. `started` names the boot as well."""

    pid: int
    started: str


def owner_of(pid: int, proc: Path = PROC) -> Owner | None:
    """Who has this number now; None where nobody has, or where it has ended and only its parent does not know yet."""
    fields = _fields(pid, proc)
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return None
    return Owner(pid, f"{_boot(proc)}:{fields[19]}")


def held_by(pid: int, device: Device, proc: Path = PROC) -> int:
    """What this process and its descendants hold of a device: as its driver tells, or in RAM what is resident."""
    told = [
        one.held_bytes
        for one in device.holders
        if one.held_bytes is not None and one.pid is not None and not one.instance and _descends(one.pid, pid, proc)
    ]
    if not told and device.kind is not DeviceKind.GPU:
        return sum(_resident_bytes(each, proc) for each in _tree(pid, proc))
    return sum(told)


def _descends(pid: int, ancestor: int, proc: Path) -> bool:
    for _ in range(DEEPEST):
        if pid == ancestor:
            return True
        fields = _fields(pid, proc)
        if len(fields) < 2 or pid <= 1:
            return False
        pid = int(fields[1])
    return False


def _tree(pid: int, proc: Path) -> Iterator[int]:
    found, left = {pid}, [pid]
    while left:
        each = left.pop()
        yield each
        children = {child for path in (proc / str(each) / "task").glob("*/children") for child in _numbers(path)}
        left += children - found
        found |= children


def _numbers(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def _resident_bytes(pid: int, proc: Path) -> int:
    """Without what it shares with others."""
    try:
        words = (proc / str(pid) / "statm").read_text(encoding="ascii").split()
        return max(0, int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _fields(pid: int, proc: Path) -> list[str]:
    """Those of its stat after the name, which may hold anything: state, parent, ... , start at place 19."""
    try:
        return (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _boot(proc: Path) -> str:
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
