"""Whether a gateway runs with a state folder: what its note says, whether that process still lives, and what it was
started with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ringfence.config.places import find


def running(folder: Path) -> int | None:
    """The process named in run.json, if it lives and is that very one: a pid may have been given to another since."""
    run = read_json(folder / "run.json")
    pid = run.get("pid") if run else None
    if run is None or not isinstance(pid, int) or isinstance(pid, bool) or pid <= 1:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return pid
    began_s, noted_s = _began_s(pid), run.get("started_s")
    is_later = began_s is not None and isinstance(noted_s, int | float) and began_s > noted_s + 5
    # A clock that was set forward also makes a process seem younger than the note about it.
    return None if is_later and not _is_ringfence(pid) else pid


def in_force(named: Path | None) -> Path | None:
    """The configuration to read: what is named, or what the gateway was started with that runs with that state."""
    from ringfence.config.load import peek_state_dir

    found = find(named, Path.cwd())
    if named is not None or os.environ.get("RINGFENCE_CONFIG"):
        return found
    folder = peek_state_dir(found, os.environ)
    note = read_json(folder / "run.json") if running(folder) is not None else None
    started_with = note.get("config") if note is not None else None
    return Path(started_with) if isinstance(started_with, str) else found


def _is_ringfence(pid: int) -> bool:
    try:
        return b"ringfence" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _began_s(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; None where /proc does not tell."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None
    return int(booted.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None when there is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
