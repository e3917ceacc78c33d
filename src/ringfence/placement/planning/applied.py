"""[pure] The state that is right after actions began, before time or the world moved: what a plan may count on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ringfence.placement.planning.actions import Action, Drain, Grant, Load, Recall, Sleep, Unload, Wake, rest_after
from ringfence.placement.planning.policy import Policy
from ringfence.placement.planning.state import Claim, InstanceState, LeasePhase, Phase, Site, State, Then

NEW = "\0new "


def applied(state: State, actions: Iterable[Action], now_s: float, policy: Policy) -> State:
    """As whoever acts is to see it: memory counts from the first moment of a load to the last of an unload."""
    done = {_subject(action): action for action in actions}
    rests = {rest.model: rest for rest in state.rests}
    for action in done.values():
        rest = rest_after(action, now_s, policy)
        if rest is not None:
            rests[rest.model] = rest
    return replace(
        state,
        instances=(
            *(
                _changed(each, done[each.id], now_s) if each.id in done else each
                for each in state.instances
                if each.id not in done or not is_new(each.id)
            ),
            *(_started(each, now_s) for each in done.values() if isinstance(each, Load)),
        ),
        leases=tuple(
            replace(each, phase=_phase(done[each.id]), since_s=now_s) if each.id in done else each
            for each in state.leases
        ),
        rests=tuple(rests.values()),
    )


def planned(site: Site) -> tuple[Claim, ...]:
    """What a load there is taken to hold, until it was observed."""
    return tuple(Claim(share.device, share.most_bytes) for share in site.shares)


def is_new(subject: str) -> bool:
    """An instance that no plan but the one being made knows: when it is stopped, it was never begun."""
    return subject.startswith(NEW)


def _subject(action: Action) -> str:
    if isinstance(action, Load):
        return NEW + action.model
    return action.lease if isinstance(action, Grant | Recall) else action.instance


def _started(load: Load, now_s: float) -> InstanceState:
    return InstanceState(_subject(load), load.model, Phase.STARTING, planned(load.site), now_s, site=load.site)


def _changed(instance: InstanceState, action: Action, now_s: float) -> InstanceState:
    phase, claims, then = Phase.STARTING, instance.claims, instance.then
    if isinstance(action, Drain):
        phase, then = Phase.DRAINING, action.then
    elif isinstance(action, Unload):
        phase, then = Phase.STOPPING, Then.UNLOAD
    elif isinstance(action, Sleep):
        phase = Phase.SLEEPING
    elif isinstance(action, Wake) and instance.site is not None:
        claims = planned(instance.site)
    return InstanceState(
        instance.id, instance.model, phase, claims, now_s, instance.running, instance.last_used_s, then, instance.site
    )


def _phase(action: Action) -> LeasePhase:
    return LeasePhase.HELD if isinstance(action, Grant) else LeasePhase.RECALLED


def merged(first: tuple[Action, ...], then: tuple[Action, ...]) -> tuple[Action, ...]:
    """Both in order; of two about the same only the later, for the reason of the first, and nothing about what was not
    begun after all."""
    before = {_subject(action): action for action in first}
    later = {_subject(action): action for action in then}
    return (
        *(action for action in first if _subject(action) not in later),
        *(
            _for_the_reason_of(before.get(subject), action)
            for subject, action in later.items()
            if isinstance(action, Load) or not is_new(subject)
        ),
    )


def _for_the_reason_of(first: Action | None, action: Action) -> Action:
    """What was put to sleep and then stopped after all, in one plan, goes because of what began it."""
    if isinstance(first, Drain | Sleep) and isinstance(action, Unload):
        return replace(action, cause=first.cause, reason=first.reason)
    return action
