"""JSON Schemas of callers, as checks. They are strangers' words: nothing is fetched for them, and no expression in them
takes long."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from ringfence.gateway.cascade.checks import Valid

MOST_SCHEMA_BYTES = 64 * 1024
MOST_KEPT = 64


def compiled(schema: Any) -> Valid:
    """Takes everything where the schema is none, is too large, or names something that lies elsewhere."""
    if not isinstance(schema, dict | bool):
        return _anything
    text = orjson.dumps(schema)
    return _compiled(text) if len(text) <= MOST_SCHEMA_BYTES else _anything


@lru_cache(MOST_KEPT)
def _compiled(text: bytes) -> Valid:
    try:
        validator = jsonschema_rs.validator_for(
            orjson.loads(text), retriever=_nothing_elsewhere, pattern_options=jsonschema_rs.RegexOptions()
        )
    except Exception:  # a schema may be wrong in any way, and the answer is then as good as any
        return _anything
    return validator.is_valid


def _nothing_elsewhere(uri: str) -> Any:
    raise ValueError(f"nothing is fetched: {uri[:100]}")


def _anything(_said: Any) -> bool:
    return True
