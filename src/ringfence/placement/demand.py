"""What callers want of models that are not loaded: who waits, and who went elsewhere meanwhile.

Both make a model wanted. Who went elsewhere is gone, so that such a wish fades when nobody repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ringfence.core.ports import Clock
from ringfence.placement.planning import Demand

MISS_LASTS_S = 30.0
"""A caller who went elsewhere counts for so long; one who waits in the durable queue is counted anew every second."""
CLASSES = 3
"""User, agent, background."""
NEVER_S = float("-inf")


@dataclass(slots=True)
class _Wanted:
    """Of one model."""

    waiting: dict[object, float] = field(default_factory=dict[object, float])
    """Since when each caller waits, oldest first."""
    classes: list[int] = field(default_factory=lambda: [0] * CLASSES)
    """How many of each class wait."""
    missed_s: float = NEVER_S
    """When the last caller went elsewhere."""
    first_missed_s: float = 0.0
    missed_class: int = 0
    left_s: float = NEVER_S


class Wait:
    """One caller who waits; `end` may be called more than once."""

    __slots__ = ("_demands", "_model", "_urgency")

    def __init__(self, demands: Demands, model: str, urgency: int) -> None:
        self._demands = demands
        self._model = model
        self._urgency = urgency

    def end(self) -> None:
        self._demands.ended(self._model, self._urgency, self)


class Demands:
    """By model. `nudge` is called when a model is wanted that was not before, or more urgently."""

    def __init__(self, clock: Clock, nudge: Callable[[], None] = lambda: None) -> None:
        self.nudge = nudge
        self._clock = clock
        self._wanted: dict[str, _Wanted] = {}

    def nudged(self) -> None:
        """Whoever plans is to look soon."""
        self.nudge()

    def wait(self, model: str, urgency: int = 0) -> Wait:
        """A caller begins to wait."""
        wanted, urgency = self._of(model), min(max(urgency, 0), CLASSES - 1)
        wait = Wait(self, model, urgency)
        is_first = not any(wanted.classes[: urgency + 1])
        wanted.waiting[wait] = self._clock()
        wanted.classes[urgency] += 1
        if is_first:
            self.nudge()
        return wait

    def ended(self, model: str, urgency: int, wait: Wait) -> None:
        """It got what it waited for, gave up, or is gone."""
        wanted = self._wanted.get(model)  # it may have been forgotten
        if wanted is not None and wanted.waiting.pop(wait, None) is not None:
            wanted.classes[urgency] -= 1

    def miss(self, model: str, urgency: int = 0) -> None:
        """A caller went elsewhere, or comes again."""
        wanted, now_s = self._of(model), self._clock()
        if now_s - wanted.missed_s > MISS_LASTS_S:
            wanted.first_missed_s, wanted.missed_class = now_s, urgency
        wanted.missed_s, wanted.missed_class = now_s, min(wanted.missed_class, urgency)
        if wanted.first_missed_s == now_s:
            self.nudge()

    def met(self, model: str) -> None:
        """It is here: who went elsewhere before needs it no more."""
        if model in self._wanted:
            self._wanted[model].missed_s = NEVER_S

    def left(self, model: str) -> None:
        """It was here, and goes."""
        self._of(model).left_s = self._clock()

    def forget(self, model: str) -> None:
        """It is not configured any more; who waits for it was told."""
        self._wanted.pop(model, None)

    def waiting(self, model: str) -> int:
        """How many wait now."""
        return len(self._wanted[model].waiting) if model in self._wanted else 0

    def fades_s(self) -> float | None:
        """When the next wish fades by itself; None without one."""
        now_s = self._clock()
        fade = (each.missed_s + MISS_LASTS_S for each in self._wanted.values() if not each.waiting)
        return min((at_s for at_s in fade if at_s > now_s), default=None)

    def all(self) -> tuple[Demand, ...]:
        """As the planner wants them."""
        now_s = self._clock()
        found = (self._demand(model, wanted, now_s) for model, wanted in self._wanted.items())
        return tuple(each for each in found if each is not None)

    def _demand(self, model: str, wanted: _Wanted, now_s: float) -> Demand | None:
        missed = now_s - wanted.missed_s <= MISS_LASTS_S
        since = [next(iter(wanted.waiting.values()))] if wanted.waiting else []
        urgencies = [urgency for urgency, count in enumerate(wanted.classes) if count]
        if missed:
            since.append(wanted.first_missed_s)
            urgencies.append(wanted.missed_class)
        if not since:
            return None
        return Demand(model, max(1, len(wanted.waiting)), min(since), min(urgencies), wanted.left_s)

    def _of(self, model: str) -> _Wanted:
        wanted = self._wanted.get(model)
        if wanted is None:
            wanted = self._wanted[model] = _Wanted()
        return wanted
