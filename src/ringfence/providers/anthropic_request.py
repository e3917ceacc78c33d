"""A request for a chat completion as one for Anthropic. A field is carried, asks for nothing, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringfence.core.errors import BadRequest
from ringfence.providers.anthropic_messages import Conversation, wrong
from ringfence.providers.fields import is_neutral, output_tokens, refuse_what_reaches_beyond, refused

EFFORTS = ("low", "medium", "high", "xhigh", "max")
AS_THEY_ARE = ("model", "stream", "top_p", "top_k", "cache_control")
READ_ELSEWHERE = frozenset((
    "max_completion_tokens", "max_tokens", "messages", "parallel_tool_calls", "store", "stream_options", "tool_choice",
    "tools",
))  # fmt: skip
HINTS = frozenset(("prompt_cache_key", "prompt_cache_retention"))
"""They change nothing in the answer."""

LEAST_BUDGET = 1024
"""Tokens for thinking; Anthropic refuses fewer."""

EMPTY_SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


def translated(body: dict[str, Any], max_tokens: int) -> dict[str, Any]:
    """The body for POST /v1/messages; BadRequest, naming the field, for what would be lost on the way."""
    refuse_what_reaches_beyond(body)
    asked: dict[str, Any] = {"max_tokens": output_tokens(body, max_tokens)}
    conversation = Conversation()
    for place, message in enumerate(body["messages"]):
        conversation.add(place, message)
    conversation.close()
    if conversation.system:
        asked["system"] = conversation.system
    asked["messages"] = conversation.messages
    for name, value in body.items():
        if name in READ_ELSEWHERE or name in HINTS or is_neutral(name, value):
            continue
        if name in AS_THEY_ARE:
            asked[name] = value
        elif name in FIELDS:
            FIELDS[name](asked, value)
        else:
            raise refused(name, "Anthropic has nothing like it")
    _tools(asked, body)
    return asked


def _stop(asked: dict[str, Any], stop: Any) -> None:
    sequences = [stop] if isinstance(stop, str) else stop
    if not isinstance(sequences, list) or any(not isinstance(text, str) or not text.strip() for text in sequences):
        raise wrong("stop", "stop sequences must be text that is more than white space")
    if sequences:
        asked["stop_sequences"] = sequences


def _temperature(asked: dict[str, Any], value: float) -> None:
    if not 0 <= value <= 1:
        raise wrong("temperature", "it must lie between 0 and 1")
    asked["temperature"] = value


def _user(asked: dict[str, Any], value: Any) -> None:
    asked["metadata"] = {"user_id": value}


def _tier(asked: dict[str, Any], value: Any) -> None:
    if value != "standard_only":
        raise wrong("service_tier", "it must be auto, default or standard_only")
    asked["service_tier"] = value


def _thinking(asked: dict[str, Any], value: Any) -> None:
    """Its budget is part of the output, and where that was made smaller, so is the budget."""
    budget = value.get("budget_tokens") if isinstance(value, dict) else None
    if type(budget) is int and LEAST_BUDGET < asked["max_tokens"] <= budget:
        value = {**value, "budget_tokens": asked["max_tokens"] - 1}
    asked["thinking"] = value


def _effort(asked: dict[str, Any], value: Any) -> None:
    if value == "none":
        asked.setdefault("thinking", {"type": "disabled"})
    elif value in EFFORTS:
        asked.setdefault("output_config", {})["effort"] = value
    else:
        raise wrong("reasoning_effort", f"it must be none, {', '.join(EFFORTS)}")


def _format(asked: dict[str, Any], value: Any) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return
    described = value.get("json_schema") if kind == "json_schema" else None
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        raise wrong("response_format", "give a json_schema; JSON without a schema cannot be asked for")
    schema = {"type": "json_schema", "schema": described["schema"]}
    asked.setdefault("output_config", {})["format"] = schema


FIELDS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "stop": _stop,
    "temperature": _temperature,
    "user": _user,
    "safety_identifier": _user,
    "reasoning_effort": _effort,
    "response_format": _format,
    "service_tier": _tier,
    "thinking": _thinking,
}


def _tools(asked: dict[str, Any], body: dict[str, Any]) -> None:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    is_single = body.get("parallel_tool_calls") is False
    if not tools:
        if choice not in (None, "none", "auto"):
            raise BadRequest("'tool_choice' needs 'tools'.", param="tool_choice", code="invalid_value")
        return
    asked["tools"] = [_tool(f"tools[{place}]", tool) for place, tool in enumerate(tools)]
    chosen = _choice(choice)
    if is_single and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    if choice is not None or is_single:
        asked["tool_choice"] = chosen


def _tool(where: str, tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise wrong(where, "only functions with a name are carried")
    schema = function.get("parameters") or EMPTY_SCHEMA
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise wrong(f"{where}.function.parameters", "it must be the schema of an object")
    carried = {"name": function["name"], "input_schema": {"type": "object", **schema}}
    if function.get("description"):
        carried["description"] = function["description"]
    if function.get("strict") is True:
        carried["strict"] = True
    if isinstance(tool.get("cache_control"), dict):
        carried["cache_control"] = tool["cache_control"]
    return carried


def _choice(choice: Any) -> dict[str, Any]:
    match choice:
        case None | "auto":
            return {"type": "auto"}
        case "none":
            return {"type": "none"}
        case "required":
            return {"type": "any"}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": name}
        case _:
            raise wrong("tool_choice", "it must be auto, none, required or one function")
