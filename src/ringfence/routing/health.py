"""What was seen of each target: failures in a row, the last reason, and whether it is cooling down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ringfence.core.catalog import Target
from ringfence.core.ports import Clock

FAILURES_TO_COOL = 3
FAILURES_TO_DOUBT = 3
BROKEN = frozenset(("lost", "stalled", "first_byte_timeout", "malformed"))
"""Outcomes of answers that their engine broke off."""
COOL_S = 2.0


@dataclass(slots=True)
class Seen:
    failures: int = 0
    reason: str = ""
    cool_until_s: float = 0.0


class Keeps(Protocol):
    """Who keeps the engines behind targets, and looks at one when told."""

    def failed(self, target: Target, reason: str) -> None:
        """A connection to it broke."""
        ...

    def doubt(self, target: Target) -> None:
        """Several of its answers in a row could not be used."""
        ...


class Health:
    """Passive: it learns from requests alone, and tells `keeper` where that gives reason to look. Active checks are the
    supervisor's."""

    def __init__(self, clock: Clock, keeper: Keeps | None = None) -> None:
        self._clock = clock
        self._keeper = keeper
        self._seen: dict[str, Seen] = {}
        self._broken: dict[str, int] = {}

    def record(self, target: Target, reason: str) -> None:
        seen = self._seen.setdefault(target.name, Seen())
        seen.failures += 1
        seen.reason = reason
        if seen.failures >= FAILURES_TO_COOL:
            seen.cool_until_s = self._clock() + COOL_S
        if seen.failures % FAILURES_TO_DOUBT == 0:
            self._doubt(target)

    def ended(self, target: Target | None, outcome: str) -> None:
        """How an answer ended that had begun: one may begin well each time, and never be whole."""
        if target is None:
            return
        if outcome in BROKEN:
            count = self._broken[target.name] = self._broken.get(target.name, 0) + 1
            if self._keeper is not None:
                self._keeper.failed(target, outcome)
            if count % FAILURES_TO_DOUBT == 0:
                self._doubt(target)
        elif outcome == "ok" and self._broken:
            self._broken.pop(target.name, None)

    def _doubt(self, target: Target) -> None:
        if self._keeper is not None:
            self._keeper.doubt(target)

    def succeed(self, target: Target) -> None:
        if target.name in self._seen:
            del self._seen[target.name]

    def is_usable(self, target: Target) -> bool:
        seen = self._seen.get(target.name)
        return seen is None or seen.cool_until_s <= self._clock()

    def of(self, target: Target) -> Seen:
        return self._seen.get(target.name) or Seen()
