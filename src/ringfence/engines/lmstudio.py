"""LM Studio: a desktop program that loads the model a request names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ringfence.core.catalog import NO_MEDIA, Ability, Medium
from ringfence.core.errors import Failure
from ringfence.core.ports import NO_WIRES, Ask, Fetch, Offer, Wire
from ringfence.engines import openai_dialect as dialect

GENERATES = frozenset((Ability.CHAT, Ability.COMPLETIONS))
ABILITIES = {"llm": GENERATES, "vlm": GENERATES, "embeddings": frozenset((Ability.EMBEDDINGS,))}

SEES = frozenset((Medium.IMAGE,))

OVERFLOWS = (
    re.compile(
        r"keep the first (?P<tokens>\d+) tokens.*?loaded with context length of only (?P<window>\d+) tokens", re.S
    ),
    re.compile(r"tokens to keep from the initial prompt is greater than the context length"),
    re.compile(r"[Rr]eached context length of (?P<window>\d+) tokens"),
    re.compile(r"request \((?P<tokens>\d+) tokens\) exceeds the available context size \((?P<window>\d+) tokens\)"),
)


@dataclass(frozen=True, slots=True)
class LmStudio:
    kind: str = "lmstudio"
    title: str = "LM Studio"
    usual_ports: tuple[int, ...] = (1234,)
    keeps_alive_after_stream: bool = True
    # `integrations` switches on tools of the program, some of which reach the network; `ttl` unloads models.
    forbidden_fields: frozenset[str] = dialect.REACHES_ELSEWHERE | {"integrations", "ttl"}
    wires: ClassVar[Mapping[Ability, Wire]] = NO_WIRES

    may_cut: bool = True
    alive_path: str = "/api/v0/models"
    controls: None = None
    salt_field: str = ""

    def mark(self, body: Any) -> Any:
        """It loads and unloads models as they are asked for."""
        fields = ("id", "state", "loaded_context_length")
        return [tuple(entry.get(field) for field in fields) for entry in dialect.entries(body) or ()]

    async def examine(self, fetch: Fetch) -> list[Offer] | None:
        """`max_context_length` is what a model could have; only a loaded one has a window."""
        listed = dialect.entries((await fetch("/api/v0/models")).body)
        if listed is None:
            return None
        return [
            Offer(
                engine_model=name,
                window=dialect.positive(entry.get("loaded_context_length")) if is_loaded else None,
                abilities=ABILITIES[kind],
                is_loaded=is_loaded,
                takes=SEES if kind == "vlm" else NO_MEDIA,
            )
            for entry in listed
            if (name := dialect.name_of(entry)) and (kind := str(entry.get("type"))) in ABILITIES
            for is_loaded in (entry.get("state") == "loaded",)
        ]

    async def count(self, ask: Ask, ability: Ability, body: dict[str, Any]) -> int | None:
        """It has no route for it."""
        return None

    def failure(self, status: int, body: Any) -> Failure:
        return dialect.failure(status, body, OVERFLOWS)


ADAPTER = LmStudio()
