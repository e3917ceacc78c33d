"""An engine for coding programs: it has one of their own tools say a word, and then says what it was told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.testing.fake_dialects import Dialect, FakeModel

WORD = "ringfenced"
COMMAND = f"echo {WORD}"
GIVEN: dict[str, Any] = {
    "Bash": {"command": COMMAND, "description": "Says a word"},  # Claude Code, Continue
    "exec_command": {"cmd": COMMAND},  # Codex
    "shell": {"command": ["bash", "-lc", COMMAND]},
    "run_commands": {"commands": [COMMAND]},  # Cline
    "execute_command": {"command": COMMAND, "requires_approval": False},
}
"""By the name of a tool: what it is called with."""


@dataclass(frozen=True, slots=True)
class Coder(Dialect):
    """A vLLM whose model calls a shell once, and then repeats the last word of what came of it."""

    def answer(self, route: str, model: FakeModel, body: dict[str, Any]) -> dict[str, Any]:
        answer = Dialect.answer(self, route, model, body)
        if route == "chat":
            call = _call(body)
            message = {"role": "assistant", "content": None if call else _said(body)}
            answer["choices"][0]["message"] = message | ({"tool_calls": [call]} if call else {})
            answer["choices"][0]["finish_reason"] = "tool_calls" if call else "stop"
        return answer

    def events(self, route: str, model: FakeModel, body: dict[str, Any]) -> Iterator[bytes]:
        if route != "chat":
            yield from Dialect.events(self, route, model, body)
            return
        frame = {"id": "answer-1", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": model.name}
        call = _call(body)
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if call is None:
            deltas += [{"content": f"{word} "} for word in _said(body).split(" ")]
        else:
            whole, function = call["function"]["arguments"], call["function"]
            deltas.append({"tool_calls": [{"index": 0, **call, "function": function | {"arguments": ""}}]})
            pieces = (whole[:7], whole[7:])
            deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
        for delta in deltas:
            yield _data({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        finish = "stop" if call is None else "tool_calls"
        yield _data({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _data({**frame, "choices": [], "usage": self._usage(route, model, body)})
        yield b"data: [DONE]\n\n"


def _call(body: dict[str, Any]) -> dict[str, Any] | None:
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    name = next((name for name in names if name in GIVEN), None)
    if name is None or any(message["role"] == "tool" for message in body["messages"]):
        return None
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": json.dumps(GIVEN[name])}}


def _said(body: dict[str, Any]) -> str:
    told = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    return f"The tool said {WORD}." if told and WORD in json.dumps(told[-1]) else "Nothing was said."


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"
