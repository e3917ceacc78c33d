"""[pure] The planner: from what is to what is to be done. No clock, no chance, no loop; the same state, the same plan.

plan(state, now_s).actions, done in order, bring the devices nearer to what is wanted. Every action leaves a phase
behind (`Load` a starting instance, `Drain` a draining one), so that the next plan does not say it again.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from ringfence.placement.planning.actions import Action, Cause, Grant, Load, Plan, Waiting, Wake
from ringfence.placement.planning.applied import applied, merged
from ringfence.placement.planning.draft import Draft, Wanted
from ringfence.placement.planning.duties import clear, relieve, rest_idle
from ringfence.placement.planning.eviction import Victim
from ringfence.placement.planning.memory import Memory
from ringfence.placement.planning.options import Finding, Option, When, leaves_s, look
from ringfence.placement.planning.policy import Policy
from ringfence.placement.planning.state import Demand, Model, Phase, Site, State, TenantLease
from ringfence.placement.planning.wants import Tier, Want, wants_of

DEFAULT_POLICY = Policy()
NOWHERE = Site(())
MOST_ROUNDS = 6
"""Two are usual: what is to be done, and that nothing is left to do."""


def plan(state: State, now_s: float, policy: Policy = DEFAULT_POLICY, memory: Memory | None = None) -> Plan:
    """What is to be done now. Never more than fits, P0 never leaves, what serves is drained; see the package. A memory
    that earlier plans for the same models, slots and mode wrote makes it quicker, and no other."""
    actions: tuple[Action, ...] = ()
    found = Plan()
    wanted = Wanted(state, memory.marks if memory is not None else count())
    if memory is not None:
        memory.turn()
    for _ in range(MOST_ROUNDS):
        found = _once(Draft(state, now_s, policy, wanted), memory)
        if not found.actions:
            break
        actions = merged(actions, found.actions)
        state = applied(state, found.actions, now_s, policy)
    return replace(found, actions=actions)


def _once(draft: Draft, memory: Memory | None) -> Plan:
    """One round; what it does may make more possible, or necessary."""
    clear(draft)
    relieve(draft)
    rest_idle(draft)
    wants = wants_of(draft)
    if memory is not None:
        memory.begin(draft)
    asked = [want for want in wants if want.lease is not None]
    for want in wants:
        tenants_first(draft, want, asked, memory)
        if want in asked:
            asked.remove(want)
            settle(draft, want, memory)
        elif want.lease is None:
            settle(draft, want, memory)
    outcomes(draft)
    if memory is not None:
        memory.end(draft)
    return draft.finished()


def tenants_first(draft: Draft, want: Want, asked: list[Want], memory: Memory | None) -> None:
    """Wants are ordered by the list of their first device. A tenant that outranks the want on another of its devices
    would take the room from it again, so it is dealt with before."""
    if not asked or want.lease is not None:
        return
    devices = {share.device for site in want.sites for share in site.shares}
    for tenant in list(asked):
        room = draft.rooms.get(tenant.sites[0].shares[0].device)
        if room is None or room.state.device.id not in devices:
            continue
        if tenant.rank(draft, room) < want.rank(draft, room):
            asked.remove(tenant)
            settle(draft, tenant, memory)


def settle(draft: Draft, want: Want, memory: Memory | None) -> None:
    """Give the want its room, or say who goes for it, or how long it waits, or why it gets none."""
    if memory is None:
        _conclude(draft, want, look(draft, want))
        return
    key, kept = memory.recall(draft, want)
    if kept is not None:
        finding = kept.finding
    else:
        finding, wakes_s = draft.noting(lambda: look(draft, want))
        kept = memory.keep(draft, key, finding, wakes_s) if key is not None else None
    _conclude(draft, want, finding)
    memory.mark(draft, want, kept, _touched(draft, want, finding))


def _conclude(draft: Draft, want: Want, finding: Finding) -> None:
    if finding.option is not None:
        _take(draft, want, finding.option)
        return
    if want.tier is not Tier.DEFAULT:  # while its slot is used that is as it should be
        draft.refuse(want.name, finding.why)
    if want.sleeper is not None and want.model is not None and len(want.model.sites) > 1 and want.is_asked:
        draft.leave(want.sleeper, Cause.TURN, "there is no room where it sleeps", may_sleep=False)


def _touched(draft: Draft, want: Want, finding: Finding) -> list[str]:
    """The devices that are not as they were before."""
    option = finding.option
    devices: list[str] = []
    if option is not None and (option.when is not When.LATER or (want.reserves and option.victims)):
        devices += option.needs
        for victim in option.victims:
            devices += victim.gives
    if want.sleeper is not None:
        devices += [claim.device for claim in (*want.sleeper.claims, *(want.sleeper.site or NOWHERE).asleep)]
    return [device for device in dict.fromkeys(devices) if device in draft.rooms]


def _take(draft: Draft, want: Want, option: Option) -> None:
    if option.when is When.NOW:
        _begin(draft, want, option)
    elif option.when is When.LATER and not (want.reserves and option.victims):
        _say_later(draft, want, option)
        return
    elif option.when is When.EVICTING:
        for victim in option.victims:
            _evict(draft, want, victim)
        gone_s = max((draft.going[victim.holder.id] for victim in option.victims), default=draft.now_s)
        draft.wait(want.name, "what is in its place is leaving", gone_s + want.takes_s)
    elif option.when is When.LEAVING:
        draft.wait(want.name, "what is in its place is leaving", option.at_s + want.takes_s)
    else:
        _say_later(draft, want, option)
        draft.spoken.update(victim.holder.id for victim in option.victims)
    if want.sleeper is not None:
        draft.spoken.add(want.sleeper.id)
    coming: dict[str, int] = {}
    if option.when is When.LATER:
        for victim in option.victims:
            for device, size_bytes in victim.gives.items():
                coming[device] = coming.get(device, 0) + size_bytes
    for device, need in option.needs.items():
        draft.rooms[device].free_soon -= max(0, need - coming.get(device, 0))
    if want.model is not None and want.model.slot:
        draft.taken_slots[want.model.slot] = option.at_s + want.takes_s + draft.policy.dwell_of(want.model)


def _begin(draft: Draft, want: Want, option: Option) -> None:
    """The room is free: the load begins."""
    for device, need in option.needs.items():
        room = draft.rooms[device]
        room.free_now -= need
        if need >= draft.policy.large_bytes and want.lease is None:
            room.large(draft.now_s + want.takes_s)
    if want.lease is not None:
        draft.actions.append(Grant(want.name, "there is room for it"))
        return
    unasked = "its swap slot is free for its default" if want.tier is Tier.DEFAULT else "it is to be loaded always"
    reason = "callers wait for it" if want.is_asked else unasked
    if want.sleeper is not None:
        draft.actions.append(Wake(want.sleeper.id, want.name, reason))
    else:
        draft.actions.append(Load(want.name, option.site, reason))
    draft.wait(want.name, "it is being loaded", draft.now_s + want.takes_s)


def _evict(draft: Draft, want: Want, victim: Victim) -> None:
    reason = f"it gives way to {want.name}"
    if isinstance(victim.holder, TenantLease):
        draft.recall(victim.holder, reason)
    else:
        cause = Cause.TENANT if want.lease is not None else Cause.TURN
        draft.leave(victim.holder, cause, reason, may_sleep=victim.sleeps)


def _say_later(draft: Draft, want: Want, option: Option) -> None:
    drain_s = draft.policy.drain_s if option.victims else 0.0
    draft.wait(want.name, "it waits for its turn", option.at_s + drain_s + want.takes_s)


def outcomes(draft: Draft) -> None:
    """A word to everyone whose model is neither ready nor was dealt with."""
    going, waiting, refused = draft.going, draft.waiting, draft.refused
    ready = {each.model for each in draft.state.instances if each.phase is Phase.READY and each.id not in going}
    for name, demand in draft.demands.items():
        if name not in ready and name not in waiting and name not in refused:
            _tell(draft, draft.models[name], demand)


def _tell(draft: Draft, model: Model, demand: Demand) -> None:
    name, instances = model.name, draft.instances.get(model.name, ())
    begun = [each.since_s for each in instances if each.phase is Phase.STARTING and each.id not in draft.going]
    if begun:
        draft.waiting[name] = Waiting(name, "it is being loaded", min(begun) + model.load_s)
        return
    gone_s = max((leaves_s(draft, each) for each in instances), default=draft.now_s)
    again_s = max(gone_s, demand.since_s + draft.policy.patience_of(model, demand))
    draft.wait(name, "it made room, and comes back in its turn", again_s + draft.policy.drain_s + model.load_s)
