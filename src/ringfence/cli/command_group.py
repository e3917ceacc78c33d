"""A command in a process group of its own: signals reach all of it, and the terminal is its as long as it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from ringfence.tether import die_with_parent

LOOK_EVERY_S = 0.05
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CommandGroup:
    """Started at once; OSError where it cannot be. It does not outlive us, whatever ends us."""

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self.is_asked_to_end = False
        self._kill_at_s: float | None = None
        self._terminal = 0 if os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp() else None
        ours = os.getpid()

        def prepare() -> None:
            die_with_parent(ours, signal.SIGTERM)
            self._hand_terminal_to(os.getpid())

        self._process = subprocess.Popen(command, env=env, process_group=0, preexec_fn=prepare)  # noqa: PLW1509
        self._hand_terminal_to(self._process.pid)

    @property
    def status(self) -> int:
        """Its exit status as shells tell it, once it is over."""
        code = self._process.returncode or 0
        return 128 - code if code < 0 else code

    def is_over(self) -> bool:
        """Waits a moment. Who was asked to end is over when nobody of the group is left."""
        try:
            self._process.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            self._pause_with_it()
            return False
        if self.is_asked_to_end and self._is_there():
            time.sleep(LOOK_EVERY_S)
            return False
        return True

    def ask_to_end(self, grace_s: float) -> None:
        """SIGTERM to all of it, and SIGKILL when its time is over. A second time changes nothing."""
        if not self.is_asked_to_end:
            self.is_asked_to_end = True
            self._kill_at_s = time.monotonic() + grace_s
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # one that was stopped would never hear of it

    def kill_when_due(self) -> bool:
        """True when it was killed just now."""
        if self._kill_at_s is None or time.monotonic() < self._kill_at_s:
            return False
        self._kill_at_s = None
        return self._signal(signal.SIGKILL)

    def close(self) -> None:
        """The terminal is ours again; what still runs, because we are ending, ends as well."""
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._hand_terminal_to(os.getpgrp())

    @contextmanager
    def signals_passed_on(self, grace_s: float) -> Iterator[None]:
        """What we are told, it is told: Ctrl-C as such, an order to end with its time."""

        def pass_on(number: int, _frame: object) -> None:
            if number == signal.SIGINT:
                self._signal(signal.SIGINT)
            else:
                self.ask_to_end(grace_s)

        before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
        try:
            yield
        finally:
            for number, handled in before.items():
                signal.signal(number, handled)

    def _pause_with_it(self) -> None:
        """Ctrl-Z stops it, and then us, so that the shell is back; fg and bg go on with both."""
        if self._terminal is None:
            return
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG) is None:
                return
            self._hand_terminal_to(os.getpgrp())
            os.kill(os.getpid(), signal.SIGSTOP)
            if os.tcgetpgrp(self._terminal) == os.getpgrp():
                self._hand_terminal_to(self._process.pid)
            self._signal(signal.SIGCONT)

    def _hand_terminal_to(self, group: int) -> None:
        if self._terminal is None:
            return
        # Who is not in front would be stopped for this, were the signal for it not held back.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with suppress(OSError):
            os.tcsetpgrp(self._terminal, group)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _is_there(self) -> bool:
        return self._signal(0)
