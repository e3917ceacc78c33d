"""[pure] Everything that wants memory and does not have it, in the order in which it is looked at.

1. P0. 2. What is kept (always resident, of the mode) and tenants, by rank. 3. Models whose callers wait longer than
their patience, first overdue first. 4. Others that callers wait for, by rank, class and age. 5. Defaults of slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ringfence.placement.planning.capacity import Room
from ringfence.placement.planning.draft import NEVER, Draft
from ringfence.placement.planning.ranks import is_kept, is_protected
from ringfence.placement.planning.state import (
    Demand,
    InstanceState,
    LeasePhase,
    Model,
    Phase,
    Share,
    Site,
    TenantLease,
)  # fmt: skip


class Tier(IntEnum):
    """How a want stands to the others."""

    PROTECTED = 0
    KEPT = 1
    OVERDUE = 2
    ASKED = 3
    DEFAULT = 4


@dataclass(slots=True)
class Want:
    """One model or one lease. `overdue_s` is when it may displace what is in use; never, for what nobody waits for."""

    name: str
    tier: Tier
    since_s: float
    sites: tuple[Site, ...]
    takes_s: float
    overdue_s: float = NEVER
    urgency: int = 0
    model: Model | None = None
    lease: TenantLease | None = None
    sleeper: InstanceState | None = None
    is_asked: bool = False
    had_turn: bool = False
    """It was here a moment ago: others whose patience holds go first, also those for whom it made room."""

    @property
    def reserves(self) -> bool:
        """Room that it cannot have yet is kept free for it."""
        return self.tier <= Tier.OVERDUE

    def rank(self, draft: Draft, room: Room) -> int:
        if self.lease is not None:
            return draft.lease_rank(room, self.lease)
        assert self.model is not None
        return draft.rank(room, self.model)


def wants_of(draft: Draft) -> list[Want]:
    """All of them in order. Those that rest, or that are outside their hours, are answered here."""
    found = [_lease_want(draft, lease) for lease in draft.state.leases if lease.phase is LeasePhase.ASKED]
    mode = draft.state.mode
    for model in draft.wanted.to_be_here:
        known = draft.instances.get(model.name)
        if known is None or known[0].phase is Phase.SLEEPING:
            found.append(_model_want(draft, model))
    for name in draft.demands:
        if name not in draft.models:
            draft.refuse(name, "no model of this name is wanted here")
    for slot in draft.state.slots:
        default = draft.models.get(slot.default)
        if default is not None and default.name not in draft.demands and not is_kept(default, mode):
            found.append(_model_want(draft, default))
    return sorted((want for want in found if want is not None), key=lambda want: _key(draft, want))


def _key(draft: Draft, want: Want) -> tuple[float, ...] | tuple[float | str, ...]:
    if want.tier is Tier.OVERDUE:
        return want.tier, False, want.overdue_s, 0, want.since_s, want.name
    room = draft.rooms.get(want.sites[0].shares[0].device) if want.sites and want.sites[0].shares else None
    rank = want.rank(draft, room) if room is not None else 0
    return want.tier, want.had_turn, rank, want.urgency, want.since_s, want.name


def _lease_want(draft: Draft, lease: TenantLease) -> Want | None:
    draft.wake(lease.until_s)
    if lease.until_s <= draft.now_s:
        draft.refuse(lease.id, "its time is over")
        return None
    if not lease.window.is_open:
        _shut(draft, lease.id, lease.window.changes_s, 0.0)
        return None
    site = Site((Share(lease.device, max(0, lease.leased_bytes - lease.used_bytes)),))
    return Want(lease.id, Tier.KEPT, lease.since_s, (site,), 0.0, lease=lease, is_asked=True)


def _model_want(draft: Draft, model: Model) -> Want | None:
    """None for one that is here, on its way, or may not come."""
    sleeper: InstanceState | None = None
    for instance in draft.instances.get(model.name, ()):
        if instance.id in draft.going or instance.phase is not Phase.SLEEPING:
            return None  # `outcomes` tells those who wait for it
        if instance.site is None:
            draft.refuse(model.name, "it sleeps, and nothing says what it takes when awake")
            return None
        sleeper = instance
    if not model.window.is_open and not is_protected(model):
        _shut(draft, model.name, model.window.changes_s, model.load_s)
        return None
    rest = draft.rests.get(model.name)
    if rest is not None:
        draft.wake(rest.until_s)
        draft.wait(model.name, f"it rests, because {rest.why}", rest.until_s + model.load_s)
        return None
    demand = draft.demands.get(model.name)
    kept = is_kept(model, draft.state.mode)
    since_s = demand.since_s if demand is not None else 0.0
    overdue_s = demand.since_s + draft.policy.patience_of(model, demand) if demand is not None else NEVER
    if is_protected(model):
        tier = Tier.PROTECTED
    elif kept:
        tier = Tier.KEPT
    elif demand is None:
        tier = Tier.DEFAULT
    else:
        draft.wake(overdue_s)
        tier = Tier.OVERDUE if overdue_s <= draft.now_s else Tier.ASKED
    sites = (sleeper.site,) if sleeper and sleeper.site else model.sites
    return Want(
        name=model.name,
        tier=tier,
        since_s=since_s,
        sites=sites,
        takes_s=model.wake_s if sleeper is not None else model.load_s,
        overdue_s=overdue_s,
        urgency=demand.urgency if demand is not None else 0,
        model=model,
        sleeper=sleeper,
        is_asked=demand is not None,
        had_turn=demand is not None and _had_turn(draft, demand),
    )


def _had_turn(draft: Draft, demand: Demand) -> bool:
    until_s = demand.left_s + draft.policy.patience_s
    draft.wake(until_s)
    return draft.now_s < until_s


def _shut(draft: Draft, name: str, opens_s: float | None, takes_s: float) -> None:
    draft.wake(opens_s)
    if opens_s is None:
        draft.refuse(name, "it is outside its hours")
    else:
        draft.wait(name, "it is outside its hours", opens_s + takes_s)
