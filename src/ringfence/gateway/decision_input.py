"""[pure] What is asked about at /v1/decisions, as the chat that it stands for.

It comes as `messages`, as for chat completions, or as `input`, as OpenAI's decisions have it. Nothing is sent anywhere:
what has no counterpart in a chat becomes a text of the same words.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from ringfence.core.errors import BadRequest
from ringfence.gateway.dialects import chat
from ringfence.gateway.dialects.dialect import Body, Dialect, wrong
from ringfence.gateway.head import Head
from ringfence.gateway.route import Foreign, Heard
from ringfence.gateway.voice import EVENT_HEAD

OWN_FIELDS = frozenset(("input", "questions", "prompt_cache_key", "prompt_cache_options", "safety_identifier"))
"""Of decisions alone; all others are those of a chat."""
TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
OUTPUTS = ("function_call_output", "custom_tool_call_output")


class Mute:
    """The voice of what is never answered by a model."""

    stream_head = EVENT_HEAD

    def answer(self, body: bytes) -> bytes:
        return body

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class Asking(Foreign):
    """Read as a chat, so that it is decided as the chat would be."""

    name = "decisions"
    paths = ("/v1/decisions", "/decisions")
    goes_as: Dialect = chat.DIALECT

    def heard(self, body: Body, head: Head) -> Heard:
        asked = {name: value for name, value in body.items() if name not in OWN_FIELDS}
        if "input" in body:
            if "messages" in body:
                raise BadRequest("Give one of 'input' and 'messages'.", param="input", code="invalid_value")
            asked["messages"] = _messages(body["input"])
        return Heard(asked, Mute())


ASKING = Asking()
"""No `DIALECT`: no request that is sent to a model is asked in it."""


def _messages(given: Any) -> list[Body]:
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise wrong("input", "a text, or a list of messages")
    return [_message(f"input[{place}]", one) for place, one in enumerate(cast("list[Any]", given))]


def _message(where: str, item: Any) -> Body:
    if not isinstance(item, dict):
        raise wrong(where, "an object")
    fields = cast(Body, item)
    kind = fields.get("type", "message")
    if not isinstance(kind, str):
        raise wrong(f"{where}.type", "a text")
    if kind in CALLS:
        function = {"name": fields.get("name"), "arguments": fields.get(CALLS[kind])}
        called = {"id": fields.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [called]}
    if kind in OUTPUTS:
        return {
            "role": "tool", "tool_call_id": fields.get("call_id"),
            "content": _content(f"{where}.output", fields.get("output")),
        }  # fmt: skip
    if kind != "message":
        raise wrong(f"{where}.type", f"one of message, {', '.join((*CALLS, *OUTPUTS))}")
    return {"role": fields.get("role"), "content": _content(f"{where}.content", fields.get("content"))}


def _content(where: str, given: Any) -> Any:
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise wrong(where, "a text, or a list of parts")
    return [_part(f"{where}[{place}]", one) for place, one in enumerate(cast("list[Any]", given))]


def _part(where: str, given: Any) -> Body:
    fields = cast(Body, given) if isinstance(given, dict) else {}
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise wrong(where, "an object with 'type'")
    if kind in TEXTS:
        return {"type": "text", "text": fields.get(TEXTS[kind])}
    if kind == "input_image":
        return {"type": "image_url", "image_url": {"url": fields.get("image_url")}}
    inner = {name: value for name, value in fields.items() if name != "type"}
    return {"type": "text", "text": orjson.dumps(inner).decode()}
