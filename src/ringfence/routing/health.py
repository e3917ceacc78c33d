"""What was seen of each target: failures in a row, the last reason, and whether it is set aside.

Passive: it learns from requests alone, and tells `keeper` where that gives reason to look. Active checks are the
supervisor's. Of a target that never failed nothing is kept, and nothing is paid for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ringfence.core.catalog import Target
from ringfence.core.ports import Clock, Emit
from ringfence.routing.breaker import Breaker, Standing
from ringfence.telemetry.events import TargetReturned, TargetSetAside

FAILURES_TO_DOUBT = 3
BREAKS_TO_OPEN = 3
BROKEN = frozenset(("lost", "stalled", "first_byte_timeout", "malformed"))
"""Outcomes of answers that their engine broke off."""
SILENT = frozenset(("stalled", "first_byte_timeout"))
"""Reasons for which a call has waited long."""
FREE = 1
"""What `enter` returns for a target that is not probed; numbers of probes come after it."""
log = logging.getLogger("ringfence.health")


@dataclass(slots=True)
class Seen:
    failures: int = 0
    reason: str = ""


class Keeps(Protocol):
    """Who keeps the engines behind targets, and looks at one when told."""

    def failed(self, target: Target, reason: str) -> None:
        """A connection to it broke."""
        ...

    def doubt(self, target: Target) -> None:
        """Several of its answers in a row could not be used."""
        ...


class Health:
    """A breaker for each target that failed, until it has long been well; `routing.chain.walk` asks it."""

    def __init__(self, clock: Clock, keeper: Keeps | None = None, emit: Emit = lambda _event: None) -> None:
        self.now = clock
        self._keeper = keeper
        self._emit = emit
        self._seen: dict[str, Seen] = {}
        self._broken: dict[str, int] = {}
        self._breakers: dict[str, Breaker] = {}
        self._slow: set[str] = set()

    # -- what is seen -------------------------------------------------------------------------------------------------

    def record(self, target: Target, reason: str, later_s: float | None = None) -> None:
        """A try came to nothing by the target's fault; `later_s` is how long it asks not to be asked."""
        now_s, breaker = self.now(), self._breaker(target)
        seen = self._seen.setdefault(target.name, Seen())
        seen.failures += 1
        seen.reason = reason
        is_opened = breaker.failed(now_s, is_silent=reason in SILENT)
        if later_s is not None:
            is_opened = breaker.told(now_s, later_s) or is_opened
        self._tell(target, breaker, reason, is_opened)
        if seen.failures % FAILURES_TO_DOUBT == 0:
            self._doubt(target)

    def succeed(self, target: Target) -> None:
        """It answered: the first byte is here."""
        if target.name in self._breakers:
            self._succeeded(target, self._breakers[target.name])

    def slow(self, target: Target) -> None:
        """Its answer that comes next came later than is good: told before `succeed`."""
        self._breaker(target)
        self._slow.add(target.name)

    def ended(self, target: Target | None, outcome: str) -> None:
        """How an answer ended that had begun: one may begin well each time, and never be whole."""
        if target is None:
            return
        if outcome in BROKEN:
            count = self._broken[target.name] = self._broken.get(target.name, 0) + 1
            if self._keeper is not None:
                self._keeper.failed(target, outcome)
            if count >= BREAKS_TO_OPEN:
                breaker = self._breaker(target)
                self._tell(target, breaker, outcome, breaker.broke(self.now()))
            if count % FAILURES_TO_DOUBT == 0:
                self._doubt(target)
        elif outcome == "ok" and self._broken:
            self._broken.pop(target.name, None)

    # -- what follows from it -----------------------------------------------------------------------------------------

    def is_plain(self, target: Target) -> bool:
        return target.name not in self._breakers

    def is_usable(self, target: Target) -> bool:
        """Whether it is asked as any other, or may be probed."""
        breaker = self._breakers.get(target.name)
        if breaker is None:
            return True
        now_s = self.now()
        return breaker.standing(now_s) is Standing.CLOSED or breaker.may_probe(now_s)

    def is_closed_off(self, target: Target) -> bool:
        """Whether it is not to be tried even where nothing else is left: it asked for time, or keeps who asks it
        waiting for nothing."""
        breaker = self._breakers.get(target.name)
        if breaker is None or not (breaker.is_silent or breaker.is_told):
            return False
        return not self.is_usable(target)

    def is_set_aside(self, target: Target) -> bool:
        """Whether it is not even to be probed yet."""
        breaker = self._breakers.get(target.name)
        return breaker is not None and breaker.standing(self.now()) is Standing.OPEN

    def enter(self, target: Target, *, is_last: bool) -> int:
        """As `routing.chain.Gate`: one call at a time probes; where nothing else is left, whatever answers quickly is
        tried as well."""
        breaker = self._breakers.get(target.name)
        if breaker is None:
            return FREE
        now_s = self.now()
        if breaker.standing(now_s) is Standing.CLOSED:
            return FREE
        probe = breaker.probe(now_s)
        if probe:
            return FREE + probe
        return FREE if is_last and not breaker.is_silent else 0

    def leave(self, target: Target, entered: int) -> None:
        breaker = self._breakers.get(target.name) if entered > FREE else None
        if breaker is not None:
            breaker.unprobe(entered - FREE)

    def of(self, target: Target) -> Seen:
        return self._seen.get(target.name) or Seen()

    def standing(self, target: Target) -> tuple[Standing, float]:
        """How it stands, and in how many seconds it may be probed."""
        breaker = self._breakers.get(target.name)
        return (breaker.standing(self.now()), breaker.left_s(self.now())) if breaker else (Standing.CLOSED, 0.0)

    def set_aside_s(self, target: Target) -> float | None:
        """Seconds until it may be probed, 0 while it is; None of one that is not set aside."""
        standing, left_s = self.standing(target)
        return None if standing is Standing.CLOSED else round(left_s, 1)

    def soonest_s(self, targets: Iterable[Target]) -> float:
        """In how many seconds the first of them is worth another try; a second at least."""
        return max(1.0, min((self.standing(target)[1] for target in targets), default=0.0))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _breaker(self, target: Target) -> Breaker:
        found = self._breakers.get(target.name)
        if found is None:
            found = self._breakers[target.name] = Breaker()
        return found

    def _succeeded(self, target: Target, breaker: Breaker) -> None:
        now_s = self.now()
        self._seen.pop(target.name, None)
        if target.name in self._slow:
            self._slow.discard(target.name)
            self._tell(target, breaker, "slow", breaker.dragged(now_s))
            return
        since_s = breaker.since_s
        if breaker.succeeded(now_s):
            log.info("%s answers again, after %.1f s", target.name, now_s - since_s)
            self._emit(TargetReturned(target.name, now_s - since_s))
        if breaker.is_quiet(now_s):
            del self._breakers[target.name]

    def _tell(self, target: Target, breaker: Breaker, reason: str, is_opened: bool) -> None:
        if is_opened:
            for_s = breaker.left_s(self.now())
            log.info("%s is set aside for %.0f s: %s", target.name, for_s, reason)
            self._emit(TargetSetAside(target.name, reason, for_s))

    def _doubt(self, target: Target) -> None:
        if self._keeper is not None:
            self._keeper.doubt(target)
