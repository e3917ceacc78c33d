"""What was seen of each target: failures in a row, the last reason, and whether it is cooling down."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.core.catalog import Target
from ringfence.core.ports import Clock

FAILURES_TO_COOL = 3
COOL_S = 2.0


@dataclass(slots=True)
class Seen:
    failures: int = 0
    reason: str = ""
    cool_until_s: float = 0.0


class Health:
    """Passive: it learns from requests alone. Active checks are the supervisor's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, Seen] = {}

    def record(self, target: Target, reason: str) -> None:
        seen = self._seen.setdefault(target.name, Seen())
        seen.failures += 1
        seen.reason = reason
        if seen.failures >= FAILURES_TO_COOL:
            seen.cool_until_s = self._clock() + COOL_S

    def succeed(self, target: Target) -> None:
        if target.name in self._seen:
            del self._seen[target.name]

    def is_usable(self, target: Target) -> bool:
        seen = self._seen.get(target.name)
        return seen is None or seen.cool_until_s <= self._clock()

    def of(self, target: Target) -> Seen:
        return self._seen.get(target.name) or Seen()
