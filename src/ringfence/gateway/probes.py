"""[pure] Measuring what a model's chat template adds: small requests whose tokens the engine counts, and what follows.

The caller asks the engine (or renders and tokenises) once, when a model is loaded. A probe that the engine refuses, as
some templates refuse a system prompt or tools, has no count; what only it would tell keeps its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ringfence.gateway.count import UNMEASURED, Template

Body = dict[str, Any]
SLACK = 4
"""A template may treat the first, the last or every other message in its own way: tokens more for each."""
HELLO: Body = {"role": "user", "content": "a"}


def _tool(name: str) -> Body:
    return {"type": "function", "function": {"name": name, "description": "b", "parameters": {"type": "object"}}}


def _called(known: str) -> list[Body]:
    call = {"id": known, "type": "function", "function": {"name": "t", "arguments": "{}"}}
    return [
        {"role": "assistant", "content": "a", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": known, "content": "a"},
    ]


PROBES: dict[str, Body] = {
    "one": {"messages": [HELLO]},
    "three": {"messages": [HELLO, {"role": "assistant", "content": "a"}, HELLO]},
    "system": {"messages": [{"role": "system", "content": "a"}, HELLO]},
    "tool": {"messages": [HELLO], "tools": [_tool("t")]},
    "tools": {"messages": [HELLO], "tools": [_tool("t"), _tool("u"), _tool("v")]},
    "called": {"messages": [HELLO, *_called("c1")], "tools": [_tool("t")]},
}
"""By name: bodies without a model."""


def measured_template(counts: Mapping[str, int]) -> Template:
    """The template's own tokens, never less than what was counted. `counts` has the tokens of the probes by name."""
    one = counts.get("one")
    if one is None:
        return UNMEASURED
    around = [SLACK]
    if (three := counts.get("three")) is not None:
        around.append((three - one + 1) // 2)
    if (system := counts.get("system")) is not None:
        around.append(system - one)
    found = replace(UNMEASURED, base=one + SLACK)
    if len(around) > 1:
        found = replace(found, message=max(around) + SLACK)
    tool, tools = counts.get("tool"), counts.get("tools")
    if tool is not None and tools is not None:
        found = replace(found, tools=max(0, tool - one) + SLACK, tool=max(0, (tools - tool + 1) // 2) + SLACK)
        if (called := counts.get("called")) is not None:
            found = replace(found, call=max(0, called - tool) + SLACK)
    return found
