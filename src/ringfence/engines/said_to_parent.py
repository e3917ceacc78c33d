"""What the process of an engine says to the one that started it: lines of JSON on standard output."""

from __future__ import annotations

import json
import os
import sys
from typing import NoReturn


def say(line: dict[str, object]) -> None:
    """One line, at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def fail(reason: str) -> NoReturn:
    """Say why, and end with status 1, whatever other threads still do."""
    say({"error": reason})
    sys.stderr.flush()
    os._exit(1)
