"""[pure] Where a want could go, how soon, and who has to go for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ringfence.placement.planning.capacity import gib, sizes
from ringfence.placement.planning.draft import Draft
from ringfence.placement.planning.eviction import Victim, in_slot, victims_for
from ringfence.placement.planning.state import InstanceState, Phase, Site
from ringfence.placement.planning.wants import Tier, Want


class When(IntEnum):
    """How soon a site can be had."""

    NOW = 0
    LEAVING = 1
    EVICTING = 2
    LATER = 3


@dataclass(slots=True)
class Option:
    """One site, when it can be had, and who has to go for that."""

    site: Site
    needs: dict[str, int]
    when: When
    at_s: float
    victims: tuple[Victim, ...] = ()


@dataclass(slots=True)
class Finding:
    """The best way to place a want; None, and why, when there is none."""

    option: Option | None
    why: str = ""


def look(draft: Draft, want: Want) -> Finding:
    """At each of its sites: the first that is free now, else the one that can be had soonest."""
    best: Option | None = None
    failed: tuple[str, dict[str, int]] = "nothing says where it may run", {}
    for site in _in_order(draft, want):
        needs = _needs(want, site)
        barred = _barred(draft, want, needs)
        option = None if barred else option_for(draft, want, site, needs, best)
        if option is None:
            failed = barred, needs
        elif best is None or (option.when, option.at_s) < (best.when, best.at_s):
            best = option
            if option.when is When.NOW:
                break
    if best is not None:
        return Finding(best)
    why, needs = failed
    return Finding(None, why or _why_not(draft, needs))


def option_for(draft: Draft, want: Want, site: Site, needs: dict[str, int], best: Option | None) -> Option | None:
    """How soon the want could have this site; None if time and turns do not bring that about, or not sooner than they
    bring about the best so far."""
    others = in_slot(draft, want)
    in_use = [each for each in others if each.id not in draft.going and each.phase in (Phase.READY, Phase.STARTING)]
    taken_s = draft.taken_slots.get(want.model.slot) if want.model is not None else None
    cools = want.tier is Tier.ASKED and any(device in draft.hot for device in needs)
    if taken_s is not None or cools:
        return Option(site, needs, When.LATER, max(want.overdue_s, taken_s or 0.0)) if want.is_asked else None
    waits = None if in_use else _waits(draft, want, needs)
    if waits is not None:
        waits += [leaves_s(draft, each) for each in others]
        return Option(site, needs, When.LEAVING if waits else When.NOW, max(waits, default=draft.now_s))
    if best is not None and best.when is not When.LATER:
        return None
    return _by_displacing(draft, want, site, needs)


def _waits(draft: Draft, want: Want, needs: dict[str, int]) -> list[float] | None:
    """When what is in the way should be over, if nobody else has to go; None if somebody has."""
    waits: list[float] = []
    for device, need in needs.items():
        room = draft.rooms[device]
        if need > room.free_soon:
            return None
        if need > room.free_now:
            waits.append(room.soon_s)
        if room.large_until_s is not None and need >= draft.policy.large_bytes and want.lease is None:
            waits.append(room.large_until_s)
    return waits


def _by_displacing(draft: Draft, want: Want, site: Site, needs: dict[str, int]) -> Option | None:
    """Who has to go for that, and when that is possible at the earliest."""
    victims = victims_for(draft, want, needs, may_sleep=draft.can_sleep)
    if victims is None and draft.can_sleep:
        victims = victims_for(draft, want, needs, may_sleep=False)
    if victims is None:
        return None
    if all(victim.is_possible for victim in victims):
        return Option(site, needs, When.EVICTING, draft.now_s, tuple(victims))
    at_s = max(victim.at_s for victim in victims)
    draft.wake(at_s)
    return Option(site, needs, When.LATER, at_s, tuple(victims))


def _in_order(draft: Draft, want: Want) -> Sequence[Site]:
    """As its owner ordered them, those on hot or busy devices last."""
    if not draft.strained or len(want.sites) < 2:
        return want.sites
    return sorted(want.sites, key=lambda site: any(share.device in draft.strained for share in site.shares))


def _needs(want: Want, site: Site) -> dict[str, int]:
    """Bytes of each device, beyond what one that sleeps there holds."""
    if want.sleeper is None:
        return {share.device: share.likely_bytes + share.error_bytes for share in site.shares}
    held = sizes(want.sleeper.claims)
    return {share.device: max(0, share.most_bytes - held.get(share.device, 0)) for share in site.shares}


def _barred(draft: Draft, want: Want, needs: dict[str, int]) -> str:
    """Why nothing new may go there at all; empty when it may."""
    for device, need in needs.items():
        room = draft.rooms.get(device)
        if room is None or need > room.empty_bytes or draft.is_special:
            why = _barred_from(draft, want, device, need)
            if why:
                return why
    return "" if needs else "nothing says where it may run"


def _barred_from(draft: Draft, want: Want, device: str, need: int) -> str:
    room, mode, why = draft.rooms.get(device), draft.state.mode, ""
    if room is None:
        why = f"there is no device {device}"
    elif room.state.out_of_service:
        why = f"{device} is out of service: {room.state.out_of_service}"
    elif mode is not None and device in mode.devices and not _belongs(draft, want):
        why = f"mode {mode.name} has {device} for itself"
    elif need > room.empty_bytes:
        why = f"it needs {gib(need)}, and {device} has {gib(room.empty_bytes)} in all"
    elif not want.is_asked and want.tier is not Tier.PROTECTED and device in draft.strained:
        why = f"{device} is too hot or too busy for what nobody asks for"
    return why


def _belongs(draft: Draft, want: Want) -> bool:
    mode = draft.state.mode
    name = want.lease.tenant if want.lease is not None else want.name
    return mode is None or name in mode.members or (want.model is not None and want.model.priority == 0)


def _why_not(draft: Draft, needs: dict[str, int]) -> str:
    for device, need in needs.items():
        room = draft.rooms[device]
        if need > room.free_soon:
            return f"it needs {gib(need)}, and {device} has {gib(room.free_soon)} beside what does not give way to it"
    return "its swap slot is taken by what does not give way to it"


def leaves_s(draft: Draft, instance: InstanceState) -> float:
    """When one that leaves should be gone."""
    return draft.going.get(instance.id, instance.since_s + draft.policy.drain_s)
