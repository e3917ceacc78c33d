"""Ollama: many models behind one local port, some of which it would send to its own cloud.

What it says of that, and what is made of it:

- `/api/tags` has `remote_host` and `remote_model` for a model that is a stand-in for one of its cloud (`/api/show`
  repeats both and takes a POST). Names that end in `:cloud` or `-cloud` go there without being listed.
- `/api/status` has `cloud.disabled`. Where that is not true, no list of models is a promise: an alias or a stand-in
  made in the meantime sends the text of a model that looked local away. So then every model reaches the cloud.
  The owner switches it off with OLLAMA_NO_CLOUD=1 or `"disable_ollama_cloud": true` in ~/.ollama/server.json.
- Servers before 0.12 have no cloud, and those from then until `/api/status` came (0.16) cannot switch it off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import Fetch, Offer
from ringfence.engines import openai_dialect as dialect

GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))
EMBEDS = frozenset((Ability.EMBEDDINGS,))
FIRST_WITH_CLOUD = (0, 12)
VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.")
EMBEDDING_FAMILY = re.compile(r"bert|embed", re.I)

OVERFLOWS = (
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
    re.compile(r"prompt is longer than the context length"),
    re.compile(r"input length exceeds (?:the|maximum) context length"),
    re.compile(r"prompt too long; exceeded (?:max )?context length"),
)


@dataclass(frozen=True, slots=True)
class Ollama:
    """Its own defaults cut a long prompt without a word: the gateway must fit requests before it sends them."""

    kind: str = "ollama"
    title: str = "Ollama"
    usual_ports: tuple[int, ...] = (11434,)
    keeps_alive_after_stream: bool = True
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {"keep_alive"}

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """A window is known for loaded models only; the rest would need /api/show, which takes a POST."""
        told = (await fetch("/api/version")).body
        version = told.get("version") if isinstance(told, dict) else None
        if not isinstance(version, str):
            return None
        tags = dialect.entries((await fetch("/api/tags")).body, "models")
        if tags is None:
            return None
        has_cloud = not _is_before_cloud(version) and not _is_cloud_off((await fetch("/api/status")).body)
        running = dialect.entries((await fetch("/api/ps")).body, "models") or []
        windows = {name: dialect.positive(entry.get("context_length")) for entry in running if (name := _name(entry))}
        return [
            Offer(
                engine_model=name,
                window=windows.get(name),
                abilities=EMBEDS if _embeds(entry) else GENERATES,
                reaches_cloud=has_cloud or _is_remote(entry),
                is_loaded=name in windows,
            )
            for entry in tags
            if (name := _name(entry))
        ]

    def failure(self, status: int, body: Any) -> Failure:
        return dialect.failure(status, body, OVERFLOWS)


async def judged(offers: list[Offer], fetch: Fetch) -> list[Offer]:
    """What a server offers by another dialect: where it is an Ollama in truth, only what that would keep here stays.

    Its OpenAI routes say nothing of its cloud. Names such as gpt-oss:120b-cloud are taken at their word everywhere, as
    a proxy may hide the rest. Raises ConnectionError when it does not answer, for then nobody knows.
    """
    near: set[str] | None = None
    told = await _answered(fetch, "/api/version")
    if isinstance(told, dict) and isinstance(told.get("version"), str):
        await _answered(fetch, "/api/tags")
        own = await ADAPTER.examine(fetch)
        near = None if own is None else {offer.engine_model for offer in own if not offer.reaches_cloud}
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


def _is_before_cloud(version: str) -> bool:
    """False for 0.0.0 too, by which a build from source may be any version."""
    found = VERSION.match(version)
    return found is not None and (0, 0) < (int(found[1]), int(found[2])) < FIRST_WITH_CLOUD


def _embeds(entry: dict[str, Any]) -> bool:
    told = entry.get("capabilities")
    if isinstance(told, list) and told:
        return "embedding" in told and "completion" not in told
    details = entry.get("details")
    families = [details.get("family"), *(details.get("families") or [])] if isinstance(details, dict) else []
    return any(isinstance(family, str) and EMBEDDING_FAMILY.search(family) for family in families)


ADAPTER = Ollama()
