"""Anthropic's content blocks as messages of a chat: calls of tools and their results become messages of their own.

Thoughts stand in `reasoning_content`, which engines read; those that Anthropic has signed also stand in
`thinking_blocks`, in which they go back to it unchanged.
"""

from __future__ import annotations

from typing import Any, cast

import orjson

from ringfence.gateway.carried import ADDED, FAILED
from ringfence.gateway.dialects.dialect import Body, wrong
from ringfence.gateway.dialects.media import remote, unsupported

EPHEMERAL = "ephemeral"
BILLING = "x-anthropic-billing-header:"
"""How a block begins with which Claude Code tells Anthropic who sends. It is no prompt, and differs each time, so that
nothing after it could be found in a cache."""
CARRIED = ("text", "image", "document", "search_result", "tool_use", "tool_result", "thinking", "redacted_thinking")
ROLES = ("user", "assistant", "system")
FIELDS: dict[str, frozenset[str]] = {
    "text": frozenset(("text",)),
    "image": frozenset(("source",)),
    "document": frozenset(("source", "title", "context", "citations")),
    "search_result": frozenset(("source", "title", "content", "citations")),
    "tool_use": frozenset(("id", "name", "input")),
    "tool_result": frozenset(("tool_use_id", "content", "is_error")),
    "thinking": frozenset(("thinking", "signature")),
    "redacted_thinking": frozenset(("data",)),
}
"""By type of a block: its fields, beside those of every block."""
MESSAGE = frozenset(("role", "content"))
ANY_BLOCK = frozenset(("type", "cache_control"))
ASK_NOTHING: tuple[Any, ...] = (None, False, [], {}, {"type": "direct"})
"""What any other field may say, for that is how it is without it."""


class Conversation:
    """Takes the system's text and then message by message; `messages` are the chat's."""

    def __init__(self) -> None:
        self.messages: list[Body] = []

    def add_system(self, system: Any) -> None:
        if system is None:
            return
        parts = _contents("system", system, only_text=True)
        if isinstance(system, list):
            parts = [part for part in parts if not part["text"].startswith(BILLING)]
        content = _joined(parts)
        if content:
            self.messages.append({"role": "system", "content": content})

    def add(self, where: str, given: Any) -> None:
        if not isinstance(given, dict):
            raise wrong(where, "an object with 'role' and 'content'")
        message = cast(Body, given)
        check_fields(where, message, MESSAGE, "a message")
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise wrong(f"{where}.role", f"one of {', '.join(ROLES)}")
        if isinstance(content, str):
            self.messages.append({"role": role, "content": content})
        elif role == "assistant":
            self._said(f"{where}.content", objects(f"{where}.content", content))
        elif role == "system":
            text = _joined(_contents(f"{where}.content", content, only_text=True))
            self.messages.append({"role": "system", "content": text})
        else:
            self._asked(f"{where}.content", objects(f"{where}.content", content))

    def _asked(self, where: str, blocks: list[Body]) -> None:
        """Results of tools come first, for they stand right behind the calls."""
        parts: list[Body] = []
        for place, block in enumerate(blocks):
            at = f"{where}[{place}]"
            if _known(at, block) != "tool_result":
                parts += _part(at, block)
            elif parts:
                raise unsupported(at, "results of tools come before everything else in a message")
            else:
                self.messages.append(_result(at, block))
        if parts or not blocks:
            self.messages.append({"role": "user", "content": _joined(parts)})

    def _said(self, where: str, blocks: list[Body]) -> None:
        turn = _Turn()
        for place, block in enumerate(blocks):
            at = f"{where}[{place}]"
            match _known(at, block):
                case "thinking" | "redacted_thinking":
                    if _is_signed(block) and turn.parts and not turn.calls:  # it is to stay behind that text
                        self.messages.append(turn.message())
                        turn = _Turn()
                    turn.think(at, block)
                case "tool_use":
                    turn.calls.append(_call(at, block))
                case _:
                    turn.parts += _part(at, block, only_text=True)
        self.messages.append(turn.message())


class _Turn:
    """One message of the assistant while it is put together."""

    def __init__(self) -> None:
        self.parts: list[Body] = []
        self.calls: list[Body] = []
        self.thoughts: list[str] = []
        self.signed: list[Body] = []

    def think(self, where: str, block: Body) -> None:
        if block["type"] == "thinking":
            self.thoughts.append(string(f"{where}.thinking", block.get("thinking")))
        if _is_signed(block):
            self.signed.append(block)

    def message(self) -> Body:
        message: Body = {"role": "assistant", "content": _joined(self.parts)}
        if thoughts := "".join(self.thoughts):
            message["reasoning_content"] = thoughts
        if self.signed:
            message["thinking_blocks"] = self.signed
        if self.calls:
            message["tool_calls"] = self.calls
        return message


def objects(where: str, listed: Any) -> list[Body]:
    """A list of objects."""
    if not isinstance(listed, list):
        raise wrong(where, "a list of objects")
    for place, value in enumerate(cast("list[Any]", listed)):
        if not isinstance(value, dict):
            raise wrong(f"{where}[{place}]", "an object")
    return cast("list[Body]", listed)


