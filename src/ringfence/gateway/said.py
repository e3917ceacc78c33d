"""[pure] What a chat's answer says, whole or in pieces, whichever engine or cloud wrote it: thoughts, text, refusals,
and which call of a tool a piece belongs to. For voices, which tell it in another dialect."""

from __future__ import annotations

from typing import Any, cast

import orjson

Body = dict[str, Any]
BREAKS = str.maketrans("\r\n", "  ")


def text_in(said: Body) -> str:
    """Its text. Mistral's models that think answer with a list of parts."""
    content = said.get("content")
    return content if isinstance(content, str) else _joined(content, "text")


def thought_in(said: Body) -> str:
    """Its thoughts, which each calls as it likes."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := said.get(name), str) and thought:
            return thought
    content = said.get("content")
    return "" if isinstance(content, str) else _joined(content, "thinking")


def refusal_in(said: Body) -> str:
    refusal = said.get("refusal")
    return refusal if isinstance(refusal, str) else ""


def _joined(parts: Any, kind: str) -> str:
    """The texts of parts of one kind; those of Mistral's thoughts are lists of parts again."""
    if not isinstance(parts, list):
        return ""
    texts: list[str] = []
    for part in cast("list[Any]", parts):
        fields: Body = cast(Body, part) if isinstance(part, dict) else {}
        if fields.get("type") == kind:
            inner = fields.get(kind)
            texts.append(inner if isinstance(inner, str) else _joined(inner, "text"))
    return "".join(texts)


def calls_in(said: Body, *, is_whole: bool = False) -> list[Body]:
    """Its calls of tools, numbered where they are not; of a whole answer each is one of its own, whatever it says."""
    listed = said.get("tool_calls")
    found = cast("list[Body]", listed) if isinstance(listed, list) else []
    return [
        call if type(call.get("index")) is int and not is_whole else call | {"index": place}
        for place, call in enumerate(found)
    ]


class Calls:
    """The calls of one answer, numbered as they begin. An engine may give each the same index: then a name with another
    id begins the next."""

    def __init__(self) -> None:
        self._ids: list[Any] = []
        self._open: dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def place(self, call: Body) -> tuple[int, bool]:
        """The number of the call that a piece belongs to, and whether it begins with it."""
        index, known = call["index"], call.get("id")
        number = self._open.get(index)
        named: Body = call.get("function") or {}
        if number is not None and not (known and known != self._ids[number] and named.get("name")):
            return number, False
        self._open[index] = len(self._ids)
        self._ids.append(known)
        return len(self._ids) - 1, True


def arguments_of(given: Any) -> Any:
    """An object that is written as the model wrote it, on one line: numbers are read by others with fewer digits. None
    for what is no object."""
    if not given:
        return {}
    try:
        found: Any = orjson.loads(given) if isinstance(given, str) else given
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    return orjson.Fragment(given.translate(BREAKS)) if isinstance(given, str) else cast(Body, found)
