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
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar
from urllib.parse import quote

from ringfence.core.boundary import Boundary, boundary_of
from ringfence.core.catalog import Ability, Medium
from ringfence.core.errors import Crowded, Failure
from ringfence.core.ports import NO_WIRES, Ask, Fetch, Offer, Wire
from ringfence.engines import openai_dialect as dialect

# A llama.cpp server does not tell whether embeddings are switched on; where they are not, it says so when asked.
NOT_TOLD = frozenset((Ability.CHAT, Ability.COMPLETIONS, Ability.EMBEDDINGS))
RANKS = frozenset((Ability.RERANK,))
"""One that was started with `--reranking` computes scores, and nothing else that would be of use."""

OVERFLOWS = (
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
    re.compile(r"input \((?P<tokens>\d+) tokens\) is too large to process.*current batch size: (?P<limit>\d+)", re.S),
    re.compile(r"input \((?P<tokens>\d+) tokens\) is larger than the max context size \((?P<window>\d+) tokens\)"),
    re.compile(r"the request exceeds the available context size"),
)

CROWDED = "Context size has been exceeded"
"""Each request fits, and all of them together do not: slots that share one context (`--kv-unified`, as it is where
`-np` is not given) each tell the whole of it as theirs. Nothing that a server says distinguishes the two; on this
machine it is seen in how it was started (`shares_context`), elsewhere when this comes for the first time."""
NO_SUCH_ROUTE = (404, 405, 501)
NO_PROJECTOR = re.compile(r"(?:image|audio|video) input is not supported")
MODALITIES = {"vision": Medium.IMAGE, "audio": Medium.AUDIO, "video": Medium.VIDEO}

RPC_ARGUMENT = "--rpc"
RPC_VARIABLE = "LLAMA_ARG_RPC"
RPC_PRESET = re.compile(r"^[ \t]*(?:-{0,2}rpc|LLAMA_ARG_RPC)[ \t]*=(.*)$", re.M | re.I)

MODEL_ARGUMENTS = frozenset(("-m", "--model", "-mu", "--model-url", "-hf", "-hfr", "--hf-repo"))
MODEL_VARIABLES = frozenset(("LLAMA_ARG_MODEL", "LLAMA_ARG_MODEL_URL", "LLAMA_ARG_HF_REPO"))
SHARED_ARGUMENTS, SEPARATE_ARGUMENTS = frozenset(("-kvu", "--kv-unified")), frozenset(("-no-kvu", "--no-kv-unified"))

# It answers 500 to these, but they are the caller's to mend: trying again or elsewhere would not help.
OF_THE_CALLER = re.compile(
    r"Failed to parse (?:messages|tools|tool call arguments)|Unknown reasoning format"
    r"|Cannot use both json_schema and grammar"
)


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    kind: str = "llamacpp"
    title: str = "llama.cpp"
    usual_ports: tuple[int, ...] = (8080, 9931)
    # It drops the request that follows a stream on the same connection in some cases.
    keeps_alive_after_stream: bool = False
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {"filename", "id_slot", "slot_id"}
    wires: ClassVar[Mapping[Ability, Wire]] = NO_WIRES
    may_cut: bool = False
    alive_path: str = "/props"
    controls: None = None
    salt_field: str = ""

    def mark(self, body: Any) -> Any:
        """The window of a slot, how many there are, and of which model."""
        if not isinstance(body, dict):
            return None
        return _window(body), *(body.get(name) for name in ("total_slots", "model_path", "model_alias", "role"))

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
        asked = await fetch("/v1/rerank", about={"query": ""})  # 501 where it does not rank, whatever is asked
        abilities = RANKS if asked.status == 400 else NOT_TOLD
        takes = _takes(props)
        return [Offer(name, window, slots, abilities, takes=takes) for name in names]

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
        return Offer(name, _window(props), slots, NOT_TOLD, reaches_cloud=is_away, takes=_takes(props))

    async def count(self, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
        """By its own route for that; servers without it write out the template and count that."""
        if ability is not Ability.CHAT:
            return await dialect.longest(dialect.prompts_of(ability, body), partial(_tokens, ask, body.get("model")))
        if dialect.without_media(body)[1]:
            return None
        told = await ask("/v1/chat/completions/input_tokens", body)
        if told.status not in NO_SUCH_ROUTE:
            return dialect.counted(told, "input_tokens")
        written = (await ask("/apply-template", body)).body
        prompt = written.get("prompt") if isinstance(written, dict) else None
        return await _tokens(ask, body.get("model"), prompt) if isinstance(prompt, str) else None

    def failure(self, status: int, body: Any) -> Failure:
        said = dialect.read_error(body).message if status == 500 else ""
        if NO_PROJECTOR.match(said):
            return dialect.takes_none(said)
        if OF_THE_CALLER.match(said):
            status = 400
        elif said.startswith(CROWDED):
            return Crowded("The requests under way have filled the context that they share.", retry_after_s=1.0)
        return dialect.failure(status, body, OVERFLOWS)


async def _tokens(ask: Ask, model: Any, text: str) -> int | None:
    """With what a model puts before a text, and with special tokens where the text has their names: as it is served."""
    asked = {"model": model, "content": text, "add_special": True, "parse_special": True}
    told = await ask("/tokenize", asked)
    tokens = told.body.get("tokens") if told.status == 200 and isinstance(told.body, dict) else None
    return len(tokens) if isinstance(tokens, list) else None


def _takes(props: dict[str, Any]) -> frozenset[Medium] | None:
    """By its projector (`--mmproj`); servers before that told nothing of it."""
    told = props.get("modalities")
    if not isinstance(told, dict):
        return None
    return frozenset(medium for name, medium in MODALITIES.items() if told.get(name) is True)


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


def shares_context(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """True for a llama-server whose slots share one context: it was told to, or not told how many slots."""
    if not arguments or "llama" not in arguments[0].rpartition("/")[2]:
        return False
    if not MODEL_ARGUMENTS.intersection(arguments) and MODEL_VARIABLES.isdisjoint(environment):
        return False  # a router: its models are processes of their own
    for argument in reversed(arguments):
        if argument in SHARED_ARGUMENTS or argument in SEPARATE_ARGUMENTS:
            return argument in SHARED_ARGUMENTS
    if (told := environment.get("LLAMA_ARG_KV_UNIFIED")) is not None:
        return told.lower() in ("1", "true", "on", "enabled")
    slots = environment.get("LLAMA_ARG_N_PARALLEL", "-1")
    for argument, value in pairwise(arguments):
        if argument in ("-np", "--parallel"):
            slots = value
    return slots.startswith("-")


def _is_here(peer: str) -> bool:
    """Only a literal loopback address is: names are not judged, and the owner's networks are not known here."""
    try:
        return boundary_of(peer.rpartition(":")[0].strip("[]")) is Boundary.HOST
    except ValueError:
        return False


ADAPTER = LlamaCpp()
