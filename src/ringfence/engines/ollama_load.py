"""Which models an Ollama holds in memory, and having it take one in or give it up.

An empty prompt loads a model and generates nothing (server/routes.go, GenerateHandler: `done_reason` is "load" or
"unload"). `keep_alive` -1 keeps it until told otherwise, 0 has it go at once. A model that only makes embeddings is
refused by /api/generate (400, "does not support generate") and told by /api/embed with an empty input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.core.ports import Ask, Fetch, Fetched
from ringfence.engines import openai_dialect as dialect

FOR_EVER, AT_ONCE = -1, 0


@dataclass(frozen=True, slots=True)
class OllamaLoad:
    """Fills `Loads`."""

    async def load(self, ask: Ask, model: str) -> bool:
        return await _told(ask, model, FOR_EVER)

    async def unload(self, ask: Ask, model: str) -> bool:
        return await _told(ask, model, AT_ONCE)

    async def loaded(self, fetch: Fetch) -> Mapping[str, int] | None:
        running = dialect.entries((await fetch("/api/ps")).body, "models")
        if running is None:
            return None
        return {
            name: dialect.positive(entry.get("size_vram")) or 0
            for entry in running
            if (name := dialect.name_of(entry, "model") or dialect.name_of(entry, "name"))
        }


async def _told(ask: Ask, model: str, keep_alive: int) -> bool:
    answer = await ask("/api/generate", {"model": model, "keep_alive": keep_alive, "stream": False})
    if _only_embeds(answer):
        answer = await ask("/api/embed", {"model": model, "keep_alive": keep_alive, "input": ""})
    return answer.status == 200


def _only_embeds(answer: Fetched) -> bool:
    body: Any = answer.body
    said = body.get("error") if answer.status == 400 and isinstance(body, dict) else None
    return isinstance(said, str) and "does not support generate" in said


LOADS = OllamaLoad()
