"""Anthropic's answers, whole and in events, in the words of chat completions: reasons, usage, calls of tools."""

from __future__ import annotations

from time import time
from typing import Any

import orjson

from ringfence.core.errors import UnreadableAnswer

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "length",
}
"""`pause_turn` is a turn that was not finished: a caller must not take it for whole."""


def finish_of(stop_reason: Any) -> str:
    """OpenAI's finish_reason; 'stop' for a reason that is not known yet."""
    return FINISHES.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def usage_of(reported: dict[str, Any]) -> dict[str, Any]:
    """OpenAI counts cached tokens among those of the prompt; Anthropic counts them beside it."""
    read, written = _count(reported, "cache_read_input_tokens"), _count(reported, "cache_creation_input_tokens")
    prompt = _count(reported, "input_tokens") + read + written
    completion = _count(reported, "output_tokens")
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_creation_tokens": written},
    }
    created = reported.get("cache_creation")
    if isinstance(created, dict) and (long := _count(created, "ephemeral_1h_input_tokens")):
        usage["prompt_tokens_details"]["cache_creation_1h_tokens"] = long
    details = reported.get("output_tokens_details")
    if isinstance(details, dict):
        usage["completion_tokens_details"] = {"reasoning_tokens": _count(details, "thinking_tokens")}
    return usage


def _count(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if type(value) is int and value >= 0 else 0


def translated(body: dict[str, Any]) -> dict[str, Any]:
    """A whole message as a chat completion; UnreadableAnswer when it is not one."""
    blocks = body.get("content")
    if body.get("type") != "message" or not isinstance(blocks, list):
        raise UnreadableAnswer("The provider sent something that is not an answer.")
    message: dict[str, Any] = {"role": "assistant", "content": None}
    texts, thoughts, calls = _sorted(blocks)
    if texts or not calls:
        message["content"] = "".join(texts)
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "".join(str(thought.get("thinking", "")) for thought in thoughts)
        message["thinking_blocks"] = thoughts
    details = body.get("stop_details")
    if isinstance(details, dict) and isinstance(details.get("explanation"), str):
        message["refusal"] = details["explanation"]
    reported = body.get("usage")
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_of(body.get("stop_reason"))}
    if isinstance(body.get("stop_sequence"), str):
        choice["stop_reason"] = body["stop_sequence"]
    return {
        "id": str(body.get("id", "")),
        "object": "chat.completion",
        "created": int(time()),
        "model": str(body.get("model", "")),
        "choices": [choice],
        "usage": usage_of(reported if isinstance(reported, dict) else {}),
    }


def _sorted(blocks: list[Any]) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """Texts, thinking and calls, each in its order. Kinds that a request from here cannot bring about are left out."""
    texts: list[str] = []
    thoughts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "tool_use", "id": str(call), "name": str(name)}:
                arguments = orjson.dumps(block.get("input") or {}).decode()
                calls.append({"id": call, "type": "function", "function": {"name": name, "arguments": arguments}})
            case {"type": "thinking" | "redacted_thinking"}:
                thoughts.append(block)
            case _:
                continue
    return texts, thoughts, calls
