"""The configuration that is proven: the owner's own, with stand-ins for what it serves, and with temptations added.

What decides stays as it is: profiles, agents, tools, providers, chains, boundaries, sensitivity. Engines on this
machine are played on loopback, those of the mesh and every cloud by the sink, at the addresses their names get there.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from ringfence.config.models import ModelSettings
from ringfence.config.schema import Config

CLOUD_MODEL, MESH_MODEL, LOCAL_MODEL = "prove-cloud", "prove-mesh", "prove-local"
FREE = {"input": 0}
"""Whether a text may leave is asked; what that would cost is not."""
EMBEDDING_MODEL, NAMED_MODEL, ROVING_MODEL = "prove-embeddings", "prove-by-name", "prove-roving"
BROKEN_MODEL, REDIRECTING_MODEL, MEDIA_MODEL = "prove-broken", "prove-redirecting", "prove-media"
OF_MEDIA = ("speech", "transcription", "translation", "images")
OPEN_PROFILE, OPEN_AGENT, OPEN_TOOL = "prove-open", "prove-agent", "prove_tool"
LABEL, PROVIDER, DECOY = "prove-stay", "prove-rented", "decoy"
CLOUD_HOST, ELSEWHERE_HOST, ENGINE_HOST = "cloud.prove.example", "elsewhere.prove.example", "engine.prove.internal"
ELSEWHERE = "11.77.0.1"
"""Where nobody has any business: no name of the configuration leads there."""
OWN_PORT, LOCAL_PORT, EMBEDDING_PORT, BROKEN_PORT, REDIRECTING_PORT, MESH_PORT = 8101, 8102, 8103, 8104, 8105, 8106
OLLAMA_PORT = 11434
PARKED_S = 5
"""Long enough for an engine that failed to be tried again, and no longer than an attempt may take."""
CALLS_PER_DAY, MAX_TOKENS = 100_000, 1000
LOCAL_NAMES = ("localhost", "ip6-localhost")

LookUp = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is started for a proof. `config` is the content of a `ringfence.yaml`; the rest is how the sink plays."""

    config: dict[str, Any]
    profiles: dict[str, str]
    """Profile -> how far it reaches, in words of the configuration: host, mesh or cloud."""
    mesh: list[str]
    rented: dict[str, str]
    """Host of a provider -> its address in the sink."""
    names: dict[str, str]
    """Everything that the sink resolves."""
    own_names: list[str]
    tls_ports: list[int]
    engine_ports: list[int]
    clouds: list[str] = field(default_factory=list[str])
    """Hosts of the owner's own providers."""
    notes: list[str] = field(default_factory=list[str])

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


def tempt(config: Config, key_file: str, look_up: LookUp) -> Scene:
    """`key_file` holds a made-up cloud key; `look_up` finds the address of a host of the owner's mesh, outside."""
    return _Making(config, key_file, look_up).scene()


