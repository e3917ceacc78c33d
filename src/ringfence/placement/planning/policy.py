"""[pure] The figures by which the planner decides. Defaults for people; tests and small sites give others."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.placement.planning.state import Demand, Model, Residency

PATIENCE_OF_PRIORITY = (1.0, 1.0, 2.0, 4.0)
"""P0 to P3: what matters less waits longer for its turn, but it gets one."""
PATIENCE_OF_URGENCY = (1.0, 1.0, 2.0)
"""User, agent, background."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Against thrash: `dwell_s`, `dwell_loads`, `quiet_s`, `return_s`. Against starvation: `patience_s`."""

    dwell_s: float = 30.0
    """A model that became ready stays at least so long, unless the memory itself is taken away."""
    dwell_loads: float = 2.0
    """And at least so many times as long as its load took: most of the time is spent serving."""
    quiet_s: float = 5.0
    """A model that nobody used for so long gives way at once to one that is waited for."""
    patience_s: float = 60.0
    """One that waits longer is overdue: its turn comes next, in order of age, also before models in use."""
    return_s: float = 60.0
    """What left because memory ran out, or failed, is not tried again sooner."""
    lazy_idle_s: float = 600.0
    on_demand_idle_s: float = 60.0
    settle_s: float = 30.0
    """After so long an engine that sleeps holds what it is seen to hold."""
    drain_s: float = 30.0
    """How long streams are expected to go on; for estimates only."""
    large_bytes: int = 10_000_000_000
    """Two loads of this size and more do not run on one device at a time."""
    hot_c: float = 80.0
    """A hotter device takes only what is overdue."""
    busy_load: float = 0.85
    """A busier one takes only what is asked for; one that is not is better."""

    def dwell_of(self, model: Model) -> float:
        return max(self.dwell_s, self.dwell_loads * model.load_s)

    def patience_of(self, model: Model, demand: Demand) -> float:
        urgency = min(max(demand.urgency, 0), len(PATIENCE_OF_URGENCY) - 1)
        return self.patience_s * PATIENCE_OF_PRIORITY[model.priority] * PATIENCE_OF_URGENCY[urgency]

    def idle_of(self, model: Model) -> float | None:
        """How long it stays unused; None for one that stays until its room is needed."""
        if model.idle_s is not None:
            return model.idle_s
        if model.residency is Residency.LAZY:
            return self.lazy_idle_s
        return self.on_demand_idle_s if model.residency is Residency.ON_DEMAND else None
