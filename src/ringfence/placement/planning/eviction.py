"""[pure] Who gives way to whom, when at the earliest, and which of them it takes.

P0 never does; what is kept gives way only to what is kept as well, or leased. One that outranks another may have its
room once that has dwelt. Among the others one that nobody uses gives way after its dwell, and one in use when the want
is overdue: so requests for two models by turns are served in batches, and each gets its turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ringfence.placement.planning.capacity import GOING, Holder, Room, lease_bytes, stays_of
from ringfence.placement.planning.draft import NEVER, Draft
from ringfence.placement.planning.ranks import is_kept, is_protected
from ringfence.placement.planning.state import InstanceState, LeasePhase, Phase, TenantLease
from ringfence.placement.planning.wants import Tier, Want

AT_ONCE = float("-inf")
ACTIVE = (Phase.STARTING, Phase.READY)


@dataclass(slots=True)
class Victim:
    """One that can give way at `at_s`, and what of each device that gives. It may be possible later only although
    that time has come: one that starts is left to finish, except for tenants."""

    holder: InstanceState | TenantLease
    at_s: float
    is_possible: bool
    rank: int
    gives: dict[str, int]
    sleeps: bool = False


def displaceable_at(draft: Draft, want: Want, own_rank: int, holder: Holder) -> float:
    """When the want may have the holder's room; NEVER, if nothing but a change of state brings that about. The want's
    rank is that on the device where they meet."""
    if holder.is_asleep:
        return AT_ONCE
    if want.lease is not None:
        return AT_ONCE if own_rank < holder.rank else NEVER
    if holder.is_kept and want.tier > Tier.KEPT:  # it would have its room back at once, and both would come and go
        return NEVER
    if own_rank < holder.rank and want.tier is not Tier.DEFAULT:
        return holder.dwelt_s
    return NEVER if holder.is_kept else _in_turn(draft, want, holder, own_rank)


def _in_turn(draft: Draft, want: Want, holder: Holder, own_rank: int) -> float:
    """Of one that the want does not outrank, and that is not kept."""
    tier = want.tier
    if tier is Tier.OVERDUE or tier is Tier.ASKED:
        at_s = holder.dwelt_s if holder.dwelt_s > want.overdue_s else want.overdue_s
        return at_s if at_s < holder.quiet_s else holder.quiet_s
    if tier is Tier.DEFAULT:
        return _after_idling(draft, want, holder)
    return holder.dwelt_s if own_rank == holder.rank else NEVER


def _after_idling(draft: Draft, want: Want, holder: Holder) -> float:
    """The default of a slot displaces only what is in its slot, once nobody has used that for the slot's time."""
    slot = draft.slots.get(holder.model.slot)
    if slot is None or want.model is None or want.model.slot != slot.name or holder.quiet_s == NEVER:
        return NEVER
    return max(holder.dwelt_s, holder.instance.last_used_s + slot.idle_s)


def holder_of(draft: Draft, room: Room, instance: InstanceState) -> Holder | None:
    """None for one that gives way to nobody."""
    model, phase = draft.models.get(instance.model), instance.phase
    if model is None or is_protected(model) or phase in GOING:
        return None
    policy = draft.policy
    dwelt_s = instance.since_s + policy.dwell_of(model)
    if phase is Phase.STARTING:
        dwelt_s += model.load_s
    unused = phase is Phase.READY and not instance.running and instance.model not in draft.demands
    return Holder(
        instance,
        model,
        draft.rank(room, model),
        phase is Phase.SLEEPING,
        phase is Phase.STARTING,
        dwelt_s,
        max(dwelt_s, instance.last_used_s + policy.quiet_s) if unused else NEVER,
        is_kept(model, draft.state.mode),
        stays_of(instance, draft.now_s, policy),
    )


def _holders(draft: Draft, room: Room) -> list[Holder]:
    """All of a device that were not told to go and are promised to nobody: those that sleep, then the lowest first."""
    known, going, spoken = room.holders, draft.going, draft.spoken
    found: list[Holder] = []
    if known is None:
        if room.holders_at_first is None:
            each = [holder_of(draft, room, instance) for instance, _size in room.held]
            room.holders_at_first = sorted([one for one in each if one is not None], key=_lowest_first)
        known = room.holders_at_first
    for holder in known:
        name = holder.instance.id
        if name not in going and name not in spoken:
            found.append(holder)
    if len(found) == len(known) and room.holders is not None:
        return known
    device = room.state.device.id
    room.holders = found
    room.movable_bytes = sum([holder.gives.get(device, 0) for holder in found])
    if room.leases:
        room.movable_bytes += sum(lease_bytes(lease) for lease in room.leases)
    return found


def _lowest_first(holder: Holder) -> tuple[bool, int, float]:
    return not holder.is_asleep, -holder.rank, holder.instance.last_used_s


def _is_taken(draft: Draft, name: str) -> bool:
    return name in draft.going or name in draft.spoken


def in_slot(draft: Draft, want: Want) -> list[InstanceState]:
    """The other instances in the want's swap slot, in whatever phase they take it."""
    if want.model is None or not want.model.slot:
        return []
    return [
        instance
        for name in draft.slotted[want.model.slot]
        if name != want.name
        for instance in draft.instances.get(name, ())
        if instance.phase is not Phase.SLEEPING
    ]