def system_look_up(host: str) -> str | None:
    """As this machine resolves it now; None when it does not."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return None


class _Making:
    def __init__(self, config: Config, key_file: str, look_up: LookUp) -> None:
        self._config = config
        self._key = f"file:{key_file}"
        self._look_up = look_up
        self._names: dict[str, str] = {ENGINE_HOST: "127.0.0.1", ELSEWHERE_HOST: ELSEWHERE}
        self._own_names = [ENGINE_HOST]
        self._rented: dict[str, str] = {}
        self._tls_ports, self._engine_ports = {443}, {MESH_PORT}
        self._notes: list[str] = []

    def scene(self) -> Scene:
        config = self._config
        told = {
            **_told(config, "profiles", "agents", "tools", "sensitivity"),
            "mesh": list(config.mesh),
            "server": {"host": "127.0.0.1", "port": 0},
            "timeouts": {"connect_s": 1, "first_byte_s": 10},
            "parking": {"deadline_s": PARKED_S},
            "batches": {"quiet_s": 0},
            "discovery": {"ports": {kind: [] for kind in ("llamacpp", "vllm", "lmstudio")} | {"ollama": [OLLAMA_PORT]}},
            "providers": {name: self._provider(name, one.dialect, one.url) for name, one in config.providers.items()},
            "models": {name: self._model(name, one) for name, one in config.models.items()},
        }
        for name, profile in told["profiles"].items():
            self._ease(name, profile)
        clouds = list(self._rented)
        self._add_temptations(told)
        reaches = {name: one.reaches.name.lower() for name, one in config.profiles.items()}
        return Scene(
            told, reaches, list(config.mesh), self._rented, self._names | self._rented, self._own_names,
            sorted(self._tls_ports), sorted(self._engine_ports), clouds, self._notes,
        )  # fmt: skip

    def _ease(self, name: str, profile: dict[str, Any]) -> None:
        """Of an exact target only its model stays: a stand-in has no weights, and would never be the one."""
        if profile.get("exact"):
            left_out = [key for key, value in profile["exact"].items() if key != "model" and value is not None]
            profile["exact"] = {"model": profile["exact"]["model"]}
            if left_out:
                self._notes.append(
                    f"profiles.{name}: of its exact target the model alone was asked for, not {', '.join(left_out)}: "
                    "stand-ins have no weights"
                )

    def _add_temptations(self, told: dict[str, Any]) -> None:
        told["profiles"][OPEN_PROFILE] = {"tier": "T3"}
        told["agents"][OPEN_AGENT] = {"profile": OPEN_PROFILE}
        told["tools"][OPEN_TOOL] = {"profile": OPEN_PROFILE}
        told["sensitivity"]["labels"] = [*told["sensitivity"].get("labels", ()), LABEL]
        told["providers"][PROVIDER] = self._provider(PROVIDER, "openai", f"https://{CLOUD_HOST}/v1") | {"batch": True}
        models = told["models"]
        told["thinking"] = {"model": LOCAL_MODEL, "reasoning": CLOUD_MODEL}
        models[CLOUD_MODEL] = {"provider": PROVIDER, "price": FREE}
        models[LOCAL_MODEL] = _stand_in(LOCAL_PORT)
        models[EMBEDDING_MODEL] = _stand_in(EMBEDDING_PORT)
        models[BROKEN_MODEL] = _stand_in(BROKEN_PORT)
        models[REDIRECTING_MODEL] = _stand_in(REDIRECTING_PORT)
        models[NAMED_MODEL] = _stand_in(LOCAL_PORT, ENGINE_HOST)
        models[ROVING_MODEL] = {"url": f"http://127.0.0.1:{OLLAMA_PORT}", "engine": "ollama", "engine_model": DECOY}
        if self._config.mesh:
            network = ip_network(self._config.mesh[0])
            host = network[min(77, network.num_addresses - 1)]
            models[MESH_MODEL] = _stand_in(MESH_PORT, f"[{host}]" if host.version == 6 else str(host))
            models[MEDIA_MODEL] = models[MESH_MODEL] | {"abilities": list(OF_MEDIA)}

    def _provider(self, name: str, dialect: str, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        self._rented[host] = host if _is_address(host) else f"11.99.1.{len(self._rented) + 1}"
        self._tls_ports.add(parts.port or 443)
        return {
            "dialect": dialect, "url": url, "api_key": self._key, "calls_per_day": CALLS_PER_DAY,
            "max_tokens": MAX_TOKENS,
        }  # fmt: skip

    def _model(self, name: str, settings: ModelSettings) -> dict[str, Any]:
        told: dict[str, Any] = {"aliases": list(settings.aliases), "parallel": settings.at_once()}
        if settings.window is not None:
            told["window"] = settings.window
        if settings.provider is not None:
            told |= {"provider": settings.provider, "price": FREE}
            return told | ({"provider_model": settings.provider_model} if settings.provider_model else {})
        return told | self._place(name, settings)

    def _place(self, name: str, settings: ModelSettings) -> dict[str, Any]:
        """On loopback, or at the address in the mesh that it really has."""
        url = next(iter(settings.addresses), None)
        if url is None or url.host in LOCAL_NAMES:
            return _stand_in(OWN_PORT)
        address = url.host if _is_address(url.host) else self._look_up(url.host)
        if address is None:
            self._notes.append(f"models.{name}: {url.host} has no address now; played on this machine instead")
            return _stand_in(OWN_PORT)
        if ip_address(address).is_loopback:
            return _stand_in(OWN_PORT)
        self._engine_ports.add(url.port)
        if url.host != address:
            self._names[url.host.lower()] = address
            self._own_names.append(url.host.lower())
        return _stand_in(url.port, f"[{url.host}]" if ":" in url.host else url.host)


def _told(config: Config, *sections: str) -> dict[str, Any]:
    return config.model_dump(mode="json", include=set(sections), exclude_unset=False)


def _stand_in(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    return {"url": f"http://{host}:{port}", "engine": "vllm", "engine_model": DECOY}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
