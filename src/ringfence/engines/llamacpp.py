"""llama.cpp's own server: one model a process, or several behind its router.

Built with GGML_RPC it can compute a model on other machines (`--rpc HOST:PORT,...`, or LLAMA_ARG_RPC); the text goes
there as tokens or activations. What a running server tells of it:

- a router lists the arguments and the preset of each model in `/v1/models`: a peer that is not loopback is seen;
- a server of one model tells nothing. Neither `/props` nor `/v1/models`, `/slots` or `/metrics` names its devices or
  its arguments, and a router does not tell LLAMA_ARG_RPC of its environment. On this machine the kernel tells what it
  was started with (`started_with_peers`), unless it runs as another user or in a container. Who starts such a server
  with peers beyond his networks must not list it for a model that has to stay home.

An engine that Ringfence starts has no peers: its start takes no such setting, and its environment is not handed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ringfence.core.boundary import Boundary, boundary_of
from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import Fetch, Offer
from ringfence.engines import openai_dialect as dialect

# A llama.cpp server does not tell whether embeddings are switched on; where they are not, it says so when asked.
NOT_TOLD = frozenset(Ability)

OVERFLOWS = (
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
    re.compile(r"input \((?P<tokens>\d+) tokens\) is too large to process.*current batch size: (?P<window>\d+)", re.S),
    re.compile(r"input \((?P<tokens>\d+) tokens\) is larger than the max context size \((?P<window>\d+) tokens\)"),
)

RPC_ARGUMENT = "--rpc"
RPC_VARIABLE = "LLAMA_ARG_RPC"
RPC_PRESET = re.compile(r"^[ \t]*(?:-{0,2}rpc|LLAMA_ARG_RPC)[ \t]*=(.*)$", re.M | re.I)

# It answers 500 to these, but they are the caller's to mend: trying again or elsewhere would not help.
OF_THE_CALLER = re.compile(
    r"Failed to parse (?:messages|tools|tool call arguments)|(?:image|audio|video) input is not supported"
    r"|Unknown reasoning format|Cannot use both json_schema and grammar"
)


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    kind: str = "llamacpp"
    title: str = "llama.cpp"
    usual_ports: tuple[int, ...] = (8080, 9931)
    # It drops the request that follows a stream on the same connection in some cases.
    keeps_alive_after_stream: bool = False
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {"filename", "id_slot", "slot_id"}

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """/props tells the kind and the window of one request; a router has no window of its own, its models do."""
        props = (await fetch("/props")).body
        if not isinstance(props, dict) or "default_generation_settings" not in props:
            return None
        listed = dialect.entries((await fetch("/v1/models")).body) or []
        if props.get("role") == "router":
            return [await self._routed(fetch, entry) for entry in listed if dialect.name_of(entry)]
        window, slots = _window(props), dialect.positive(props.get("total_slots"))
        if window is None:
            window, slots = await self._from_slots(fetch, slots)
        names = [name for entry in listed if (name := dialect.name_of(entry))]
        return [Offer(name, window, slots, NOT_TOLD) for name in names]

    async def _from_slots(self, fetch: Fetch, slots: int | None) -> tuple[int | None, int | None]:
        """Older servers tell the window of a slot here only."""
        listed = (await fetch("/slots")).body
        if not isinstance(listed, list):
            return None, slots
        told = [dialect.positive(slot.get("n_ctx")) for slot in listed if isinstance(slot, dict)]
        windows = [window for window in told if window is not None]
        return (min(windows) if windows else None), slots or len(listed) or None

    async def _routed(self, fetch: Fetch, entry: dict[str, Any]) -> Offer:
        """Asking for the properties of a model must not load it."""
        name, status = str(entry["id"]), entry.get("status")
        is_loaded = isinstance(status, dict) and status.get("value") == "loaded"
        is_away = any(not _is_here(peer) for peer in rpc_peers(status))
        if not is_loaded:
            return Offer(name, None, None, NOT_TOLD, reaches_cloud=is_away, is_loaded=False)
        props = (await fetch(f"/props?model={quote(name, safe='')}&autoload=false")).body
        if not isinstance(props, dict):
            return Offer(name, None, None, NOT_TOLD, reaches_cloud=is_away)
        slots = dialect.positive(props.get("total_slots"))
        return Offer(name, _window(props), slots, NOT_TOLD, reaches_cloud=is_away)

    def failure(self, status: int, body: Any) -> Failure:
        if status == 500 and OF_THE_CALLER.match(dialect.read_error(body).message):
            status = 400
        return dialect.failure(status, body, OVERFLOWS)


def _window(props: dict[str, Any]) -> int | None:
    settings = props.get("default_generation_settings")
    return dialect.positive(settings.get("n_ctx")) if isinstance(settings, dict) else None


def rpc_peers(status: Any) -> tuple[str, ...]:
    """The peers (host:port) that a router names for one of its models, from its arguments and its preset.

    An argument without a value counts as a peer without a name.
    """
    if not isinstance(status, dict):
        return ()
    told, preset = status.get("args"), status.get("preset")
    args = [str(arg) for arg in told] if isinstance(told, list) else []
    values = ["".join(args[place + 1 : place + 2]) for place, arg in enumerate(args) if arg == RPC_ARGUMENT]
    values += [arg.partition("=")[2] for arg in args if arg.startswith(f"{RPC_ARGUMENT}=")]
    values += RPC_PRESET.findall(preset) if isinstance(preset, str) else []
    return tuple(peer.strip() for value in values for peer in value.split(","))


def started_with_peers(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """True for a server that was told to compute on other machines."""
    told = environment.get(RPC_VARIABLE)
    peers = rpc_peers({"args": list(arguments)}) + (tuple(told.split(",")) if told else ())
    return any(not _is_here(peer.strip()) for peer in peers)


def _is_here(peer: str) -> bool:
    """Only a literal loopback address is: names are not judged, and the owner's networks are not known here."""
    try:
        return boundary_of(peer.rpartition(":")[0].strip("[]")) is Boundary.HOST
    except ValueError:
        return False


ADAPTER = LlamaCpp()
