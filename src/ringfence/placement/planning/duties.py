"""[pure] What has to go whoever wants its room: what failed, was drained, may not be there, or when memory runs low."""

from __future__ import annotations

from ringfence.placement.planning.actions import Cause
from ringfence.placement.planning.capacity import Room
from ringfence.placement.planning.draft import Draft
from ringfence.placement.planning.ranks import is_kept, is_protected
from ringfence.placement.planning.state import (
    ALWAYS_OPEN,
    InstanceState,
    LeasePhase,
    Model,
    Phase,
    Residency,
    TenantLease,
    Then,
)  # fmt: skip

SHEDDABLE = (Phase.READY, Phase.STARTING, Phase.SLEEPING)


def clear(draft: Draft) -> None:
    """What failed or was drained, and what may not be where it is. P0 stays, whatever is the matter with its device."""
    mode = draft.state.mode
    barred = set(mode.devices) if mode is not None else set[str]()
    barred |= {name for name, room in draft.rooms.items() if room.state.out_of_service}
    for instance in draft.state.instances:
        if instance.phase is Phase.READY or instance.phase is Phase.STARTING:
            model = draft.models.get(instance.model)
            if barred or model is None or model.window is not ALWAYS_OPEN:  # hardly ever
                _clear_settled(draft, instance, barred)
        elif instance.phase is Phase.SLEEPING:
            _clear_settled(draft, instance, barred)
        elif instance.phase is Phase.FAILED:
            draft.leave(instance, Cause.FAILED, "it failed: what is left of it is cleared away", may_sleep=False)
        elif instance.phase is Phase.DRAINING and not instance.running:
            draft.leave(instance, Cause.DRAINED, "nobody uses it any more", may_sleep=instance.then is Then.SLEEP)
    for lease in draft.state.leases:
        if lease.phase is not LeasePhase.ASKED:
            _clear_lease(draft, lease)


def _clear_settled(draft: Draft, instance: InstanceState, barred: set[str]) -> None:
    model = draft.models.get(instance.model)
    if model is None:
        draft.leave(instance, Cause.REMOVED, "nobody wants this model here any more", may_sleep=False)
        return
    if model.window is not ALWAYS_OPEN:
        draft.wake(model.window.changes_s)
        if not model.window.is_open and not is_protected(model):
            draft.leave(instance, Cause.WINDOW, "it is outside its hours", may_sleep=False)
            return
    if instance.phase is Phase.SLEEPING:
        draft.wake(instance.since_s + draft.policy.settle_s)
    if barred and not is_protected(model) and any(claim.device in barred for claim in instance.claims):
        _clear_barred(draft, instance, model)


def _clear_barred(draft: Draft, instance: InstanceState, model: Model) -> None:
    for claim in instance.claims:
        room = draft.rooms.get(claim.device)
        if room is not None and room.state.out_of_service:
            reason = f"{claim.device} is out of service: {room.state.out_of_service}"
            draft.leave(instance, Cause.DEVICE, reason, may_sleep=False)
            return
    mode = draft.state.mode
    if mode is not None and model.name not in mode.members:
        draft.leave(instance, Cause.MODE, f"mode {mode.name} has the device for itself", may_sleep=False)


def _clear_lease(draft: Draft, lease: TenantLease) -> None:
    draft.wake(lease.until_s)
    draft.wake(lease.window.changes_s)
    mode, room = draft.state.mode, draft.rooms.get(lease.device)
    if lease.phase is LeasePhase.RECALLED:
        draft.wake(lease.since_s + draft.policy.drain_s)
    elif room is None or lease.until_s <= draft.now_s:
        return
    elif not lease.window.is_open:
        draft.recall(lease, "it is outside its hours")
    elif mode is not None and lease.device in mode.devices and lease.tenant not in mode.members:
        draft.recall(lease, f"mode {mode.name} has the device for itself")


def relieve(draft: Draft) -> None:
    """Where free memory is below the threshold the lowest leave, until it is not."""
    for name, room in draft.rooms.items():
        if room.short_bytes <= 0:
            continue
        reason = f"free memory of {name} is below its threshold"
        for holder in _lowest_first(draft, room):
            if isinstance(holder, TenantLease):
                draft.recall(holder, reason)
            else:
                draft.leave(holder, Cause.PRESSURE, reason, may_sleep=_gives(draft, holder, name))
            if room.short_bytes <= 0:
                break


def _gives(draft: Draft, instance: InstanceState, device: str) -> bool:
    """Asleep it would hold less of this device."""
    asleep = draft.asleep_of(instance)
    held = sum(claim.claimed_bytes for claim in instance.claims if claim.device == device)
    return asleep is not None and asleep.get(device, 0) * 2 < held


def _lowest_first(draft: Draft, room: Room) -> list[InstanceState | TenantLease]:
    ordered: list[tuple[tuple[float, ...], InstanceState | TenantLease]] = []
    for instance, size_bytes in room.held:
        model = draft.models.get(instance.model)
        if model is None or is_protected(model) or instance.id in draft.going or not size_bytes:
            continue
        if instance.phase in SHEDDABLE:
            asleep = instance.phase is Phase.SLEEPING
            order = (not asleep, -draft.rank(room, model), instance.running > 0, instance.last_used_s)
            ordered.append((order, instance))
    for lease in room.leases:
        if lease.phase is LeasePhase.HELD and lease.id not in draft.going and lease.until_s > draft.now_s:
            ordered.append(((True, -draft.lease_rank(room, lease), True, lease.since_s), lease))
    return [holder for _order, holder in sorted(ordered, key=lambda each: each[0])]


def rest_idle(draft: Draft) -> None:
    """What nobody has used for its time goes, to sleep where it can."""
    mode, now_s, policy = draft.state.mode, draft.now_s, draft.policy
    for instance in draft.state.instances:
        if instance.running or instance.phase is not Phase.READY or instance.model in draft.demands:
            continue
        model = draft.models.get(instance.model)
        if model is None or instance.id in draft.going:
            continue
        if model.residency is Residency.ALWAYS or is_protected(model) or is_kept(model, mode):
            continue
        idle_s = policy.idle_of(model)
        slot = draft.slots.get(model.slot)
        if idle_s is None or (slot is not None and slot.default == model.name):
            continue
        dwelt_s = instance.since_s + policy.dwell_of(model)
        due_s = max(dwelt_s, instance.since_s + idle_s, instance.last_used_s + idle_s)
        if due_s <= now_s:
            draft.leave(instance, Cause.IDLE, f"nobody has used it for {idle_s:g} s", may_sleep=True)
        else:
            draft.wake(due_s)
