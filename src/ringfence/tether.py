"""A child process that never outlives its parent: the kernel kills it, and an end of standard input ends it too.

And what else a process asks of the kernel for itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent_pid: int, by: int = signal.SIGKILL) -> None:
    """Ask the kernel for a signal when the parent's main thread dies; the parent may have died before we asked."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by, 0, 0, 0)
    if parent_pid and os.getppid() != parent_pid:
        os._exit(1)


def leave_when_input_ends(leave: Callable[[], object], take: Callable[[str], object] | None = None) -> None:
    """Call `leave` from a thread of its own when standard input ends: works where the kernel cannot be asked.

    `take` is called from there with each line that the parent says meanwhile.
    """

    def wait() -> None:
        while line := sys.stdin.readline():
            if take is not None:
                take(line)
        leave()

    threading.Thread(target=wait, daemon=True, name="tether").start()


def go_first_when_memory_ends() -> None:
    """For engines: the kernel should end one of them, which comes back by itself, and not the gateway. Linux alone."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def keep_memory_private() -> None:
    """For who holds keys: no core file, and other processes of this user read neither its memory nor its environment.
    Linux alone; children that are started are as they were."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Whatever a child of ours leaves behind becomes a child of ours, so that it can be ended, and is not left as a
    zombie. Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bury_orphans(spare: Collection[int] = (), *, alive: bool = False) -> None:
    """Take note of the end of children that nobody waits for; with `alive`, end those that still live as well."""
    listed = (
        [file.read_text() for file in Path("/proc/self/task").glob("*/children")] if sys.platform == "linux" else []
    )
    for pid in {int(word) for line in listed for word in line.split()}.difference(spare):
        with suppress(ProcessLookupError, ChildProcessError):
            if alive:
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0 if alive else os.WNOHANG)
