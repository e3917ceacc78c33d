"""Chat messages as Anthropic's: roles that alternate, calls and their results side by side, text left in its order.

System and developer messages are put before the conversation, in their order. Blocks without text, which Anthropic
refuses, are left out.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

from ringfence.core.errors import BadRequest

IMAGES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+);base64,(?P<data>[A-Za-z0-9+/]+={0,2})", re.ASCII)
NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9_-]")

Block = dict[str, Any]


def wrong(where: str, why: str) -> BadRequest:
    return BadRequest(f"'{where}' cannot be sent to Anthropic: {why}.", param=where, code="unsupported_value")


class Conversation:
    """Takes messages one by one; `system` and `messages` are what Anthropic gets."""

    def __init__(self) -> None:
        self.system: list[Block] = []
        self.messages: list[dict[str, Any]] = []
        self._ids: dict[str, str] = {}
        self._taken: dict[str, int] = {}
        """Ids that were given out, and how often one like it was asked for."""
        self._unanswered: set[str] = set()

    def add(self, place: int, message: dict[str, Any]) -> None:
        where, role = f"messages[{place}]", message.get("role")
        if role in ("system", "developer"):
            self.system += _texts(f"{where}.content", message.get("content"))
        elif role == "tool":
            self._answer(where, message)
        elif role in ("user", "assistant"):
            if self._unanswered:
                raise wrong(where, "every tool call must have its result before the conversation goes on")
            self._say(where, role, message)
        else:
            raise wrong(f"{where}.role", f"it has no role '{role}'")

    def close(self) -> None:
        """BadRequest when what was added is no conversation that Anthropic takes."""
        if self._unanswered:
            raise wrong("messages", "the last tool calls have no results")
        if not self.messages:
            raise wrong("messages", "there is no message from a user")
        if self.messages[0]["role"] != "user":
            raise wrong("messages", "the first message after the system's must be a user's")

    def _say(self, where: str, role: str, message: dict[str, Any]) -> None:
        if role == "user":
            blocks = _parts(f"{where}.content", message.get("content"))
            if not blocks:
                raise wrong(f"{where}.content", "it is empty")
        else:
            blocks = [*_thinking(where, message.get("thinking_blocks"))]
            blocks += _parts(f"{where}.content", message.get("content"))
            if isinstance(message.get("refusal"), str) and message["refusal"].strip():
                blocks.append({"type": "text", "text": message["refusal"]})
            if message.get("function_call"):
                raise wrong(f"{where}.function_call", "use tool_calls")
            calls = message.get("tool_calls") or ()
            blocks += [self._call(f"{where}.tool_calls[{number}]", call) for number, call in enumerate(calls)]
        self._append(role, blocks)

    def _append(self, role: str, blocks: list[Block]) -> None:
        """Neighbours of one role are one message: roles must alternate."""
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _call(self, where: str, call: Any) -> Block:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise wrong(where, "it is not a call of a function")
        arguments = function.get("arguments")
        block: Block = {
            "type": "tool_use",
            "id": self._new_id(str(call.get("id") or "")),
            "name": function["name"],
            "input": _arguments(f"{where}.function.arguments", arguments),
        }
        return _marked(block, call)

    def _new_id(self, given: str) -> str:
        """Anthropic takes only some characters in an id, and each only once in a conversation."""
        plain = carried = NOT_IN_AN_ID.sub("_", given) or "call"
        number = self._taken.get(plain, 1)
        while carried in self._taken:  # from where it came to the last time: thousands may have one id
            number += 1
            carried = f"{plain}_{number}"
        self._taken[plain] = number
        self._taken.setdefault(carried, 1)
        if given in self._unanswered:
            raise wrong("tool_calls", "two calls have the same id")
        self._ids[given] = carried
        self._unanswered.add(given)
        return carried

    def _answer(self, where: str, message: dict[str, Any]) -> None:
        given = message.get("tool_call_id")
        if not isinstance(given, str) or given not in self._unanswered:
            raise wrong(f"{where}.tool_call_id", "no call before it waits for this result")
        self._unanswered.discard(given)
        block: Block = {"type": "tool_result", "tool_use_id": self._ids[given]}
        if content := _parts(f"{where}.content", message.get("content")):
            block["content"] = content
        if message.get("is_error") is True:
            block["is_error"] = True
        self._append("user", [_marked(block, message)])


def _marked(block: Block, given: Block) -> Block:
    """With the marker of a cache that `given` has."""
    if isinstance(given.get("cache_control"), dict):
        block["cache_control"] = given["cache_control"]
    return block


def _parts(where: str, content: Any) -> list[Block]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks = (_part(f"{where}[{place}]", part) for place, part in enumerate(content))
    return [block for block in blocks if block is not None]


def _texts(where: str, content: Any) -> list[Block]:
    blocks = _parts(where, content)
    if any(block["type"] != "text" for block in blocks):
        raise wrong(where, "system messages can only be text")
    return blocks


def _part(where: str, part: Any) -> Block | None:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if not isinstance(text, str):
            raise wrong(where, f"it has no '{kind}'")
        block: Block | None = {"type": "text", "text": text} if text.strip() else None
    elif kind == "image_url":
        block = _image(where, part["image_url"])
    elif kind == "file":
        block = _document(where, part.get("file"))
    else:
        raise wrong(f"{where}.type", f"parts of type '{kind}' are not carried")
    return _marked(block, part) if block is not None else None


def _image(where: str, image: Any) -> Block:
    url = image.get("url") if isinstance(image, dict) else image
    kind, data = _data(f"{where}.image_url", url)
    if kind not in IMAGES:
        raise wrong(f"{where}.image_url", "images must be JPEG, PNG, GIF or WebP")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _document(where: str, file: Any) -> Block:
    fields: dict[str, Any] = file if isinstance(file, dict) else {}
    kind, data = _data(f"{where}.file", fields.get("file_data"))
    if kind != "application/pdf":
        raise wrong(f"{where}.file", "files must be PDF")
    block: Block = {"type": "document", "source": {"type": "base64", "media_type": kind, "data": data}}
    if isinstance(fields.get("filename"), str) and fields["filename"].strip():
        block["title"] = fields["filename"]
    return block


def _data(where: str, url: Any) -> tuple[str, str]:
    found = DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        raise wrong(where, "it must be inside the request, as a 'data:' URL in base64")
    return found["type"].lower(), found["data"]


def _thinking(where: str, blocks: Any) -> list[Block]:
    """Thinking as Anthropic has signed it; it must come back unchanged when tools go on."""
    if blocks is None:
        return []
    known = ("thinking", "redacted_thinking")
    if not isinstance(blocks, list) or any(not isinstance(b, dict) or b.get("type") not in known for b in blocks):
        raise wrong(f"{where}.thinking_blocks", "it is not a list of thinking as Anthropic gave it")
    return blocks


def _arguments(where: str, text: Any) -> dict[str, Any]:
    """An object, read so that nothing of it changes on its way; BadRequest for what JSON for Anthropic cannot hold."""
    if text is None or (isinstance(text, str) and not text.strip()):
        return {}
    try:
        read = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        orjson.dumps(read)
    except (ValueError, TypeError, RecursionError):
        raise wrong(where, "it is not JSON, or has numbers too large to carry") from None
    if not isinstance(read, dict):
        raise wrong(where, "it is not a JSON object")
    return read


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("beyond a double")
    return number
