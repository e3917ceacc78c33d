"""Call ids: unique across restarts and processes, sortable by time to a second (the layout of UUIDv7, RFC 9562)."""

from __future__ import annotations

import os
from time import time_ns

FRESH_S = 1.0


class CallIds:
    """The front – 48 bits of Unix milliseconds, version, 26 random bits – is renewed every second; the tail counts."""

    def __init__(self) -> None:
        self._count = 0
        self._front = ""
        self._stale_at = 0.0

    def next(self, now_s: float) -> str:
        """`now_s` is monotonic."""
        if now_s >= self._stale_at:
            self._stale_at = now_s + FRESH_S
            ms, chance = f"{time_ns() // 1_000_000:012x}", os.urandom(3).hex()
            self._front = f"{ms[:8]}-{ms[8:]}-7{chance[:3]}-8{chance[3:]}-"
        self._count = count = self._count + 1
        return f"{self._front}{count:012x}"
