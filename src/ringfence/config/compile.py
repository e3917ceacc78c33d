"""[pure] Profiles against what they name: a way that leads beyond its boundary is refused before anything is served."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ringfence.config.problems import KeyPath, nearest
from ringfence.core.boundary import PRIVATE, Boundary, Network, boundary_of, is_public

if TYPE_CHECKING:
    from ringfence.config.models import ModelSettings
    from ringfence.config.schema import Config, ProfileSettings
    from ringfence.config.values import EngineUrl

Breach = tuple[KeyPath, str]
"""Where in the configuration, and what is wrong."""


def breaches(config: Config) -> Iterator[Breach]:
    """Everything that a profile, an agent or a tool is bound to and that is not there or lies too far."""
    for name, profile in config.profiles.items():
        at: KeyPath = ("profiles", name)
        for place, model in enumerate(profile.chain):
            yield from _reaches(config, name, profile, model, (*at, "chain", place))
        if profile.exact is not None:
            yield from _reaches(config, name, profile, profile.exact.model, (*at, "exact", "model"))
        for place, delegate in enumerate(profile.delegates):
            yield from exists(config.profiles, delegate, "profile", (*at, "delegates", place))
            if delegate in config.profiles and config.profiles[delegate].tier == "T4":
                yield (*at, "delegates", place), f"'{delegate}' is of tier T4 itself, and makes no calls for others"
    yield from _lie_elsewhere(config)
    for kind, bound in (("agents", config.agents), ("tools", config.tools)):
        for name, settings in bound.items():
            yield from exists(config.profiles, settings.profile, "profile", (kind, name, "profile"))


def _lie_elsewhere(config: Config) -> Iterator[Breach]:
    """Engines and clouds that cannot lie where they are said to, and keys that would have to be in two places."""
    for name, settings in config.models.items():
        if settings.provider is not None:
            yield from exists(config.providers, settings.provider, "provider", ("models", name, "provider"))
        for place, address in enumerate(settings.addresses):
            if lies(address, config.mesh_networks) is Boundary.CLOUD:
                yield ("models", name, *(("url",) if settings.url else ("urls", place))), too_far(address.host)
        users = [one for one, provider in config.providers.items() if settings.api_key in provider.keys]
        if settings.api_key is not None and users:
            told = f"is also the key of provider '{users[0]}', which never reaches the gateway; give each its own"
            yield ("models", name, "api_key"), told
    for name, provider in config.providers.items():
        host = urlsplit(provider.url).hostname or ""
        if _is_literal(host) and not is_public(host):
            told = f"{host} is no public address, so no rented cloud lies there; an engine of yours goes under models"
            yield ("providers", name, "url"), told


def reach_of(model: ModelSettings, mesh: tuple[Network, ...]) -> Boundary:
    """How far a model lies, as far as the file tells. A host name is judged again once it is resolved: it may lie on
    a mesh at most, or it is not served."""
    if model.provider is not None:
        return Boundary.CLOUD
    return max((lies(address, mesh) for address in model.addresses), default=Boundary.HOST)


def lies(url: EngineUrl, mesh: tuple[Network, ...]) -> Boundary:
    """How far an address lies, as far as the file tells."""
    if url.host == "localhost":
        return Boundary.HOST
    try:
        return boundary_of(url.host, mesh)
    except ValueError:
        return Boundary.MESH


def too_far(host: str) -> str:
    """Of an engine's host, by name or address, that is neither this machine nor in a network listed under mesh."""
    if _is_literal(host) and is_public(host):
        return (
            f"{host} is a public address, and engines are reached on this machine or in networks of yours; "
            "a rented cloud goes under providers"
        )
    if _is_literal(host) and not any(ip_address(host) in network for network in PRIVATE):
        return f"{host} is neither this machine nor in private address space, so no engine is reached there"
    return f"{host} is neither this machine nor in a network listed under mesh; list its network if it is yours"


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _reaches(config: Config, name: str, profile: ProfileSettings, model: str, at: KeyPath) -> Iterator[Breach]:
    yield from exists(config.models, model, "model", at)
    if model not in config.models:
        return
    reached = reach_of(config.models[model], config.mesh_networks)
    if reached > profile.reaches:
        yield at, f"profile '{name}' stops at {profile.reaches.name}, and model '{model}' reaches {reached.name}"


def exists(known: Collection[str], name: str, what: str, at: KeyPath) -> Iterator[Breach]:
    """A breach where `name` is none of the known."""
    if name not in known:
        close = nearest(name, known)
        yield at, f"there is no {what} '{name}'" + (f"; did you mean '{close}'?" if close else "")
