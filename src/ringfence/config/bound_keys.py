"""[pure] API keys against the profiles and agents of a configuration: what each is bound to, and which are dead."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.identity import Key


def why_dead(config: Config, key: Key) -> str:
    """Why every call with this key is refused, whatever it asks for; empty when it is bound to what is there."""
    if key.agent and key.agent not in config.agents:
        return f"its agent '{key.agent}' is not configured"
    if key.profile and key.profile not in config.profiles:
        return f"its profile '{key.profile}' is not configured"
    return ""


def dead_keys(config: Config, keys: Iterable[Key]) -> list[str]:
    """A line for each key that is bound to what is not there."""
    return [f"{key.name} ({key.id}): {reason}" for key in keys if (reason := why_dead(config, key))]


def keys_by_profile(config: Config, keys: Iterable[Key]) -> dict[str, list[str]]:
    """The names of the keys that are bound to each profile, by themselves or through their agent."""
    bound: dict[str, list[str]] = {name: [] for name in config.profiles}
    for key in keys:
        if not why_dead(config, key):
            bound[key.profile or config.agents[key.agent].profile].append(key.name)
    return bound


def reach_of_key(config: Config, profile: str, agent: str) -> Boundary:
    """How far text of a key's calls may travel by itself; for one that is bound to both, the tighter."""
    names = [profile] if profile else []
    names += [config.agents[agent].profile] if agent else []
    return min(config.profiles[name].reaches for name in names)
