"""[pure] Under which profile a call is made: its key's, tightened by the agent and the profile the caller names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Forbidden
from ringfence.core.route import House, Profile, Tier


def standing(house: House, bound_to: str, agent: str, named: str) -> Profile:
    """The profile of one call. `bound_to` is its key's profile; `agent` and `named` are what the caller says of
    itself, or empty.

    Whoever names an agent or a profile can only tighten: the boundary is never wider than the key's. A key of tier T4
    is the exception that is written down: it may make calls under the profiles that its own one lists.
    Raises Forbidden for a profile, an agent or a delegate that is not configured.
    """
    profile = _profile(house, bound_to, f"The profile '{bound_to}' of this key is not configured.")
    if agent:
        bound = house.agents.get(agent)
        if bound is None:
            raise Forbidden(
                f"The agent '{agent[:64]}' is not classified. List it under agents, with a profile.",
                code="agent_unknown",
            )
        profile = _within(profile, _profile(house, bound, f"The profile '{bound}' of agent '{agent}' is not known."))
    if named and named != profile.name:
        other = _profile(house, named, f"There is no profile '{named[:64]}'.")
        if profile.tier is Tier.COORDINATION:
            if named not in profile.delegates:
                raise Forbidden(
                    f"Profile '{profile.name}' may not make calls under '{named}'; its delegates are: "
                    f"{', '.join(profile.delegates) or 'none'}.",
                    code="profile_not_delegated",
                )
            return other
        profile = _within(profile, other)
    return profile


def tools_reach(house: House, names: Iterable[str]) -> Boundary:
    """How far the text of a call that offers these tools may travel. A tool that is not classified keeps it here."""
    reach = Boundary.CLOUD
    for name in names:
        profile = house.profiles.get(house.tools.get(name, ""))
        reach = min(reach, profile.boundary if profile is not None else Boundary.HOST)
    return reach


def _profile(house: House, name: str, otherwise: str) -> Profile:
    profile = house.profiles.get(name)
    if profile is None:
        raise Forbidden(otherwise, code="profile_unknown")
    return profile


def _within(outer: Profile, inner: Profile) -> Profile:
    """`inner`, reaching no further than `outer`, and with its exact target where it has one."""
    boundary, exact = min(inner.boundary, outer.boundary), outer.exact or inner.exact
    if (boundary, exact) == (inner.boundary, inner.exact):
        return inner
    return replace(inner, boundary=boundary, exact=exact)
