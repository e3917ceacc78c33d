"""What a caller makes of a stream of chunks: the text, the calls and the end, put together as an SDK does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Assembled:
    """An answer as its chunks make it. `finishes` and `roles` hold each that was told, in order."""

    text: str = ""
    reasoning: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    finishes: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    is_done: bool = False


def assemble(data: bytes) -> Assembled:
    """AssertionError when what came is not a stream of chunks, or goes on after its end."""
    made = Assembled()
    for event in data.decode().split("\n\n"):
        if not event:
            continue
        assert not made.is_done and made.error is None, "nothing may follow the end"
        assert event.startswith("data: ")
        if event == "data: [DONE]":
            made.is_done = True
            continue
        chunk = json.loads(event[6:])
        if "error" in chunk:
            made.error = chunk["error"]
            continue
        assert chunk["object"] == "chat.completion.chunk"
        if chunk.get("usage"):
            made.usage = chunk["usage"]
        for choice in chunk["choices"]:
            _take(made, choice)
    return made


def _take(made: Assembled, choice: dict[str, Any]) -> None:
    delta = choice["delta"]
    made.text += delta.get("content") or ""
    made.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
    if delta.get("role"):
        made.roles.append(delta["role"])
    for call in delta.get("tool_calls") or ():
        if call["index"] == len(made.calls):
            made.calls.append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
        made.calls[call["index"]]["arguments"] += call["function"].get("arguments") or ""
    if choice["finish_reason"]:
        made.finishes.append(choice["finish_reason"])
