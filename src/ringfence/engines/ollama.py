"""Ollama: many models behind one local port, some of which it would send to its own cloud.

What it says of that, and what is made of it:

- `/api/tags` has `remote_host` and `remote_model` for a model that is a stand-in for one of its cloud (`/api/show`
  repeats both and takes a POST). Names that end in `:cloud` or `-cloud` go there without being listed.
- `/api/status` has `cloud.disabled`. Where that is not true, no list of models is a promise: an alias or a stand-in
  made in the meantime sends the text of a model that looked local away. So then every model reaches the cloud.
  The owner switches it off with OLLAMA_NO_CLOUD=1 or `"disable_ollama_cloud": true` in ~/.ollama/server.json.
- Servers before 0.12 have no cloud, and those from then until `/api/status` came (0.16) cannot switch it off.

Of windows:

- `/api/ps` has that of a model as it is loaded now. Another client may have had it loaded with another one.
- A request that names no window, as all of ours, has the model loaded with `num_ctx` of its Modelfile, which
  `/api/show` repeats, at most what it was trained for. Without it the server decides, by OLLAMA_CONTEXT_LENGTH or by
  the memory of the GPU; it does not say before a model is loaded.
- By its OpenAI routes it always cuts a prompt that is too long, without a word: the fields that forbid it (`truncate`,
  `shift`) are those of its own routes, and nothing carries them there. So it is asked by `/api/chat`, `/api/generate`
  and `/api/embed` (`ollama_wires`), and says what does not fit. Versions before 0.12.6 do not know the
  fields, and go on cutting: `Offer.may_cut`. It has no route that counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ringfence.core.catalog import NO_MEDIA, Ability, Medium
from ringfence.core.errors import Failure
from ringfence.core.ports import Ask, Fetch, Offer, Wire
from ringfence.engines import openai_dialect as dialect
from ringfence.engines.ollama_load import LOADS, OllamaLoad
from ringfence.engines.ollama_wires import WIRES, failure

GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))
EMBEDS = frozenset((Ability.EMBEDDINGS,))
SEES = frozenset((Medium.IMAGE,))
FIRST_WITH_CLOUD = (0, 12, 0)
FIRST_THAT_LISTENS = (0, 12, 6)
"""To `truncate` and `shift`."""
VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})?")
NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.M)
MOST_SHOWN = 64
SHOWN_WITHIN_S = 0.4
"""For all of them: a look at an engine as a whole takes less than a second. Those that are late are asked next time."""
Version = tuple[int, int, int]
EMBEDDING_FAMILY = re.compile(r"bert|embed", re.I)


@dataclass(frozen=True, slots=True)
class Ollama:
    """It is asked by routes of its own, where it can be told not to cut a prompt."""

    kind: str = "ollama"
    title: str = "Ollama"
    usual_ports: tuple[int, ...] = (11434,)
    keeps_alive_after_stream: bool = True
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {"keep_alive"}
    wires: ClassVar[Mapping[Ability, Wire]] = WIRES
    may_cut: bool = False
    alive_path: str = "/api/ps"
    controls: OllamaLoad = LOADS
    salt_field: str = ""

    def mark(self, body: Any) -> Any:
        """Which models are loaded, and with which window."""
        running = dialect.entries(body, "models") or ()
        return sorted((str(_name(entry)), str(entry.get("context_length"))) for entry in running)

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """The window of a model is the smaller of what is configured and what it is loaded with: a request of ours may
        have it loaded anew."""
        told = await _told(fetch)
        if told is None:
            return None
        tags, has_cloud, version = told
        running = dialect.entries((await fetch("/api/ps")).body, "models") or []
        windows = {name: dialect.positive(entry.get("context_length")) for entry in running if (name := _name(entry))}
        near = [name for entry in tags if not has_cloud and not _is_remote(entry) and (name := _name(entry))]
        shown = await _shown(fetch, near)
        return [
            Offer(
                engine_model=name,
                window=_smaller(windows.get(name), _num_ctx(shown.get(name))),
                abilities=EMBEDS if _embeds(entry) else GENERATES,
                reaches_cloud=has_cloud or _is_remote(entry),
                is_loaded=name in windows,
                family=_family(entry),
                may_cut=version < FIRST_THAT_LISTENS,
                takes=_takes(shown.get(name), entry),
            )
            for entry in tags
            if (name := _name(entry))
        ]

    async def count(self, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
        """It has no route for it."""
        return None

    def failure(self, status: int, body: Any) -> Failure:
        return failure(status, body)


async def _told(fetch: Fetch) -> tuple[list[dict[str, Any]], bool, Version] | None:
    """Its models, whether it could send their text to its cloud, and its version; None when it is no Ollama."""
    told = (await fetch("/api/version")).body
    version = told.get("version") if isinstance(told, dict) else None
    if not isinstance(version, str):
        return None
    tags = dialect.entries((await fetch("/api/tags")).body, "models")
    if tags is None:
        return None
    known = _version(version)
    has_cloud = not _is_before_cloud(known) and not _is_cloud_off((await fetch("/api/status")).body)
    return tags, has_cloud, known


async def _shown(fetch: Fetch, names: list[str]) -> dict[str, Any]:
    """What it tells of each of them. Only models that stay here are asked about."""
    asked = names[:MOST_SHOWN]
    tasks = [asyncio.ensure_future(fetch("/api/show", about={"model": name})) for name in asked]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=SHOWN_WITHIN_S)
        return {name: task.result().body for name, task in zip(asked, tasks, strict=True) if task.done()}
    finally:
        for task in tasks:
            task.cancel()


def _takes(*told: Any) -> frozenset[Medium] | None:
    """By the first that lists what the model can do; versions before 0.6.4 list nothing."""
    for one in told:
        listed = one.get("capabilities") if isinstance(one, dict) else None
        if isinstance(listed, list) and listed:
            return SEES if "vision" in listed else NO_MEDIA
    return None


def _num_ctx(shown: Any) -> int | None:
    """Of /api/show: `num_ctx`, in a text with a line for each parameter, bounded by what the model was trained for."""
    parameters = shown.get("parameters") if isinstance(shown, dict) else None
    found = NUM_CTX.search(parameters) if isinstance(parameters, str) else None
    if found is None:
        return None
    about = shown.get("model_info")
    facts: dict[str, Any] = about if isinstance(about, dict) else {}
    trained = dialect.positive(facts.get(f"{facts.get('general.architecture')}.context_length"))
    return _smaller(int(found[1]), trained)


def _smaller(one: int | None, other: int | None) -> int | None:
    return min(one, other) if one and other else one or other


async def judged(offers: list[Offer], fetch: Fetch) -> list[Offer]:
    """What a server offers by another dialect: where it is an Ollama in truth, only what that would keep here stays.

    Its OpenAI routes say nothing of its cloud. Names such as gpt-oss:120b-cloud are taken at their word everywhere, as
    a proxy may hide the rest. Raises ConnectionError when it does not answer, for then nobody knows.
    """
    near: set[str | None] | None = None
    about = await _answered(fetch, "/api/version")
    if isinstance(about, dict) and isinstance(about.get("version"), str):
        await _answered(fetch, "/api/tags")
        told = await _told(fetch)
        if told is not None:
            tags, has_cloud, _ = told
            near = {_name(entry) for entry in tags if not has_cloud and not _is_remote(entry)}
    return [
        replace(offer, reaches_cloud=True)
        if (near is not None and offer.engine_model not in near) or _has_cloud_tag(offer.engine_model)
        else offer
        for offer in offers
    ]


async def _answered(fetch: Fetch, path: str) -> Any:
    answer = await fetch(path)
    if answer.status == 0:
        raise ConnectionError(path)
    return answer.body


def _has_cloud_tag(name: str) -> bool:
    return ":" in name and is_cloud_name(name)


def _name(entry: dict[str, Any]) -> str | None:
    return dialect.name_of(entry, "model") or dialect.name_of(entry, "name")


def is_cloud_name(name: str) -> bool:
    """True for the names that Ollama sends to its cloud without having such a model, and for some that look so."""
    name = name.strip().lower()
    tag = name.rpartition(":")[2].strip()
    return tag == "cloud" or tag.endswith("-cloud") or name.endswith("-cloud")


def _is_remote(entry: dict[str, Any]) -> bool:
    names = [name for key in ("name", "model") if (name := dialect.name_of(entry, key))]
    return bool(entry.get("remote_host") or entry.get("remote_model")) or any(map(is_cloud_name, names))


def _is_cloud_off(status: Any) -> bool:
    """Only what says so plainly: no answer, or another one, is no switch."""
    cloud = status.get("cloud") if isinstance(status, dict) else None
    return isinstance(cloud, dict) and cloud.get("disabled") is True


def _version(told: str) -> Version:
    """Zeros where it cannot be read."""
    found = VERSION.match(told)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found is not None else (0, 0, 0)


def _is_before_cloud(version: Version) -> bool:
    """False for 0.0.x too, by which a build from source may be any version."""
    return (0, 1, 0) <= version < FIRST_WITH_CLOUD


def _family(entry: dict[str, Any]) -> str:
    details = entry.get("details")
    return (dialect.name_of(details, "family") or "") if isinstance(details, dict) else ""


def _embeds(entry: dict[str, Any]) -> bool:
    told = entry.get("capabilities")
    if isinstance(told, list) and told:
        return "embedding" in told and "completion" not in told
    details = entry.get("details")
    families = [details.get("family"), *(details.get("families") or [])] if isinstance(details, dict) else []
    return any(isinstance(family, str) and EMBEDDING_FAMILY.search(family) for family in families)


ADAPTER = Ollama()
