"""Requests of every kind that are so many times as long as a window, and what may come of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from whole import Reply

Body = dict[str, Any]
WORDS = "the night watch walks from gate to gate and writes down what it sees "
BYTES_A_TOKEN = 1.5
"""About, of the random model's tokenizer."""
TOOLS: list[Body] = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks up a place.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
        },
    }
]
STREAM: Body = {"stream": True, "stream_options": {"include_usage": True}}
FORBIDDEN = (b"available context size", b"Context size has been exceeded", b"too large to process", b"server_error")
"""llama.cpp's own words for what is too long."""


def prose(size: int) -> str:
    return (WORDS * (size // len(WORDS) + 1))[:size]


def one_line_json(size: int) -> str:
    rows = [{"id": row, "place": f"gate {row % 7}", "seen": ["lamp", "boat"]} for row in range(size // 52 + 1)]
    return json.dumps(rows, separators=(",", ":"))


def log(size: int) -> str:
    lines = (
        f"2026-11-21T10:{row % 60:02}:00Z gate[{row % 9}]: lamp {row} lit in {row * 7 % 90} ms" for row in range(size)
    )
    text = ""
    for line in lines:
        text += line + "\n"
        if len(text) >= size:
            break
    return text


def far_script(size: int) -> str:
    piece = "夜の見張りは門から門へ歩く。👩‍🚀🚀 حارس الليل يمشي "
    return piece * (size // len(piece.encode()) + 1)


def user(text: str) -> Body:
    return {"role": "user", "content": text}


def called(known: str, result: str) -> list[Body]:
    call = {"id": known, "type": "function", "function": {"name": "look_up", "arguments": '{"place": "gate 3"}'}}
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": known, "content": result},
    ]


def _turns(size: int) -> list[Body]:
    turn = [user(prose(100)), {"role": "assistant", "content": prose(100)}]
    return [*(turn * (size // 200 + 1)), user("What was seen at gate 3?")]


def _tool_turns(size: int) -> list[Body]:
    found: list[Body] = []
    for number in range(size // 300 + 1):
        found += [user("And then?"), *called(f"c{number}", one_line_json(200)), {"role": "assistant", "content": "So."}]
    return [*found, user("What was seen at gate 3?")]


CHATS: dict[str, Callable[[int], Body]] = {
    "one message": lambda size: {"messages": [user(prose(size))]},
    "one line of JSON": lambda size: {"messages": [user("Which gate? " + one_line_json(size))]},
    "a log": lambda size: {"messages": [user(log(size) + "\nWhich lamp was slow?")]},
    "other scripts": lambda size: {"messages": [user(far_script(size))]},
    "no spaces": lambda size: {"messages": [user("x" * size)]},
    "marks of the template": lambda size: {"messages": [user("<|im_end|>\n<|im_start|>user\n" * (size // 28 + 1))]},
    "many turns": lambda size: {"messages": _turns(size)},
    "many calls": lambda size: {"messages": _tool_turns(size), "tools": TOOLS},
    "a system prompt": lambda size: {"messages": [{"role": "system", "content": prose(size)}, user("Who?")]},
    "a tool result": lambda size: {"messages": [user("Who?"), *called("c1", one_line_json(size))], "tools": TOOLS},
    "parts": lambda size: {"messages": [user([{"type": "text", "text": prose(size // 4)}] * 4)]},  # type: ignore[arg-type]
    "schemas": lambda size: {"messages": [user("Who?")], "tools": TOOLS * (size // 220 + 1)},
}
PROMPTS: dict[str, Callable[[int], Body]] = {
    "prompt": lambda size: {"prompt": prose(size)},
    "prompts": lambda size: {"prompt": [prose(size), prose(size // 2), "a"]},
    "log prompt": lambda size: {"prompt": log(size)},
    "token ids": lambda size: {"prompt": [65] * int(size / BYTES_A_TOKEN)},
}
INPUTS: dict[str, Callable[[int], Body]] = {
    "input": lambda size: {"input": prose(size)},
    "inputs": lambda size: {"input": [prose(size // 2), "a", far_script(size)]},
    "input ids": lambda size: {"input": [65] * int(size / BYTES_A_TOKEN)},
}


@dataclass(frozen=True)
class Asked:
    """One request. `window` is that of the model it is for."""

    name: str
    path: str
    body: Body
    window: int


def requests(model: str, window: int, times: float) -> Iterator[Asked]:
    """All kinds of them, `times` the window long, streamed and not."""
    size = int(window * times * BYTES_A_TOKEN)
    outputs: tuple[Body, ...] = (
        {"max_tokens": 8}, {}, {"max_tokens": 16}, {"max_completion_tokens": 10**6, "n_predict": -1},
    )  # fmt: skip
    for turn, (name, make) in enumerate(CHATS.items()):
        told = STREAM if turn % 2 == 0 else {}
        body = {"model": model, "ignore_eos": True} | told | make(size) | outputs[turn % 4]
        yield Asked(name, "/v1/chat/completions", body, window)
    for turn, (name, make) in enumerate(PROMPTS.items()):
        told = STREAM if turn % 2 == 1 else {}
        body = {"model": model, "ignore_eos": True} | told | make(size) | outputs[turn % 4]
        yield Asked(name, "/v1/completions", body, window)
    for name, make in INPUTS.items():
        yield Asked(name, "/v1/embeddings", {"model": model} | make(size), window)


def outcome(asked: Asked, reply: Reply) -> str:
    """'answered' or 'refused'; fails for anything else, and for an answer that is more than the window."""
    assert not any(words in reply.body for words in FORBIDDEN), (asked.name, reply.status, reply.body[:300])
    if reply.status == 400:
        assert reply.code == "context_length_exceeded", (asked.name, reply.body[:300])
        assert reply.json["error"]["message"].startswith("This model's maximum context length is "), reply.body[:300]
        assert reply.json["error"]["type"] == "invalid_request_error"
        return "refused"
    assert reply.status == 200, (asked.name, reply.status, reply.body[:300])
    assert reply.headers["x-ringfence-window"].partition(";")[0] in ("fit", "clamped", "compressed", "truncated")
    usage = _usage(asked, reply)
    prompts = _several(asked.body)
    if usage is not None:
        assert usage["prompt_tokens"] + usage.get("completion_tokens", 0) <= asked.window * prompts, (asked.name, usage)
    return "answered"


def _several(body: Body) -> int:
    given = body.get("prompt") or body.get("input")
    return len(given) if isinstance(given, list) and any(isinstance(one, str) for one in given) else 1


def error_events(reply: Reply) -> list[Body]:
    """The errors with which a stream ended."""
    return [event["error"] for event in _events(reply) if "error" in event]


def _events(reply: Reply) -> list[Body]:
    lines = [line.removeprefix("data: ") for line in reply.body.decode().split("\n\n") if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def _usage(asked: Asked, reply: Reply) -> Body | None:
    if not asked.body.get("stream"):
        found: Body = reply.json["usage"]
        return found
    assert reply.body.endswith(b"\n\ndata: [DONE]\n\n"), (asked.name, reply.body[-300:])
    assert not error_events(reply), (asked.name, reply.body[-300:])
    told = [event["usage"] for event in _events(reply) if event.get("usage")]
    return told[-1] if told else None
