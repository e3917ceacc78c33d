"""Drawing a house from a seed: a configuration as somebody would write it, and the world that it meets.

Nothing of the product is imported here, so that what is drawn, and what is held to be right about it, is its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

NETWORKS = ("10.7.0.0/16", "192.168.77.0/24", "100.64.7.0/24", "fd00:7::/32")
NEAR = ("127.0.0.1", "127.0.0.2", "::1")
OWN = {
    "10.7.0.5": NETWORKS[0], "10.7.9.9": NETWORKS[0], "192.168.77.8": NETWORKS[1], "100.64.7.2": NETWORKS[2],
    "fd00:7::5": NETWORKS[3],
}  # fmt: skip
"""Address -> the network in which it lies: on the mesh where that is listed, beyond it where not."""
FAR = (
    "8.8.8.8", "203.0.113.9", "169.254.169.254", "10.9.0.5", "100.99.1.1", "0.0.0.0", "2001:4860:4860::8888",
    "::ffff:8.8.8.8", "64:ff9b::a07:5", "2002:a07:5::1",
)  # fmt: skip
"""On no mesh that is ever listed, some though they wrap an address of one."""
NAMES = ("gpu.lan", "nas.lan", "turncoat.lan")
PORTS = {"vllm": 8000, "llamacpp": 8080, "ollama": 11434, "lmstudio": 1234, "router": 8081, "other": 9000}
FOUND_PORTS = {PORTS[kind] + 7: kind for kind in ("llamacpp", "lmstudio", "ollama", "vllm")}
"""Where engines of these kinds are looked for on this machine, without being written down."""
KINDS_WRITTEN = {"router": "llamacpp", "other": "openai_compatible"}
PROFILES = ("default", "personal", "private", "client", "conductor", "bold")
AGENTS, TOOLS = ("coder", "clerk", "chief"), ("look", "pay", "mail")
KINDS = ("secret", "card", "iban", "email")
PROVIDERS = {"rented": ("openai", "https://api.rented.example/v1"), "other": ("anthropic", "https://api.other.example")}


RENTED = {"api.rented.example": "11.99.1.1", "api.other.example": "11.99.1.2"}
"""The host of each provider, and its own address: in 11.0.0.0/8, which is public and not announced by anybody."""
ASTRAY = ("169.254.169.254", "10.7.0.5", "192.168.77.8", "127.0.0.1", "0.0.0.0", "100.64.7.2")
"""Where no cloud can be."""


@dataclass(frozen=True)
class Engine:
    """What really runs somewhere. `away` are the models whose text it would send on to a cloud of its own."""

    kind: str
    models: tuple[str, ...]
    away: frozenset[str] = frozenset()
    cloud: str = "off"
    """Of an Ollama: off, on, old (a version without a cloud) or silent (it does not tell)."""

    def sends_away(self, model: str) -> bool:
        return model in self.away or self.cloud in ("on", "silent")


@dataclass(frozen=True)
class House:
    """`written` is the configuration; `answers` are the addresses of each name, `later` those it has after a while."""

    written: dict[str, Any]
    engines: dict[tuple[str, int], Engine]
    answers: dict[str, tuple[str, ...]]
    later: dict[str, tuple[str, ...]]
    clouds: dict[str, str]
    """Where the names of the rented clouds lead now."""
    late: frozenset[tuple[str, int]] = frozenset()
    """Engines that do not answer yet when the gateway looks for them first."""


def draw_house(rng: Random) -> House:
    """One house. About a third of them must not load, or must not come up."""
    is_careless = rng.random() < 0.3
    mesh = [network for network in NETWORKS if rng.random() < 0.5]
    answers = {name: _answers(rng, mesh, is_careless) for name in NAMES}
    later = {name: _answers(rng, mesh, is_careless=True) for name in NAMES}
    engines: dict[tuple[str, int], Engine] = {}
    both = {name: (*answers[name], *later[name]) for name in NAMES}
    models = {f"m{n}": _model(rng, mesh, both, engines, is_careless) for n in range(rng.randint(1, 4))}
    for name in ("smart", "wise"):
        if rng.random() < 0.6:
            models[name] = _rented(rng)
    for name, model in models.items():
        if rng.random() < 0.4:
            model["aliases"] = [f"also-{name}"]
    if rng.random() < 0.2:
        rng.choice(list(models.values())).setdefault("aliases", []).append("auto")
    written: dict[str, Any] = {
        "mesh": mesh,
        "discovery": _discovery(rng, engines),
        "timeouts": {"connect_s": 0.3, "first_byte_s": 0.3, "answer_s": 0.3, "between_bytes_s": 0.3,
                     "retries": rng.randint(0, 3)},
        "providers": {
            name: {"dialect": dialect, "url": url, "api_key": "env:RENTED_KEY", "calls_per_day": 9999, "max_tokens": 9}
            for name, (dialect, url) in PROVIDERS.items()
        },
        "server": {"keys": "off" if rng.random() < 0.05 else "required"},
        "models": models,
        "sensitivity": _sensitivity(rng),
    }  # fmt: skip
    written |= _bound(rng, models, mesh, answers, is_careless)
    return House(written, engines, answers, later, _clouds(rng), _late(rng, engines))


def mended(house: House, rng: Random) -> House:
    """The house after its owner has changed some of it: to be read again by the gateway that runs."""
    fresh = draw_house(rng)
    parts = [part for part in ("profiles", "agents", "tools", "sensitivity", "mesh") if rng.random() < 0.4]
    if rng.random() < 0.4 or not parts:  # what runs goes on running
        return replace(fresh, engines=fresh.engines | house.engines)
    written = house.written | {part: fresh.written[part] for part in parts}
    answers = house.later if rng.random() < 0.5 else house.answers
    return replace(house, written=written, answers=answers, clouds=_clouds(rng))


def turned(house: House) -> House:
    """The same, but that each Ollama has had its cloud switched on."""
    engines = {
        place: replace(engine, cloud="on") if engine.kind == "ollama" else engine
        for place, engine in house.engines.items()
    }
    return replace(house, engines=engines)


def _late(rng: Random, engines: dict[tuple[str, int], Engine]) -> frozenset[tuple[str, int]]:
    return frozenset(place for place in engines if rng.random() < 0.3) if rng.random() < 0.2 else frozenset()


def _clouds(rng: Random) -> dict[str, str]:
    """Their own addresses, unless somebody answers for them."""
    return {name: rng.choice(ASTRAY) if rng.random() < 0.15 else own for name, own in RENTED.items()}


def _answers(rng: Random, mesh: list[str], is_careless: bool) -> tuple[str, ...]:
    """One address that a name may well have; a careless owner has one that leads anywhere, or two at once."""
    listed = [own for own, network in OWN.items() if network in mesh]
    near = rng.choice(listed or list(NEAR)) if rng.random() < 0.7 else rng.choice(NEAR)
    if is_careless and rng.random() < 0.3:
        return (near, rng.choice(FAR)) if rng.random() < 0.5 else (rng.choice(FAR),)
    return (near,)


def _model(
    rng: Random,
    mesh: list[str],
    answers: dict[str, tuple[str, ...]],
    engines: dict[tuple[str, int], Engine],
    is_careless: bool,
) -> dict[str, Any]:
    """A model of an engine that runs already, and that engine."""
    kind = rng.choice(list(PORTS))
    port = PORTS[kind] + rng.randint(0, 3) * 20
    listed = [own for own, network in OWN.items() if network in mesh]
    draw = rng.random()
    if draw < 0.4:
        host = rng.choice((*NEAR, "localhost"))
    elif draw < 0.6:
        host = rng.choice(NAMES)
    elif is_careless and draw < 0.75:
        host = rng.choice((*OWN, *FAR))
    else:
        host = rng.choice(listed or list(NEAR))
    engine = _engine(rng, kind)
    for address in answers.get(host, ("127.0.0.1",) if host == "localhost" else (host,)):
        engine = engines.setdefault((address, port), engine)
    shown = f"[{host}]" if ":" in host else host
    model: dict[str, Any] = {"url": f"http://{shown}:{port}", "engine_model": rng.choice(engine.models)}
    if rng.random() < 0.7 or engine.kind == "other":
        is_known = rng.random() < 0.85  # else written down as something that merely speaks OpenAI's dialect
        model["engine"] = KINDS_WRITTEN.get(engine.kind, engine.kind) if is_known else KINDS_WRITTEN["other"]
    if rng.random() < 0.1:
        model["embeddings"] = False
    return model


def _engine(rng: Random, kind: str) -> Engine:
    if kind == "ollama":
        models = ("llama:8b", "nomic-embed", "big:cloud", "stand-in")
        cloud = rng.choice(("off", "off", "off", "old", "on", "silent"))
        return Engine(kind, models, frozenset(("big:cloud", "stand-in")), cloud)
    if kind == "router":
        return Engine(kind, ("here", "spread"), frozenset(("spread",)))
    return Engine(kind, ("base",))


def _rented(rng: Random) -> dict[str, Any]:
    return {"provider": rng.choice(list(PROVIDERS)), "provider_model": "far-large", "price": {"input": 3, "output": 15}}


def _discovery(rng: Random, engines: dict[tuple[str, int], Engine]) -> dict[str, Any]:
    """Sometimes engines are looked for on this machine, and one or two that nobody has written down are there."""
    ports: dict[str, list[int]] = {}
    for port, kind in FOUND_PORTS.items():
        ports[kind] = [port]
        if rng.random() < 0.3:
            engines.setdefault(("127.0.0.1", port), _engine(rng, kind))
    return {"adopt": rng.random() < 0.5, "interval_s": 0.3, "ports": ports}


def _sensitivity(rng: Random) -> dict[str, Any]:
    kinds = [kind for kind in KINDS if rng.random() < 0.7]
    names = [*kinds, "project", "hr", "press"]
    return {
        "kinds": kinds,
        "patterns": {"project": "zebra-[0-9]{4}"},
        "labels": ["hr", "press"],
        "boundaries": {name: rng.choice(("host", "mesh")) for name in names if rng.random() < 0.5},
    }


def _bound(
    rng: Random, models: dict[str, Any], mesh: list[str], answers: dict[str, tuple[str, ...]], is_careless: bool
) -> dict[str, Any]:
    """Profiles, and the agents and tools that are bound to them."""
    profiles: dict[str, Any] = {}
    for name in ("default", *rng.sample(PROFILES[1:], rng.randint(1, 5))):
        profiles[name] = _profile(rng, models, is_careless)
    plain = [name for name, profile in profiles.items() if profile.get("tier") != "T4"]
    for profile in profiles.values():
        if profile.get("tier") == "T4" and plain:
            profile["delegates"] = rng.sample(plain, rng.randint(0, len(plain)))
    names = list(profiles)
    return {
        "profiles": profiles,
        "parking": {"most": 0},  # told at once: who waits would wait for an engine that never comes
        "agents": {agent: {"profile": rng.choice(names)} for agent in AGENTS if rng.random() < 0.7},
        "tools": {tool: {"profile": rng.choice(names)} for tool in TOOLS if rng.random() < 0.7},
    }


def _profile(rng: Random, models: dict[str, Any], is_careless: bool) -> dict[str, Any]:
    """Within its tier; its chain only holds what lies within it, unless somebody was careless."""
    tier = rng.choice((None, "T1", "T2", "T2", "T2", "T3", "T3", "T4"))
    profile: dict[str, Any] = {} if tier is None else {"tier": tier}
    if tier is None or rng.random() < 0.3:
        wide = () if tier in ("T1", "T4") and not (is_careless and rng.random() < 0.1) else ("cloud",)
        profile["boundary"] = rng.choice(("host", "mesh", *wide, *wide))
    reach = profile.get("boundary") or ("cloud" if tier in ("T2", "T3") else "host")
    fitting = [name for name, model in models.items() if (is_careless and rng.random() < 0.3) or _fits(model, reach)]
    if fitting and rng.random() < 0.15:
        profile["exact"] = {"model": rng.choice(fitting)}
    elif fitting and rng.random() < 0.9:
        profile["chain"] = rng.sample(fitting, rng.randint(1, len(fitting)))
    if rng.random() < 0.3:
        profile["ending"] = "park"
    return profile


def _fits(model: dict[str, Any], reach: str) -> bool:
    """Roughly, for drawing; whether it does is for the oracle to say."""
    if "provider" in model:
        return reach == "cloud"
    is_near = any(near in model["url"] for near in (*NEAR, "localhost"))
    return is_near or reach != "host"
