"""What each profile may reach, and why: the same decision that a request gets, without one."""

from __future__ import annotations

from typing import Any

from ringfence.core.catalog import Catalog, Target
from ringfence.core.route import Exact, House, Profile


def reaches(house: House, catalog: Catalog) -> list[dict[str, Any]]:
    """A row for each profile, in the order of the configuration."""
    return [_row(profile, house, catalog) for profile in house.profiles.values()]


def _row(profile: Profile, house: House, catalog: Catalog) -> dict[str, Any]:
    return {
        "name": profile.name, "tier": profile.tier.in_words, "boundary": profile.boundary.name,
        "chain": list(profile.chain), "ending": profile.ending.value,
        "exact": _exact(profile.exact) if profile.exact is not None else None, "delegates": list(profile.delegates),
        "agents": [name for name, bound in house.agents.items() if bound == profile.name],
        "tools": [name for name, bound in house.tools.items() if bound == profile.name],
        "targets": [
            {
                "model": model.name, "target": target.name, "boundary": target.reach,
                "configuration": target.configuration, "reason": reason, "may": not reason,
            }
            for model in catalog.models.values() for target in model.targets
            for reason in (_obstacle(profile, model.name, target),)
        ],
        "idle": [model.name for model in catalog.models.values() if not model.targets],
    }  # fmt: skip


def _obstacle(profile: Profile, model: str, target: Target) -> str:
    """Why the profile may not reach a target; empty when it may."""
    if target.boundary > profile.boundary:
        return f"lies at {target.reach}, beyond {profile.boundary.name}"
    if profile.exact is not None and profile.exact.model != model:
        return f"only '{profile.exact.model}' will do"
    return ""


def _exact(exact: Exact) -> dict[str, Any]:
    return {name: value for name in Exact.__slots__ if (value := getattr(exact, name))}
