"""Fields of Anthropic's messages as those of chat completions. Each is carried, asks for nothing, or is refused.

What only Anthropic knows goes along under its own name; `gateway/carried.py` takes it out for every other target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ringfence.gateway.carried import PREFILLED
from ringfence.gateway.dialects.dialect import Body, wrong
from ringfence.gateway.dialects.media import unsupported
from ringfence.gateway.dialects.messages_blocks import EPHEMERAL, Conversation, objects, string

EFFORTS = ("low", "medium", "high", "xhigh", "max")
THINKING = ("enabled", "adaptive", "disabled")
AS_THEY_ARE = ("model", "max_tokens", "stream", "temperature", "top_p", "top_k")
CLEARED = ("clear_thinking_", "clear_tool_uses_")
"""Edits that drop what is old from a long conversation. What does not fit a window is dropped here anyway."""
LEFT_OUT = frozenset(("diagnostics", "betas", "anthropic_beta", "anthropic_version"))
"""They change nothing in the answer."""
NEUTRAL: dict[str, tuple[Any, ...]] = {"speed": ("standard",), "mcp_servers": ([],), "fallbacks": ([],)}
"""By field that is refused: values that ask for nothing."""
SERVER_TOOL = "Anthropic's own servers would run it; only tools that the caller runs itself are carried"
TOOL_HINTS = frozenset(("name", "type", "description", "input_schema", "strict", "cache_control"))
"""Fields of a tool that are carried."""


def translated(body: Body) -> Body:
    """A body for chat completions; BadRequest names the field, as the caller of messages knows it."""
    chat: Body = {name: body[name] for name in AS_THEY_ARE if body.get(name) is not None}
    listed = body.get("messages")
    if type(listed) is not list or not listed:
        raise wrong("messages", "a list with at least one message")
    conversation = Conversation()
    conversation.add_system(body.get("system"))
    for place, message in enumerate(cast("list[Any]", listed)):
        conversation.add(f"messages[{place}]", message)
    chat["messages"] = conversation.messages
    if (last := conversation.messages[-1:]) and last[0]["role"] == "assistant" and "tool_calls" not in last[0]:
        chat[PREFILLED] = True
    for name, value in body.items():
        if name in AS_THEY_ARE or name in ("messages", "system") or name in LEFT_OUT or value is None:
            continue
        if name in FIELDS:
            FIELDS[name](chat, value)
        elif value not in NEUTRAL.get(name, ()):
            raise unsupported(name, "messages are translated here, and nothing that is served has anything like it")
    if chat.get("stream") is True:
        chat["stream_options"] = {"include_usage": True}
    return chat


def _stop(chat: Body, value: Any) -> None:
    listed = cast("list[Any]", value) if isinstance(value, list) else None
    if listed is None or not all(isinstance(text, str) and text for text in listed):
        raise wrong("stop_sequences", "a list of strings that are not empty")
    if listed:
        chat["stop"] = listed


def _metadata(chat: Body, value: Any) -> None:
    fields = an_object("metadata", value)
    for name in fields:
        if name != "user_id":
            raise unsupported(f"metadata.{name}", "only 'user_id' is carried")
    if fields.get("user_id") is not None:
        chat["user"] = string("metadata.user_id", fields["user_id"])


def _thinking(chat: Body, value: Any) -> None:
    fields = an_object("thinking", value)
    if fields.get("type") not in THINKING:
        raise wrong("thinking.type", f"one of {', '.join(THINKING)}")
    budget = fields.get("budget_tokens")
    if fields["type"] == "enabled" and (type(budget) is not int or budget < 1):
        raise wrong("thinking.budget_tokens", "a whole number of at least 1")
    chat["thinking"] = fields


def _output(chat: Body, value: Any) -> None:
    for name, given in an_object("output_config", value).items():
        if given is None:
            continue
        if name == "format":
            _format(chat, given, "output_config.format")
        elif name == "effort":
            if given not in EFFORTS:
                raise wrong("output_config.effort", f"one of {', '.join(EFFORTS)}")
            chat["reasoning_effort"] = given
        else:
            raise unsupported(f"output_config.{name}", "only 'effort' and 'format' are carried")


def _format(chat: Body, value: Any, where: str = "output_format") -> None:
    fields = an_object(where, value)
    if fields.get("type") != "json_schema" or not isinstance(fields.get("schema"), dict):
        raise wrong(where, "an object with the type 'json_schema' and a 'schema'")
    described = {"name": "answer", "schema": fields["schema"], "strict": True}
    chat["response_format"] = {"type": "json_schema", "json_schema": described}


def _tools(chat: Body, value: Any) -> None:
    tools = [_tool(f"tools[{place}]", tool) for place, tool in enumerate(objects("tools", value))]
    if tools:
        chat["tools"] = tools


def _tool(where: str, tool: Body) -> Body:
    if tool.get("type") not in (None, "custom"):
        raise unsupported(f"{where}.type", SERVER_TOOL)
    if not isinstance(tool.get("input_schema"), dict):
        raise wrong(f"{where}.input_schema", "a JSON schema")
    for name in tool.keys() - TOOL_HINTS:
        _hint(where, name, tool[name])
    function: Body = {"name": string(f"{where}.name", tool.get("name")), "parameters": tool["input_schema"]}
    if tool.get("description") is not None:
        function["description"] = string(f"{where}.description", tool["description"])
    if tool.get("strict") is True:
        function["strict"] = True
    carried: Body = {"type": "function", "function": function}
    if tool.get("cache_control") is not None:
        carried["cache_control"] = _marker(f"{where}.cache_control", tool["cache_control"])
    return carried


def _hint(where: str, name: str, value: Any) -> None:
    """A field of a tool that is not carried: one that asks for nothing more is left out."""
    is_nothing = value in (None, False, [], ["direct"]) or name == "eager_input_streaming"
    if not is_nothing:
        raise unsupported(f"{where}.{name}", "nothing that is served has anything like it")


def _choice(chat: Body, value: Any) -> None:
    fields = an_object("tool_choice", value)
    match fields.get("type"):
        case "auto":
            chat["tool_choice"] = "auto"
        case "any":
            chat["tool_choice"] = "required"
        case "none":
            chat["tool_choice"] = "none"
        case "tool":
            named = {"name": string("tool_choice.name", fields.get("name"))}
            chat["tool_choice"] = {"type": "function", "function": named}
        case _:
            raise wrong("tool_choice.type", "one of auto, any, tool, none")
    if fields.get("disable_parallel_tool_use") is True:
        chat["parallel_tool_calls"] = False


def _tier(chat: Body, value: Any) -> None:
    if value not in ("auto", "standard_only"):
        raise wrong("service_tier", "'auto' or 'standard_only'")
    if value == "standard_only":
        chat["service_tier"] = value


def _cache(chat: Body, value: Any) -> None:
    chat["cache_control"] = _marker("cache_control", value)


def _marker(where: str, value: Any) -> Body:
    fields = an_object(where, value)
    if fields.get("type") != EPHEMERAL:
        raise wrong(f"{where}.type", f"'{EPHEMERAL}'")
    return fields


def _context(chat: Body, value: Any) -> None:
    edits: Any = an_object("context_management", value).get("edits")
    for place, edit in enumerate(objects("context_management.edits", edits or [])):
        if not str(edit.get("type")).startswith(CLEARED):
            why = "what is old is dropped where a window is too small, and nothing is summed up"
            raise unsupported(f"context_management.edits[{place}].type", why)


def an_object(where: str, value: Any) -> Body:
    if not isinstance(value, dict):
        raise wrong(where, "an object")
    return cast(Body, value)


FIELDS: dict[str, Callable[[Body, Any], None]] = {
    "stop_sequences": _stop,
    "metadata": _metadata,
    "thinking": _thinking,
    "output_config": _output,
    "output_format": _format,
    "tools": _tools,
    "tool_choice": _choice,
    "service_tier": _tier,
    "cache_control": _cache,
    "context_management": _context,
}
