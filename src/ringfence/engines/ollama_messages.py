"""Chat messages as Ollama's own route takes them: content is one text, images stand beside it, arguments are objects.

As its own OpenAI layer does, a message of several parts becomes one message for each part, in their order, and what
belongs to the whole message goes with the last of them. Other than that layer, which passes roles on as they are:
`developer` is its `system` and `function` its `tool`, for its templates leave out the messages of roles that they do
not know.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from ringfence.core.errors import BadRequest

Message = dict[str, Any]

ROLES = {"developer": "system", "function": "tool"}
TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""By type of a part: the field that has its text."""
IMAGES = frozenset(("image_url", "input_image"))
IMAGE = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp))?;base64,(?P<data>[A-Za-z0-9+/]+={0,2})", re.ASCII)
"""What it decodes; it takes one without a type for an image of any kind."""
LEVELS_AROUND_ARGUMENTS = 8
"""Arguments are written into the request as an object, and nothing deeper than 254 levels can be written."""


def wrong(where: str, why: str) -> BadRequest:
    return BadRequest(f"'{where}' cannot be sent to Ollama: {why}.", param=where, code="unsupported_value")


def translated(messages: list[Message]) -> list[Message]:
    """All messages of a chat. BadRequest, naming the place, for what has no counterpart."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and isinstance(call.get("id"), str):
                names[call["id"]] = str(function.get("name"))  # of several with one id, the last
    carried: list[Message] = []
    for place, message in enumerate(messages):
        carried += _translated(f"messages[{place}]", message, names)
    return carried


def _translated(where: str, message: Message, names: dict[str, str]) -> list[Message]:
    role = message["role"]
    if message.get("audio"):
        raise wrong(f"{where}.audio", "Ollama has nothing like it")
    carried = _contents(where, message)
    for one in carried:
        one["role"] = ROLES.get(role, role)
    if role in ("tool", "function"):
        _of_a_tool(carried, message, names)
    last = carried[-1]
    thinking = message.get("reasoning") or message.get("reasoning_content")
    if isinstance(thinking, str) and "thinking" not in last:
        last["thinking"] = thinking
    if calls := message.get("tool_calls"):
        if not isinstance(calls, list):
            raise wrong(f"{where}.tool_calls", "it is no list")
        last["tool_calls"] = [_call(f"{where}.tool_calls[{place}]", call) for place, call in enumerate(calls)]
    elif called := message.get("function_call"):  # the older form of a single one
        last["tool_calls"] = [_call(f"{where}.function_call", {"function": called})]
    return carried


def _of_a_tool(carried: list[Message], message: Message, names: dict[str, str]) -> None:
    """Which call it answers, on each part of it: templates look for the name."""
    call, name = message.get("tool_call_id"), message.get("name")
    name = name if isinstance(name, str) and name else names.get(call, "") if isinstance(call, str) else ""
    for one in carried:
        if name:
            one["tool_name"] = name
        if isinstance(call, str) and call:
            one["tool_call_id"] = call


def _contents(where: str, message: Message) -> list[Message]:
    """One message for each part; at least one."""
    content, refusal = message.get("content"), message.get("refusal")
    if content is None:
        return [{"content": refusal if isinstance(refusal, str) else ""}]
    if isinstance(content, str):
        return [{"content": content}]
    carried: list[Message] = []
    thoughts: list[str] = []
    for place, part in enumerate(content):
        at = f"{where}.content[{place}]"
        kind = part.get("type")
        if kind in TEXTS:
            carried.append({"content": _text(at, part, TEXTS[kind])})
        elif kind in IMAGES:
            carried.append({"content": "", "images": [_image(f"{at}.image_url", part.get("image_url"))]})
        elif kind == "thinking":
            thoughts.append(_text(at, part, "thinking"))
        else:
            raise wrong(f"{at}.type", f"parts of type '{kind}' are not carried")
    carried = carried or [{"content": ""}]
    if thoughts:
        carried[-1]["thinking"] = "".join(thoughts)
    return carried


def _text(where: str, part: dict[str, Any], field: str) -> str:
    text = part.get(field)
    if not isinstance(text, str):
        raise wrong(where, f"it has no '{field}'")
    return text


def _image(where: str, image: Any) -> str:
    """The base64 of an image that is inside the request; none is ever fetched."""
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url.startswith("data:"):
        raise wrong(where, "it must be inside the request, as a 'data:' URL in base64")
    found = IMAGE.fullmatch(url)
    if found is None:
        raise wrong(where, "images must be JPEG, PNG or WebP in base64")
    return found["data"]


def _call(where: str, call: Any) -> Message:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise wrong(where, "it is not a call of a function")
    arguments = _arguments(f"{where}.function.arguments", function.get("arguments"))
    carried: Message = {"function": {"name": function["name"], "arguments": arguments}}
    if isinstance(call.get("id"), str):
        carried["id"] = call["id"]
    return carried


def _arguments(where: str, text: Any) -> dict[str, Any]:
    """A call without arguments may have an empty text, or none."""
    value = text
    if isinstance(text, str) and text.strip():
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise wrong(where, "it is not valid JSON") from None
    value = value or {}
    if not isinstance(value, dict):
        raise wrong(where, "it must be a JSON object")
    around: Any = value
    for _ in range(LEVELS_AROUND_ARGUMENTS):
        around = [around]
    try:
        orjson.dumps(around)
    except orjson.JSONEncodeError:
        raise wrong(where, "it is nested too deep") from None
    return value
