"""Which tools a request has to do with: those that it offers, and those whose calls and results it brings along."""

from __future__ import annotations

from typing import Any, cast

UNKNOWN = ""
"""What has no name that could be listed."""
RESULTS = frozenset(("tool", "function"))
PARTS = frozenset(("tool_use", "tool_result"))
"""Parts by which other dialects call tools and bring results: their calls are not followed."""


def tool_names(body: dict[str, Any], but: str = "") -> list[str]:
    """In the fields of today (`tools`, `tool_calls`) and in those that they replaced (`functions`, `function_call`).

    Of any other shape, and for a result whose call is not there, nothing that could be listed. Without the name `but`.
    """
    names: list[str] = []
    if tools := body.get("tools"):
        names += [_name(_field(tool, "function")) for tool in _listed(tools)]
    if functions := body.get("functions"):
        names += map(_name, _listed(functions))
    called: set[str] = set()
    messages: list[dict[str, Any]] = body.get("messages") or []
    for said in messages if type(messages) is list else ():
        if type(said) is not dict:
            continue
        if type(content := said.get("content")) is list:
            names += [UNKNOWN for part in cast("list[Any]", content) if _field(part, "type") in PARTS]
        if "tool_calls" in said or "function_call" in said or said.get("role") in RESULTS:
            names += _brought(said, called)
    return names if not but else [name for name in names if name != but]


def _brought(said: dict[str, Any], called: set[str]) -> list[str]:
    """The tools of one message; `called` are the ids of the calls until now."""
    names: list[str] = []
    for call in _listed(said.get("tool_calls")):
        if isinstance(known := _field(call, "id"), str):
            called.add(known)
        names.append(_name(_field(call, "function")))
    if call := said.get("function_call"):
        names.append(_name(call))
    if said.get("role") == "function":
        names.append(_name(said))
    elif said.get("role") == "tool":
        if said.get("name") is not None:
            names.append(_name(said))
        answered = said.get("tool_call_id")
        if not isinstance(answered, str) or answered not in called:
            names.append(UNKNOWN)
    return names


def _listed(value: Any) -> list[Any]:
    """Its entries; one that is no list is one entry of no shape, and nothing is none."""
    if not value:
        return []
    return cast("list[Any]", value) if isinstance(value, list) else [None]


def _field(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def _name(value: Any) -> str:
    name = _field(value, "name")
    return name if isinstance(name, str) else UNKNOWN
