"""Ollama: many models behind one local port, some of which it would send to its own cloud."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.errors import Failure
from ringfence.core.ports import Fetch, Offer
from ringfence.engines import openai_dialect as dialect

GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))
EMBEDS = frozenset((Ability.EMBEDDINGS,))
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
        version = (await fetch("/api/version")).body
        if not isinstance(version, dict) or not isinstance(version.get("version"), str):
            return None
        tags = dialect.entries((await fetch("/api/tags")).body, "models")
        if tags is None:
            return None
        running = dialect.entries((await fetch("/api/ps")).body, "models") or []
        windows = {name: dialect.positive(entry.get("context_length")) for entry in running if (name := _name(entry))}
        return [
            Offer(
                engine_model=name,
                window=windows.get(name),
                abilities=EMBEDS if _embeds(entry) else GENERATES,
                reaches_cloud=_reaches_cloud(name, entry),
                is_loaded=name in windows,
            )
            for entry in tags
            if (name := _name(entry))
        ]

    def failure(self, status: int, body: Any) -> Failure:
        return dialect.failure(status, body, OVERFLOWS)


def _name(entry: dict[str, Any]) -> str | None:
    return dialect.name_of(entry, "model") or dialect.name_of(entry, "name")


def _reaches_cloud(name: str, entry: dict[str, Any]) -> bool:
    """True for what Ollama marks as remote, and for the names that it treats so even when it does not."""
    tag = name.rpartition(":")[2].lower()
    is_named_so = tag == "cloud" or tag.endswith("-cloud") or name.lower().endswith("-cloud")
    return bool(entry.get("remote_host") or entry.get("remote_model")) or is_named_so


def _embeds(entry: dict[str, Any]) -> bool:
    told = entry.get("capabilities")
    if isinstance(told, list) and told:
        return "embedding" in told and "completion" not in told
    details = entry.get("details")
    families = [details.get("family"), *(details.get("families") or [])] if isinstance(details, dict) else []
    return any(isinstance(family, str) and EMBEDDING_FAMILY.search(family) for family in families)


ADAPTER = Ollama()
