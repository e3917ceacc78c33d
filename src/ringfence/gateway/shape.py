"""Whether what an engine sent has the shape of an answer: what has none is passed on, and never kept."""

from __future__ import annotations

from typing import Any, cast

import orjson

from ringfence.core.catalog import Ability

HOLDS: dict[Ability, tuple[str, str, type | tuple[type, ...]]] = {
    Ability.CHAT: ("choices", "message", dict),
    Ability.COMPLETIONS: ("choices", "text", str),
    Ability.EMBEDDINGS: ("data", "embedding", (list, str)),
    Ability.RERANK: ("results", "index", int),
}
"""The list that holds what was asked for, and what each of its items has."""


def has_shape(ability: Ability, data: bytes) -> bool:
    """Of a whole answer. Sounds and pictures are never kept."""
    if ability not in HOLDS:
        return False
    try:
        said: Any = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    name, part, kind = HOLDS[ability]
    items = cast("dict[str, Any]", said).get(name) if isinstance(said, dict) else None
    found = cast("list[Any]", items) if isinstance(items, list) else []
    return bool(found) and all(_has(item, part, kind) for item in found)


def _has(item: Any, part: str, kind: type | tuple[type, ...]) -> bool:
    return isinstance(item, dict) and isinstance(cast("dict[str, Any]", item).get(part), kind)
