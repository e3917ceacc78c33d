"""What a child leaves behind is found and ended, also where it is in a session of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.cli import main

PROGRAM = """
import os, subprocess, sys
from ringfence.tether import adopt_orphans, bury_orphans
adopt_orphans()
spared = subprocess.Popen(["sleep", "60"])
forks = "import subprocess; print(subprocess.Popen(['sleep', '60'], start_new_session=True, stdout=-3, stderr=-3).pid)"
left = int(subprocess.run([sys.executable, "-c", forks], capture_output=True, check=True).stdout)
assert int(open(f"/proc/{left}/stat").read().split()[3]) == os.getpid(), "not ours"
bury_orphans(spare=(spared.pid,))
assert spared.poll() is None and os.path.exists(f"/proc/{left}"), "only the dead are buried"
bury_orphans(spare=(spared.pid,), alive=True)
assert spared.poll() is None and not os.path.exists(f"/proc/{left}")
spared.kill()
os.waitid(os.P_PID, spared.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and we have not taken note
bury_orphans()
print(os.path.exists(f"/proc/{spared.pid}"))
"""


def test_orphans_become_ours_and_are_ended(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_memory_and_environment_are_closed_to_other_processes() -> None:
    program = "import ctypes; from ringfence.tether import keep_memory_private as keep\n"
    program += "ask = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\nprint(ask()); keep(); print(ask())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "1\n0\n"


def test_up_closes_its_memory_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed() -> None:
        raise InterruptedError

    monkeypatch.setattr(main, "keep_memory_private", closed)
    with pytest.raises(InterruptedError):
        main.up(config=Path("/nowhere/at-all.yaml"))
