"""[pure] Under which profile a call is made: its key's, tightened by the agent and the profile the caller names.

A key that is bound to an agent speaks for that agent alone. Whoever merely names an agent in a header is not taken at
its word for more than a key allows: naming one of tier T4 does not open the delegates of that agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Forbidden, TargetUnavailable
from ringfence.core.identity import Key
from ringfence.core.isolation import Isolation, Wall
from ringfence.core.route import House, Kept, Overlong, Profile, Tier


def agent_of(key: Key, named: str) -> str:
    """The agent whose call it is: the one that the key is bound to, else the one that is named, if any.

    Raises Forbidden when a key that is bound to one agent names another.
    """
    if key.agent and named and named != key.agent:
        raise Forbidden(
            f"This key is bound to the agent '{key.agent}' and makes no calls as '{named[:64]}'. Leave the header "
            "x-ringfence-agent out, or use another key.",
            code="agent_not_of_key",
        )
    return key.agent or named


def standing(house: House, bound_to: str, agent: str, named: str, own: str = "") -> Profile:
    """The profile of one call. `bound_to` is its key's profile, and `own` the agent that its key is bound to; without
    a profile the key has that of its agent. `agent` and `named` are what the caller says of itself, or empty.

    Whoever names an agent or a profile can only tighten: the boundary is never wider than the key's. A key of tier T4
    is the exception that is written down: it may make calls under the profiles that its own one lists, and where an
    agent is named too, that one's profile must list them as well. An agent of tier T4 alone gives no such right.
    Raises Forbidden for a profile, an agent or a delegate that is not configured.
    """
    gone = f"The agent '{own}' that this key is bound to is not configured. List it under agents, or use another key."
    profile = of_key = (
        _profile(house, bound_to, f"The profile '{bound_to}' of this key is not configured.")
        if bound_to or not own
        else _of_agent(house, own, gone)
    )
    if own and bound_to:
        profile = _within(profile, _of_agent(house, own, gone))
    if agent and agent != own:
        unknown = f"The agent '{agent[:64]}' is not classified. List it under agents, with a profile."
        profile = _within(profile, _of_agent(house, agent, unknown))
    if named and named != profile.name:
        other = _profile(house, named, f"There is no profile '{named[:64]}'.")
        if profile.tier is Tier.COORDINATION and of_key.tier is Tier.COORDINATION:
            delegates = [name for name in of_key.delegates if name in profile.delegates]
            if named not in delegates:
                raise Forbidden(
                    f"Profile '{profile.name}' may not make calls under '{named}'; its delegates are: "
                    f"{', '.join(delegates) or 'none'}.",
                    code="profile_not_delegated",
                )
            return other
        profile = _within(profile, other)
    return profile


def rests_on(agents: Mapping[str, str], key: Key, agent: str, profile: str) -> tuple[str, ...]:
    """Names of all profiles that a call under `profile` rests on, as `standing` found it: that one first, then its
    key's, and those of the agents whose call it is. Each has its say about money: a conductor too, of whose delegate
    it is a call. `agents` are profiles by agent; one that is no longer there says nothing."""
    if not agent and not key.agent and key.profile == profile:
        return (profile,)
    names = (profile, key.profile, agents.get(key.agent, ""), agents.get(agent, ""))
    return tuple(dict.fromkeys(name for name in names if name))


def walled(profile: Profile, isolation: Isolation) -> Profile:
    """The profile, if it may be served behind this wall. T1 rests on it: where one is claimed and does not hold, it is
    refused (Forbidden); while it is being tried, it has to wait (TargetUnavailable)."""
    if isolation.keeps_promise or profile.tier is not Tier.SOVEREIGN:
        return profile
    told = (
        f"Profile '{profile.name}' is of tier T1 and is not served: {isolation.reason}. `ringfence doctor` tells how "
        "to mend it."
    )
    if isolation.wall is Wall.CHECKING:
        raise TargetUnavailable(told, code="isolation_being_tried", retry_after_s=1)
    raise Forbidden(told, code="not_isolated")


def tools_reach(house: House, names: Iterable[str]) -> Kept:
    """How far the text of a call that offers these tools may travel, and what keeps it from going further. A tool that
    is not classified keeps it here."""
    reach, why = Boundary.CLOUD, ""
    for name in names:
        profile = house.profiles.get(house.tools.get(name, ""))
        if profile is None:
            return Kept(Boundary.HOST, "a tool that is not listed under tools")
        if profile.boundary < reach:
            reach, why = profile.boundary, f"tool '{name}' of profile '{profile.name}'"
    return Kept(reach, why)


def _of_agent(house: House, agent: str, otherwise: str) -> Profile:
    bound = house.agents.get(agent)
    if bound is None:
        raise Forbidden(otherwise, code="agent_unknown")
    return _profile(house, bound, f"The profile '{bound}' of agent '{agent}' is not known.")


def _profile(house: House, name: str, otherwise: str) -> Profile:
    profile = house.profiles.get(name)
    if profile is None:
        raise Forbidden(otherwise, code="profile_unknown")
    return profile


def _within(outer: Profile, inner: Profile) -> Profile:
    """`inner`, reaching no further than `outer`, with its exact target where it has one, refusing as it does what is
    too long, and keeping no answers where it keeps none."""
    boundary, exact = min(inner.boundary, outer.boundary), outer.exact or inner.exact
    overlong = outer.overlong if outer.overlong is Overlong.REFUSE else inner.overlong
    stores = inner.stores and outer.stores
    caching = inner.caching and outer.caching and inner.caching.within(outer.caching)
    held_by = outer.held_by or outer.name if boundary < inner.boundary else inner.held_by
    held = replace(
        inner, boundary=boundary, exact=exact, held_by=held_by, overlong=overlong, stores=stores, caching=caching
    )
    return inner if held == inner else held
