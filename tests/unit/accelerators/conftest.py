"""A made-up /proc."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Process = Callable[[int, str, int], Path]


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\n")
    return folder


@pytest.fixture
def process(proc: Path) -> Process:
    """Adds one: its id, its program, and the session it is in."""

    def add(pid: int, program: str, session: int) -> Path:
        folder = proc / str(pid)
        folder.mkdir()
        (folder / "comm").write_text(program + "\n")
        (folder / "stat").write_text(f"{pid} ({program} (x) ) S 1 {session} {session} 0 -1 0\n")
        return folder

    return add
