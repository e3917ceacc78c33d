"""Ollama's own routes, for a fake engine: as strict as its Go types are, silent about what it cuts unless it is told.

What is asked there is made into what the fake's dialect answers, and the answer into Ollama's. It is made from the
documentation and the sources of Ollama; no part of the product is used, so that a mistake there is seen.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

Body = dict[str, Any]

ROUTES = {"/api/chat": "chat", "/api/generate": "completions", "/api/embed": "embeddings"}
CREATED = "2026-11-01T12:00:00.123456789Z"
TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)
INPUT_TOO_LONG = "the input length exceeds the context length"
COMMON: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "options": (dict,),
    "truncate": (bool,),
}
GENERATES = COMMON | {"stream": (bool,), "shift": (bool,), "logprobs": (bool,), "top_logprobs": (int,)}
TYPES: dict[str, dict[str, tuple[type, ...]]] = {
    "chat": GENERATES | {"messages": (list,), "tools": (list,), "format": (str, dict), "think": (bool, str)},
    "completions": GENERATES | {"prompt": (str,), "suffix": (str,), "raw": (bool,), "template": (str,)},
    "embeddings": COMMON | {"input": (str, list), "dimensions": (int,)},
}
MESSAGE_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("role", "content", "thinking", "tool_name", "tool_call_id"), (str,)),
    "images": (list,),
    "tool_calls": (list,),
}


class Wrong(Exception):
    """What its Go types do not take."""


def heard(route: str, body: Body) -> Body:
    """The request as one in OpenAI's dialect. Raises Wrong."""
    _check(body, TYPES[route])
    options: Body = body.get("options") or {}
    asked: Body = {"model": body.get("model"), "stream": body.get("stream", True) and route != "embeddings"}
    asked |= {"stop": options.get("stop"), "max_tokens": options.get("num_predict")}
    if route == "embeddings":
        if any(not isinstance(text, str) for text in _listed(body.get("input"))):
            raise Wrong("invalid input type")
        return asked | {"input": body.get("input")}
    if body.get("logprobs"):
        asked["logprobs"] = body["logprobs"] if route == "chat" else body.get("top_logprobs", 0)
    if asked["stream"]:
        asked["stream_options"] = {"include_usage": True}
    if route == "completions":
        return asked | {"prompt": body.get("prompt", "")}
    asked["messages"] = [_message(message) for message in body["messages"]]
    if body.get("tools"):
        asked["tools"] = body["tools"]
    if isinstance(body.get("format"), dict):
        asked["response_format"] = {"type": "json_schema", "json_schema": {"schema": body["format"]}}
    return asked


def refusal(route: str, body: Body, asked: Body, tokens: int, window: int) -> str | None:
    """What it says of a prompt that is too long, where it was told not to cut it."""
    if body.get("truncate", True) or (route != "embeddings" and body.get("shift", True)):
        return None
    if route == "embeddings":
        longest = max((len(text.split()) for text in _listed(asked["input"])), default=0)
        return INPUT_TOO_LONG if longest > window else None
    return TOO_LONG if tokens > window else None


def whole(route: str, answer: Body) -> Body:
    """An answer of the dialect as the route gives it."""
    frame: Body = {"model": answer["model"], "created_at": CREATED}
    usage = answer["usage"]
    if route == "embeddings":
        rows = [row["embedding"] for row in answer["data"]]
        return {"model": answer["model"], "embeddings": rows, "prompt_eval_count": usage["prompt_tokens"]}
    choice = answer["choices"][0]
    said = _said(route, choice.get("message") or {"content": choice.get("text")}, choice)
    return frame | said | _done(choice.get("finish_reason"), usage)


def lines(route: str, events: Iterator[bytes]) -> Iterator[bytes]:
    """Events of the dialect as lines of the route: the reason and the usage stand on the last one."""
    finish, usage, frame = "stop", {}, {}
    for event in events:
        data = event.removeprefix(b"data: ").strip()
        if data == b"[DONE]":
            continue
        told = json.loads(data)
        usage = told.get("usage") or usage
        frame = {"model": told["model"], "created_at": CREATED}
        for choice in told["choices"]:
            finish = choice.get("finish_reason") or finish
            said = _said(route, choice.get("delta") or {"content": choice.get("text")}, choice)
            if said.get("response") or (said.get("message") or {}).keys() & {"tool_calls", "thinking"} or _text(said):
                yield _line(frame | said | {"done": False})
    empty: Body = {"response": ""} if route == "completions" else {"message": {"role": "assistant", "content": ""}}
    yield _line(frame | empty | _done(finish, usage))


def _text(said: Body) -> str:
    return str((said.get("message") or {}).get("content") or "")


def _done(finish: str | None, usage: Body) -> Body:
    counts = {"prompt_eval_count": usage.get("prompt_tokens"), "eval_count": usage.get("completion_tokens")}
    told = {name: count for name, count in counts.items() if count}  # Go leaves out what is zero
    reason = "length" if finish == "length" else "stop"
    return {"done": True, "done_reason": reason, "total_duration": 5_000_000, "load_duration": 1_000} | told


def _said(route: str, said: Body, choice: Body) -> Body:
    odds = choice.get("logprobs") or {}
    told: list[Any] = odds.get("content") or [
        {"token": token, "logprob": odd}
        for token, odd in zip(odds.get("tokens", ()), odds.get("token_logprobs", ()), strict=True)
    ]
    more: Body = {"logprobs": told} if told else {}
    if route == "completions":
        return {"response": said.get("content") or ""} | more
    message: Body = {"role": "assistant", "content": said.get("content") or ""}
    if said.get("tool_calls"):
        message["tool_calls"] = [
            {
                "id": call["id"],
                "function": {
                    "index": 0,
                    "name": call["function"]["name"],
                    "arguments": json.loads(call["function"]["arguments"]),
                },
            }
            for call in said["tool_calls"]
        ]
    return {"message": message} | more


def _message(message: Any) -> Body:
    if not isinstance(message, dict):
        raise Wrong("json: cannot unmarshal into Go struct field ChatRequest.messages of type api.Message")
    _check(message, MESSAGE_TYPES)
    for image in message.get("images") or ():
        try:
            base64.b64decode(image, validate=True)
        except (TypeError, binascii.Error):
            raise Wrong("illegal base64 data at input byte 0") from None
    for call in message.get("tool_calls") or ():
        if not isinstance(call["function"]["arguments"], dict):
            raise Wrong("json: cannot unmarshal string into Go struct field .function.arguments")
    return {"role": message["role"], "content": message.get("content", "")}


def _check(body: Body, types: dict[str, tuple[type, ...]]) -> None:
    for name, wanted in types.items():
        if name in body and type(body[name]) not in wanted:
            said = f"json: cannot unmarshal {type(body[name]).__name__} into Go struct field .{name}"
            raise Wrong(said)


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _line(body: Body) -> bytes:
    return json.dumps(body).encode() + b"\n"
