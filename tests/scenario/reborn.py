"""A gateway process that is killed and comes back within moments: what it is made of is loaded once, and forked.

    python reborn.py CONFIG

Each line that it reads starts the gateway anew, as `ringfence serve` would; it tells the pid. It ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ringfence.runtime import parts, process


def main(config: str) -> None:
    for _ in sys.stdin:
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os._exit(process.run(process.Spec(config), _say))
        _say({"pid": pid})
        os.waitpid(pid, 0)
        _say({"ended": pid})


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


class Reborn:
    """The process that forks, seen from the test."""

    def __init__(self, config: Path, env: dict[str, str], log: Path) -> None:
        self.pid = 0
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(config)], env=env, text=True, stderr=errors,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip

    def start(self) -> None:
        """Does not wait until it is ready."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self.pid = self._told("pid")["pid"]

    def until_ready(self) -> dict[str, Any]:
        return dict(self._told("ready")["ready"])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._told("ended")

    def end(self) -> None:
        """For good, and in order where it still runs."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            self._process.communicate(timeout=30)

    def _told(self, word: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            assert "failed" not in said, said
            if word in said:
                return said
        raise AssertionError(f"it never told {word}")


if __name__ == "__main__":
    assert parts.Runtime
    main(sys.argv[1])
