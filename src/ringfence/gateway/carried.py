"""[pure] What a translated request carries for one kind of target alone, taken out for all others.

Markers of caches, signatures of thoughts and what else only Anthropic knows stand inside the body, so that they reach
it unchanged (`providers/anthropic_request.py`). No other target is to see them: one would refuse them, another write
them into its prompt.
"""

from __future__ import annotations

import re
from typing import Any, cast

Body = dict[str, Any]

ANTHROPIC = "anthropic"
PREFILLED = "continue_final_message"
"""Says that the last message is the beginning of the answer."""
FOR_ANTHROPIC = ("thinking", "cache_control", PREFILLED)
"""Fields of a body that no other target gets."""
OF_MESSAGES = frozenset(("thinking_blocks", "is_error", "cache_control"))
FAILED = "The tool failed:"
"""The first part of a result that says so to those that have no field for it, where the result itself does not."""
ADDED = "said"
"""What `is_error` is then."""
HIGH = ("xhigh", "max")
"""Efforts that only some know; the next lower one that all know is `high`."""
READS_THOUGHTS = re.compile(r"https?://[^/]*(?:deepseek|moonshot|openrouter)\b", re.IGNORECASE)
"""Clouds that take the thoughts of earlier turns back, and some of whose models want them."""
REMINDER = "<system-reminder>\n{}\n</system-reminder>"
"""How a system message is told that stands in the midst of a conversation; programs that send such know these words."""
SYSTEM = ("system", "developer")
KEEPS_MARKERS = re.compile(r"https?://[^/]*openrouter\b", re.IGNORECASE)


def for_engine(body: Body, kind: str) -> Body:
    """For an engine of ours. Whether and for how long it is to think is said in the words of its kind."""
    asked = _without(body, marks=False, thoughts=True)
    thinking: Body = body.get("thinking") or {}
    if thinking.get("type") == "disabled":
        if kind == "ollama":
            asked["reasoning_effort"] = "none"
        elif kind in ("llamacpp", "vllm"):
            asked["chat_template_kwargs"] = {"enable_thinking": False}
    elif thinking.get("type") == "enabled" and kind == "llamacpp":
        asked["thinking_budget_tokens"] = thinking["budget_tokens"]
    if kind == "vllm" and body.get(PREFILLED):  # others do so unasked
        asked |= {"continue_final_message": True, "add_generation_prompt": False}
    return asked


def for_cloud(body: Body, kind: str, url: str) -> Body:
    """For a provider's dialect, of the cloud at `url`."""
    if kind == ANTHROPIC and "messages" in body:
        asked = {name: value for name, value in body.items() if name != PREFILLED}
        return asked | {"messages": [_restored(message) for message in body["messages"]]}
    return _without(body, marks=bool(KEEPS_MARKERS.match(url)), thoughts=bool(READS_THOUGHTS.match(url)))


def _without(body: Body, *, marks: bool, thoughts: bool) -> Body:
    """A copy of what changes; the caller's own stays as it is."""
    asked = {name: value for name, value in body.items() if name not in FOR_ANTHROPIC}
    if asked.get("service_tier") == "standard_only":
        asked["service_tier"] = "default"
    if asked.get("reasoning_effort") in HIGH:
        asked["reasoning_effort"] = "high"
    if "messages" in body:  # else it is no chat
        told = _in_their_turns(body["messages"])
        asked["messages"] = [_message(message, marks=marks, thoughts=thoughts) for message in told]
    if not marks and "tools" in asked:
        asked["tools"] = [_bare(tool) for tool in asked["tools"]]
    return asked


def _in_their_turns(messages: list[Body]) -> list[Body]:
    """One system message at most, and that first: many templates refuse any other, and Claude Code sends some with
    each request. One that comes later stays in its place, as text of the user's turn that it stands in, so that what
    was read before it can still be found in a cache."""
    count = next((place for place, one in enumerate(messages) if one.get("role") not in SYSTEM), len(messages))
    late = [place for place, one in enumerate(messages[count:], count) if one.get("role") in SYSTEM]
    if count < 2 and not late:
        return messages
    told = messages[:count]
    if count > 1:
        told = [told[0] | {"content": _joined([_parts(one) for one in told])}]
    for place, message in enumerate(messages[count:], count):
        is_late = place in late
        said = {"role": "user", "content": _joined([_reminding(message)])} if is_late else message
        if said.get("role") == "user" and told and told[-1].get("role") == "user" and (is_late or place - 1 in late):
            told[-1] = told[-1] | {"content": _joined([_parts(told[-1]), _parts(said)])}
        else:
            told.append(said)
    return told


def _reminding(message: Body) -> list[Body]:
    return [
        part | {"text": REMINDER.format(part["text"])} if part.get("type") == "text" else part
        for part in _parts(message)
    ]


def _parts(message: Body) -> list[Body]:
    content: Any = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())


def _joined(turns: list[list[Body]]) -> str | list[Body]:
    """Of several contents one: a text where all are, which every engine takes."""
    parts = [part for turn in turns for part in turn]
    if all(part.keys() == {"type", "text"} for part in parts):
        return "\n\n".join(part["text"] for part in parts)
    return parts


def _restored(message: Body) -> Body:
    """A result of a tool without the words that were added to it."""
    if message.get("is_error") != ADDED:
        return message
    content: Any = message["content"]
    parts = cast("list[Body]", content) if isinstance(content, list) else []
    kept = parts[1:] if parts and parts[0].get("text") == FAILED else parts
    return message | {"is_error": True, "content": kept if content != FAILED else None}


def _message(message: Body, *, marks: bool, thoughts: bool) -> Body:
    if len(message) == 2 and type(message.get("content")) is str:
        return message
    taken = OF_MESSAGES if thoughts else OF_MESSAGES | {"reasoning_content"}
    kept = {name: value for name, value in message.items() if name not in taken}
    if not marks:
        if isinstance(content := kept.get("content"), list):
            kept["content"] = [_bare(part) for part in cast("list[Body]", content)]
        if "tool_calls" in kept:
            kept["tool_calls"] = [_bare(call) for call in kept["tool_calls"]]
    return kept


def _bare(given: Any) -> Any:
    """Without the marker of a cache. What is no object here is for the engine to refuse."""
    if not isinstance(given, dict):
        return given
    return {name: value for name, value in cast(Body, given).items() if name != "cache_control"}
