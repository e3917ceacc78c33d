"""Whose process it is that holds memory of a device, from /proc."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ringfence.core.device import Holder, Ours


def holder(pid: int, held_bytes: int | None, ours: Sequence[Ours], proc: Path) -> Holder:
    """Named by its program; by the instance where one of ours, or one of its children, it is."""
    instance = next((one.instance for one in ours if one.pid in (pid, _session(pid, proc))), "")
    return Holder(instance or _program(pid, proc), held_bytes, pid, instance)


def pids_of(ours: Sequence[Ours], proc: Path) -> Iterator[tuple[int, str]]:
    """Every process of our engines, and the engine's name: an engine may compute in children."""
    instances = {one.pid: one.instance for one in ours}
    if not instances:
        return
    for path in proc.glob("[0-9]*"):
        instance = instances.get(_session(int(path.name), proc) or int(path.name))
        if instance is not None:
            yield int(path.name), instance


def _session(pid: int, proc: Path) -> int | None:
    try:
        after_name = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        return int(after_name.split()[3])
    except (OSError, ValueError, IndexError):
        return None


def _program(pid: int, proc: Path) -> str:
    try:
        return (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip() or "unknown"
    except OSError:
        return "unknown"
