"""How far each call may reach, worked out from the configuration as it was written. None of it is the product's."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from asks import Ask, key_of
from house import House

NOWHERE, HOST, MESH, CLOUD = -1, 0, 1, 2
WORDS = {NOWHERE: "nowhere", HOST: "host", MESH: "mesh", CLOUD: "cloud"}
REACH = {"host": HOST, "mesh": MESH, "cloud": CLOUD}


def lies(address: str, mesh: list[str]) -> int:
    """How far an address lies: only loopback is here, only what is listed is ours."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return HOST
    return MESH if any(ip in ip_network(network) for network in mesh) else CLOUD


def reach(profile: dict[str, Any]) -> int:
    """A profile's own boundary."""
    named, tier = profile.get("boundary"), profile.get("tier")
    return REACH[named] if named else CLOUD if tier in ("T2", "T3") else HOST


def widest(house: House, ask: Ask) -> int:
    """The furthest that anything of this call may go."""
    profiles = house.written["profiles"]
    stands = _standing(house, ask)
    if ask.is_steering or stands == NOWHERE:
        return NOWHERE
    for tool in ask.tools:
        bound = house.written["tools"].get(tool)
        stands = min(stands, reach(profiles[bound["profile"]]) if bound else HOST)
    said = house.written["sensitivity"]
    looked_for = {*said["kinds"], *said["patterns"]}
    for kind in (*(ask.planted & looked_for), *ask.labels):
        stands = min(stands, REACH[said["boundaries"].get(kind, "host")])
    return stands


def _standing(house: House, ask: Ask) -> int:
    """By the key, the agent and the profile that are named. Only a key of tier T4 reaches further: by a delegate."""
    profiles, agents = house.written["profiles"], house.written["agents"]
    key = key_profile(house, ask)
    if key is None or (ask.agent and ask.agent not in agents) or (ask.named and ask.named not in profiles):
        return NOWHERE
    agent = agents[ask.agent]["profile"] if ask.agent else key
    stands = min(reach(profiles[key]), reach(profiles[agent]))
    if not ask.named or ask.named == agent:
        return stands
    named = reach(profiles[ask.named])
    makes_calls = [ask.named in profiles[one].get("delegates", ()) for one in (key, agent)]
    if profiles[key].get("tier") == "T4" and all(makes_calls):
        return named
    return NOWHERE if agent == key and profiles[key].get("tier") == "T4" else min(stands, named)


def key_profile(house: House, ask: Ask) -> str | None:
    """The profile of its key; that of everybody where keys are off."""
    if house.written["server"]["keys"] == "off":
        return "default"
    return next((name for name in house.written["profiles"] if key_of(name) == ask.key), None)


def exact(house: House, ask: Ask) -> str | None:
    """The one model to which a call is bound, whatever it asks for: by its key, else its agent, else what it names."""
    profiles = house.written["profiles"]
    key = key_profile(house, ask)
    agent = house.written["agents"].get(ask.agent, {}).get("profile", key)
    if key is None:
        return None
    both = [profiles[one] for one in (key, agent)]
    if ask.named and ask.named != agent and all(ask.named in one.get("delegates", ()) for one in both):
        both = []  # it is made under its delegate alone
    named = [profiles[ask.named]] if ask.named in profiles else []
    return next((one["exact"]["model"] for one in (*both, *named) if "exact" in one), None)


def is_bound_elsewhere(house: House, ask: Ask, port: int, engine_model: str) -> bool:
    """True when a call that is bound to one model came to what is another: another port, or another name there."""
    bound = exact(house, ask)
    if bound is None:
        return False
    model = house.written["models"][bound]
    if "provider" in model:
        return bool(port) or engine_model != model["provider_model"]
    return (urlsplit(model["url"]).port, model["engine_model"]) != (port, engine_model)


def faults(house: House) -> Iterator[str]:
    """Why this configuration must not load."""
    written = house.written
    for name, profile in written["profiles"].items():
        stops = reach(profile)
        if stops == CLOUD and profile.get("tier") in ("T1", "T4"):
            yield f"{name} is {profile['tier']} and reaches a cloud"
        exact = [profile["exact"]["model"]] if "exact" in profile else []
        for model in (*profile.get("chain", ()), *exact):
            if model not in written["models"]:
                yield f"{name} names {model}, which is not there"
            elif _reaches(written["models"][model], written["mesh"]) > stops:
                yield f"{name} stops short of {model}"
        for other in profile.get("delegates", ()):
            if other not in written["profiles"] or written["profiles"][other].get("tier") == "T4":
                yield f"{name} cannot delegate to {other}"
    for name, model in written["models"].items():
        if "url" in model and _reaches(model, written["mesh"]) == CLOUD:
            yield f"{name} lies beyond the mesh by its very address"
    for kind in ("agents", "tools"):
        for name, bound in written[kind].items():
            if bound["profile"] not in written["profiles"]:
                yield f"{name} is bound to {bound['profile']}, which is not there"


def strays(house: House, *, is_first: bool) -> Iterator[str]:
    """Why this configuration must not come up: an engine that lies, or may lie, beyond the mesh.

    Where a name leads counts only for the first: later it may still be pinned to where it led before.
    """
    for name, model in house.written["models"].items():
        if "url" in model and (is_first or urlsplit(model["url"]).hostname not in house.answers):
            for address in addresses(house, model):
                if lies(address, house.written["mesh"]) == CLOUD:
                    yield f"{name} leads to {address}"


def addresses(house: House, model: dict[str, Any]) -> tuple[str, ...]:
    host = urlsplit(model["url"]).hostname or ""
    return house.answers.get(host, ("127.0.0.1",) if host == "localhost" else (host,))


def _reaches(model: dict[str, Any], mesh: list[str]) -> int:
    """As far as the file tells: a name may lead to the mesh."""
    if "provider" in model:
        return CLOUD
    host = urlsplit(model["url"]).hostname or ""
    if host == "localhost":
        return HOST
    try:
        return lies(host, mesh)
    except ValueError:
        return MESH