def victims_for(draft: Draft, want: Want, needs: dict[str, int], may_sleep: bool) -> list[Victim] | None:
    """Those who have to go so that there is room, the lowest first; None when even all of them are not enough."""
    chosen: dict[str, Victim] = {}
    short = {device: need - draft.rooms[device].free_soon for device, need in needs.items()}
    others = in_slot(draft, want)
    for instance in others:
        if instance.phase in ACTIVE and instance.id not in draft.going:
            victim = _of_slot(draft, want, instance, may_sleep)
            if victim is None:
                return None
            chosen[instance.id] = victim
            _give(short, victim)
    for device in needs:
        if short[device] <= 0:
            continue
        room = draft.rooms[device]
        holders = _holders(draft, room)
        if short[device] > room.movable_bytes:
            return None
        for victim in candidates(draft, want, room, holders, may_sleep):
            if victim.holder.id not in chosen:
                chosen[victim.holder.id] = victim
                _give(short, victim)
                if short[device] <= 0:
                    break
        else:
            return None
    found = list(chosen.values())
    return found if len(found) == 1 else _needed(found, short, {instance.id for instance in others})


def candidates(draft: Draft, want: Want, room: Room, holders: list[Holder], may_sleep: bool) -> Iterator[Victim]:
    """All of a device that can ever give way to the want: those that can now, then by time; the lowest first."""
    own_rank, now_s = want.rank(draft, room), draft.now_s
    if want.lease is not None or room.leases:
        at_once: list[Victim] = []
        rest: list[Holder] = []
        for holder in holders:
            if displaceable_at(draft, want, own_rank, holder) > AT_ONCE:
                rest.append(holder)
            elif holder.instance is not want.sleeper:
                at_once.append(_victim(draft, holder, AT_ONCE, True, may_sleep))
        at_once += [_of_tenant(draft, room, lease) for lease in room.leases if _yields(draft, room, lease, own_rank)]
        yield from sorted(at_once, key=_lowest)
        holders = rest
    later: list[tuple[float, Holder]] = []
    waits_for_start = want.lease is None
    for holder in holders:
        at_s = displaceable_at(draft, want, own_rank, holder)
        if at_s == NEVER or holder.instance is want.sleeper:
            continue
        if at_s > now_s or (holder.is_starting and waits_for_start):
            later.append((at_s, holder))
        else:
            yield _victim(draft, holder, at_s, True, may_sleep)
    later.sort(key=_time)
    for at_s, _holder in later:
        draft.wake(at_s)
    for at_s, holder in later:
        yield _victim(draft, holder, at_s, False, may_sleep)


def _lowest(victim: Victim) -> tuple[int, float]:
    return -victim.rank, victim.holder.last_used_s if isinstance(victim.holder, InstanceState) else AT_ONCE


def _time(each: tuple[float, Holder]) -> float:
    return each[0]


def _victim(draft: Draft, holder: Holder, at_s: float, is_possible: bool, may_sleep: bool) -> Victim:
    asleep = draft.asleep_of(holder.instance) if may_sleep and holder.model.can_sleep else None
    gives = holder.gives
    if asleep:
        gives = {device: size_bytes - asleep.get(device, 0) for device, size_bytes in gives.items()}
    return Victim(holder.instance, at_s, is_possible, holder.rank, gives, asleep is not None)


def _of_slot(draft: Draft, want: Want, instance: InstanceState, may_sleep: bool) -> Victim | None:
    room = next((draft.rooms[claim.device] for claim in instance.claims if claim.device in draft.rooms), None)
    if room is None or _is_taken(draft, instance.id):
        return None
    holder = holder_of(draft, room, instance)
    at_s = displaceable_at(draft, want, want.rank(draft, room), holder) if holder is not None else NEVER
    if holder is None or at_s == NEVER:
        return None
    possible = at_s <= draft.now_s and (want.lease is not None or not holder.is_starting)
    return _victim(draft, holder, at_s, possible, may_sleep)


def _yields(draft: Draft, room: Room, lease: TenantLease, own_rank: int) -> bool:
    """A tenant gives way at once to whatever outranks it."""
    if lease.phase is not LeasePhase.HELD or lease.until_s <= draft.now_s or _is_taken(draft, lease.id):
        return False
    return own_rank < draft.lease_rank(room, lease)


def _of_tenant(draft: Draft, room: Room, lease: TenantLease) -> Victim:
    return Victim(lease, AT_ONCE, True, draft.lease_rank(room, lease), {lease.device: lease_bytes(lease)})


def _give(short: dict[str, int], victim: Victim) -> None:
    for device, size_bytes in victim.gives.items():
        if device in short:
            short[device] -= size_bytes


def _needed(chosen: list[Victim], short: dict[str, int], slot: Collection[str]) -> list[Victim]:
    """Without those that are not needed beside the others; spared are first those that cannot go yet, then the dear.
    Those of its slot (by their ids) are needed whatever they hold."""
    kept: list[Victim] = []
    for victim in sorted(chosen, key=_spared_first):
        spare = all(short[device] + size <= 0 for device, size in victim.gives.items() if device in short)
        if spare and victim.holder.id not in slot:
            for device, size_bytes in victim.gives.items():
                if device in short:
                    short[device] += size_bytes
        else:
            kept.append(victim)
    return kept[::-1]


def _spared_first(victim: Victim) -> tuple[bool, int]:
    return victim.is_possible, victim.rank
