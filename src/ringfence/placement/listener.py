"""Who listens at a port of this machine, and how it was started: read from /proc, as far as we may.

An engine that somebody else runs need not tell what it was started with. The kernel does, for processes of our user.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LISTENING = "0A"
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Started:
    """How a process was started. Its environment may hold keys: it is not shown."""

    pid: int
    arguments: tuple[str, ...] = field(repr=False)
    environment: dict[str, str] = field(repr=False)


def listeners(port: int, proc: Path = PROC) -> list[Started]:
    """The processes that listen at this TCP port, on any address; those of other users are not seen."""
    inodes = _inodes(port, proc)
    found = [pid for pid in _pids(proc) if _holds(proc / str(pid), inodes)] if inodes else []
    started = [_started(proc / str(pid)) for pid in found]
    return [one for one in started if one is not None]


def _inodes(port: int, proc: Path) -> set[str]:
    """The sockets that listen there, as a link in /proc/PID/fd names them."""
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                cells = line.split()
                if cells[3] == LISTENING and int(cells[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{cells[9]}]")
    return found


def _pids(proc: Path) -> list[int]:
    with suppress(OSError):
        return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]
    return []


def _holds(process: Path, inodes: set[str]) -> bool:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if str(descriptor.readlink()) in inodes:
                    return True
    return False


def _started(process: Path) -> Started | None:
    with suppress(OSError):
        arguments = _words(process / "cmdline")
        pairs = (word.partition("=") for word in _words(process / "environ"))
        return Started(int(process.name), arguments, {name: value for name, _, value in pairs})
    return None


def _words(path: Path) -> tuple[str, ...]:
    return tuple(path.read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0"))
