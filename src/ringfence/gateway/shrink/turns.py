"""[pure] Which messages belong together: results with the call that they answer, turns with the user who began them."""

from __future__ import annotations

from typing import Any, cast

Body = dict[str, Any]
SYSTEM_ROLES = frozenset(("system", "developer"))


def callers(messages: list[Body]) -> list[int]:
    """For each message, the one whose call it answers; itself where it answers none.

    A result belongs to the latest call before it that has its id; an old one (`function`), which has none, to the
    latest of its name, or else to the latest.
    """
    asked: dict[str, int] = {}
    owners = list(range(len(messages)))
    for index, message in enumerate(messages):
        role = message.get("role")
        if role in ("tool", "function"):
            named = message.get("tool_call_id") if role == "tool" else message.get("name")
            owners[index] = asked.get(f"{role} {named}", asked.get(role, index))
        elif role == "assistant":
            for key in _asks(message):
                asked[key] = index
    return owners


def _asks(message: Body) -> list[str]:
    """What an assistant's message calls, as its results will name it."""
    keys: list[str] = []
    calls = message.get("tool_calls")
    for call in cast("list[Any]", calls) if isinstance(calls, list) else ():
        known: Any = cast(Body, call).get("id") if isinstance(call, dict) else None
        if isinstance(known, str):
            keys.append(f"tool {known}")
    old = message.get("function_call")
    if isinstance(old, dict):
        keys += [f"function {cast(Body, old).get('name')}", "function"]
    return keys


def turns(messages: list[Body], owners: list[int]) -> list[list[int]]:
    """Messages (but those of the system) by turn: each begins with a user's message, but never between a call and its
    result."""
    reach = _reach(owners)
    found: list[list[int]] = []
    furthest = -1
    for index, message in enumerate(messages):
        role = message.get("role")
        if role in SYSTEM_ROLES:
            continue
        if not found or (role == "user" and index > furthest):
            found.append([])
        found[-1].append(index)
        furthest = max(furthest, reach[index])
    return found


def _reach(owners: list[int]) -> list[int]:
    """For each message, the last one that belongs to it."""
    reach = list(range(len(owners)))
    for index, owner in enumerate(owners):
        reach[owner] = index
    return reach


def bundles(turn: list[int], owners: list[int]) -> list[list[int]]:
    """The messages of one turn, by call: what stays or goes together."""
    found: dict[int, list[int]] = {}
    for index in turn:
        found.setdefault(owners[index], []).append(index)
    return list(found.values())
