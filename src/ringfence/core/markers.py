"""[pure] Marks in a request up to which a provider keeps a prompt. They are Anthropic's; whoever else gets a request is
sent none."""

from __future__ import annotations

from typing import Any, cast

MARKER = "cache_control"

Fields = dict[str, Any]


def without_markers(body: Fields) -> Fields:
    """The same body where it has none; else a copy without them, which shares all that had none."""
    found = {name: value for name, value in body.items() if name != MARKER}
    for name in ("messages", "tools"):
        listed = found.get(name)
        if type(listed) is list:
            found[name] = _unmarked(cast("list[Any]", listed))
    return body if found == body else found


def _unmarked(listed: list[Any]) -> list[Any]:
    return [_bare(cast(Fields, one)) if type(one) is dict else one for one in listed]


def _bare(fields: Fields) -> Fields:
    """A message with its parts, or a tool with its function."""
    inner = fields.get("content")
    if type(inner) is list and any(MARKER in part for part in cast("list[Any]", inner) if type(part) is dict):
        parts = [_without(cast(Fields, part)) if type(part) is dict else part for part in cast("list[Any]", inner)]
        fields = {**fields, "content": parts}
    function = fields.get("function")
    if type(function) is dict and MARKER in function:
        fields = {**fields, "function": _without(cast(Fields, function))}
    return _without(fields) if MARKER in fields else fields


def _without(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name != MARKER}
