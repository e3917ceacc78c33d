"""How a cap stands: what is spent and held of it, whether its owner is to be told, and told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ringfence.core.catalog import Target
from ringfence.core.identity import Key
from ringfence.core.money import Period, Scope
from ringfence.telemetry.events import BudgetOverrun, BudgetSoftReached, CostAboveHeld

EARLY = 0.1
"""So much of a period is too little to tell by how it will end."""
AHEAD = 1.2
"""At this pace it would end so far above its cap, or further."""


@dataclass(slots=True, eq=False)
class Total:
    """Of one scope in one period, in micro-dollars. `restored` is what was spent before the start; `soft_at` and
    `ahead_at` are the caps for which its owner was told already."""

    spent: int = 0
    held: int = 0
    restored: int = 0
    soft_at: int = -1
    ahead_at: int = -1


class Standing(NamedTuple):
    """One cap as it is now, in micro-dollars; `limit` None where nothing is capped. Times in Unix seconds."""

    scope: Scope
    period: Period
    limit: int | None
    spent: int
    held: int
    soft_percent: int
    start_s: int
    end_s: int
    now_s: float

    @property
    def is_soft(self) -> bool:
        """What costs nothing goes first."""
        return self.limit is not None and self.spent >= threshold(self.limit, self.soft_percent)

    @property
    def projected(self) -> int | None:
        """What will be spent when it ends, at the pace up to now; None while it is too early to tell."""
        gone = (self.now_s - self.start_s) / (self.end_s - self.start_s)
        return round(self.spent / min(gone, 1.0)) if gone >= EARLY else None

    @property
    def is_ahead(self) -> bool:
        """At this pace, its cap would be exceeded by more than 20 %."""
        projected = self.projected
        return bool(self.limit) and projected is not None and projected > AHEAD * (self.limit or 0)


class Alarms:
    """Tells once in a period of a cap, and of no cap again after a restart that was told before it."""

    def __init__(self) -> None:
        self.tell: Callable[[object], None] = lambda _event: None
        self.above_held: dict[str, CostAboveHeld] = {}
        """By provider: the last call of today that cost more than was held for it."""
        self._day_s = 0

    def look(self, total: Total, key: Key, now: Standing) -> None:
        """`now` is how `total` stands after something was spent."""
        limit = now.limit or 0
        name = key.name if now.scope.kind == "key" else now.scope.name
        if now.is_soft and total.soft_at != limit:
            total.soft_at = limit
            if total.restored < threshold(limit, now.soft_percent):
                self.tell(BudgetSoftReached(now.scope.kind, name, now.period.value, limit, now.spent))
        projected = now.projected
        if projected is not None and now.is_ahead and total.ahead_at != limit:
            total.ahead_at = limit
            if not now._replace(spent=total.restored).is_ahead:
                self.tell(BudgetOverrun(now.scope.kind, name, now.period.value, limit, now.spent, projected))

    def above(self, target: Target, held: int, cost: int, day_s: int) -> None:
        """A provider says that a call has cost more than it could: told once a day of each."""
        if day_s > self._day_s:
            self._day_s = day_s
            self.above_held.clear()
        is_first = target.provider not in self.above_held
        event = self.above_held[target.provider] = CostAboveHeld(target.provider, target.name, held, cost)
        if is_first:
            self.tell(event)


def threshold(limit: int, soft_percent: int) -> int:
    """From so many micro-dollars on, rounded up."""
    return -(-limit * soft_percent // 100)