def check_fields(where: str, fields: Body, known: frozenset[str], what: str) -> None:
    """BadRequest for a field that asks for something and would be lost."""
    for name in fields.keys() - known:
        if fields[name] not in ASK_NOTHING:
            raise unsupported(f"{where}.{name}", f"{what} has no such field that is carried")


def _known(where: str, block: Body) -> Any:
    """The type of a block of which nothing is lost."""
    kind = block.get("type")
    if isinstance(kind, str) and kind in FIELDS:
        check_fields(where, block, FIELDS[kind] | ANY_BLOCK, f"a block of the type '{kind}'")
    return kind


def string(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(where, "a string")
    return value


def _contents(where: str, content: Any, *, only_text: bool = False) -> list[Body]:
    """A string or a list of blocks, as parts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks = objects(where, content)
    return [part for place, block in enumerate(blocks) for part in _part(f"{where}[{place}]", block, only_text)]


def _joined(parts: list[Body]) -> str | list[Body]:
    """One text that nothing else is said of is a string: every engine takes that."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts or ""


def _part(where: str, block: Body, only_text: bool = False) -> list[Body]:
    kind = _known(where, block)
    if kind == "text":
        parts: list[Body] = [{"type": "text", "text": string(f"{where}.text", block.get("text"))}]
    elif only_text:
        raise unsupported(f"{where}.type", "only text can stand here")
    elif kind == "image":
        parts = [{"type": "image_url", "image_url": {"url": _data(f"{where}.source", block.get("source"))}}]
    elif kind == "document":
        parts = _document(where, block)
    elif kind == "search_result":
        parts = _found(where, block)
    else:
        raise unsupported(f"{where}.type", f"there are blocks of the types {', '.join(CARRIED)}")
    if parts and block.get("cache_control") is not None:
        parts[-1]["cache_control"] = _marker(where, block)
    return parts


def _marker(where: str, block: Body) -> Any:
    marker = block["cache_control"]
    if not isinstance(marker, dict) or cast(Body, marker).get("type") != EPHEMERAL:
        raise wrong(f"{where}.cache_control", f"an object with the type '{EPHEMERAL}'")
    return cast(Body, marker)


def _data(where: str, given: Any) -> str:
    """A source inside the request, as a data URL."""
    source = cast(Body, given) if isinstance(given, dict) else {}
    if source.get("type") == "url":
        raise remote(where)
    if source.get("type") != "base64":
        raise unsupported(f"{where}.type", "send it inside the request, in base64")
    kind, data = string(f"{where}.media_type", source.get("media_type")), string(f"{where}.data", source.get("data"))
    return f"data:{kind};base64,{data}"


def _document(where: str, block: Body) -> list[Body]:
    _refuse_citations(where, block)
    source = cast(Body, block["source"]) if isinstance(block.get("source"), dict) else {}
    around = [string(f"{where}.{name}", block[name]) for name in ("title", "context") if block.get(name) is not None]
    kind = source.get("type")
    if kind in ("text", "content"):
        head: list[Body] = [{"type": "text", "text": text} for text in around]
        name = "data" if kind == "text" else "content"
        return head + _contents(f"{where}.source.{name}", source.get(name))
    file: Body = {"file_data": _data(f"{where}.source", source)}
    if block.get("title") is not None:
        file["filename"] = block["title"]
    if block.get("context") is not None:
        return [{"type": "text", "text": block["context"]}, {"type": "file", "file": file}]
    return [{"type": "file", "file": file}]


def _found(where: str, block: Body) -> list[Body]:
    """What a search found: its title, where it is from, and its texts."""
    _refuse_citations(where, block)
    head = [string(f"{where}.{name}", block.get(name)) for name in ("title", "source")]
    texts = _contents(f"{where}.content", block.get("content"), only_text=True)
    return [{"type": "text", "text": "\n".join(head)}, *texts]


def _refuse_citations(where: str, block: Body) -> None:
    citations = block.get("citations")
    if isinstance(citations, dict) and cast(Body, citations).get("enabled"):
        raise unsupported(f"{where}.citations", "nothing that is served tells what it cites")


def _is_signed(block: Body) -> bool:
    return block.get("type") == "redacted_thinking" or bool(block.get("signature"))


def _call(where: str, block: Body) -> Body:
    given = block.get("input")
    if not isinstance(given, dict):
        raise wrong(f"{where}.input", "an object")
    function = {"name": string(f"{where}.name", block.get("name")), "arguments": orjson.dumps(given).decode()}
    call: Body = {"id": string(f"{where}.id", block.get("id")), "type": "function", "function": function}
    if block.get("cache_control") is not None:
        call["cache_control"] = _marker(where, block)
    return call


def _result(where: str, block: Body) -> Body:
    given = block.get("content")
    parts = _contents(f"{where}.content", given) if given is not None else []
    message: Body = {"role": "tool", "tool_call_id": string(f"{where}.tool_use_id", block.get("tool_use_id"))}
    if block.get("is_error") is True:
        is_said = bool(parts) and parts[0]["type"] == "text" and "error" in parts[0]["text"][:40].lower()
        message["is_error"] = True if is_said else ADDED
        parts = parts if is_said else [{"type": "text", "text": FAILED}, *parts]
    message["content"] = _joined(parts)
    if block.get("cache_control") is not None:
        message["cache_control"] = _marker(where, block)
    return message
