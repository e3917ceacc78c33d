"""The parent's side of the egress process: starts it, hands it the keys, brings it back when it dies, ends it.

Works in a thread of its own, so that a parent which waits for something else need not look after it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

PASSED_ON = frozenset((
    "PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
))  # fmt: skip
COMMAND = (sys.executable, "-P", "-m", "ringfence.egress.process")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. After a life that was ready the first wait, after each that never was twice as long as before."""

    start_s: float = 15.0
    change_s: float = 5.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0
    stop_grace_s: float = 2.5


class EgressNotStarted(Exception):
    """It ended, or said why it cannot serve so, before it did. The text is for people."""


def environment(source: Mapping[str, str]) -> dict[str, str]:
    """What it needs to find itself, the resolver's settings and the authorities. Keys come by its standard input."""
    return {name: value for name, value in source.items() if name in PASSED_ON or name.startswith("LC_")}


class EgressProcess:
    """One egress process, for as long as it is wanted. `tell` gets a line for people whenever it ended unasked."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        source: Mapping[str, str] = os.environ,
        tell: Callable[[str], None] = lambda _line: None,
        pace: Pace | None = None,
    ) -> None:
        """`settings` as `settings.read_settings` reads them, without `parent_pid`: providers with their keys in it."""
        self._settings = dict(settings)
        self._environment = environment(source)
        self._tell = tell
        self._pace = pace or Pace()
        self._child: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep_alive, name="egress", daemon=True)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._decided = threading.Event()
        self._answered = threading.Event()
        self._refusal = ""
        self._was_ready = False
        self.is_ready = False
        self.starts = 0
        self.reason = ""
        """Why it does not serve, or did not when it last ended."""

    def __repr__(self) -> str:
        return f"<EgressProcess {'ready' if self.is_ready else 'not ready'}>"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None else None

    def start(self) -> None:
        """Returns when it serves. Raises EgressNotStarted: then nothing is left running, and nothing tries again."""
        self._thread.start()
        if not self._decided.wait(self._pace.start_s) or not self._was_ready:
            reason = self.reason or f"it was not ready within {self._pace.start_s:.0f} s"
            self.stop()
            raise EgressNotStarted(reason)

    def change(self, settings: Mapping[str, Any]) -> None:
        """Put other providers to work; calls under way go on as they began. Raises EgressNotStarted: then nothing has
        changed. A process that dies meanwhile is started again with the new ones."""
        with self._lock:
            before, self._settings = self._settings, dict(settings)
            self._answered.clear()
            self._refusal = ""
            if self.is_ready:
                self._say(self._child)
        if not self._answered.wait(self._pace.change_s) or self._refusal:
            with self._lock:
                self._settings = before
            raise EgressNotStarted(self._refusal or self.reason or "it does not answer")

    def stop(self) -> None:
        """SIGTERM, SIGKILL after the grace; returns when no process is left. May be called twice."""
        with self._lock:
            self._stopping.set()
            child = self._child
            if child is not None and child.poll() is None:
                child.terminate()
        if child is not None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(self._pace.stop_grace_s)
            if child.poll() is None:
                child.kill()
        if self._thread.is_alive():
            self._thread.join()

    # -- in the thread -------------------------------------------------------------------------------------------

    def _keep_alive(self) -> None:
        """The thread that starts a child must outlive it: the kernel's tether is to the thread."""
        wait_s, pace = self._pace.first_wait_s, self._pace
        while True:
            was_ready = self._live_once()
            if self._stopping.is_set() or not self._decided.is_set():
                self._decided.set()
                return
            if was_ready:
                wait_s = pace.first_wait_s
            self._tell(f"The egress process ended ({self.reason}); it is started again.")
            if self._stopping.wait(wait_s):
                return
            wait_s = min(wait_s * 2, pace.longest_wait_s)

    def _live_once(self) -> bool:
        """One life; whether it was ever ready. Sets `reason`."""
        with self._lock:
            if self._stopping.is_set():
                return False
            child = self._child = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment,
                start_new_session=True,
            )  # fmt: skip
            self.starts += 1
            begun_with = self._settings
            self._say(child)
        assert child.stdin is not None and child.stdout is not None
        was_ready, self.reason = False, ""
        for line in child.stdout:
            row = _parsed(line)
            if "ready" in row:
                was_ready = True
                self._became_ready(begun_with, child)
            elif "changed" in row or "refused" in row:
                self._refusal = str(row.get("refused", ""))
                self._answered.set()
            elif isinstance(row.get("failed"), str):
                self.reason = row["failed"]
        code = child.wait()
        self.is_ready = False
        self.reason = self.reason or _ending(code)
        with suppress(OSError):
            child.stdin.close()
        child.stdout.close()
        return was_ready

    def _became_ready(self, begun_with: Mapping[str, Any], child: subprocess.Popen[str]) -> None:
        """The providers may have changed since it was told of them."""
        with self._lock:
            self.is_ready = self._was_ready = True
            if begun_with is self._settings:
                self._answered.set()
            else:
                self._say(child)
        self._decided.set()

    def _say(self, child: subprocess.Popen[str] | None) -> None:
        """The settings as they are now; with the lock held, so that lines come in their order."""
        if child is not None and child.stdin is not None:
            with suppress(OSError):
                child.stdin.write(json.dumps({**self._settings, "parent_pid": os.getpid()}) + "\n")
                child.stdin.flush()


def _parsed(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _ending(code: int) -> str:
    if code >= 0:
        return f"it ended with exit status {code}"
    return f"it was ended by {signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'}"
