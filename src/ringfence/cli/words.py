"""Words with their numbers, and lengths of time as they are typed."""

from __future__ import annotations

import re

UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def plural(count: int, word: str) -> str:
    """Such as '1 token' and '3 tokens'."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def length_s(text: str) -> int | None:
    """Of 45m, 24h, 7d, 8w, in seconds; None of anything else."""
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    return int(match[1]) * UNITS[match[2]] if match else None
