"""[pure] How each dialect's body falls into pieces."""

from __future__ import annotations

from typing import Any, cast

from ringfence.gateway.count import (
    BOUNDS,
    FILL_TOKENS,
    MEDIA_PARTS,
    PLAIN_TOKENS,
    TEXT_KEYS,
    Meter,
    byte_length,
    chat_bound,
)
from ringfence.gateway.shrink.pieces import Body, Kind, Piece, Place, Prompt, Shape, Unit
from ringfence.gateway.shrink.turns import SYSTEM_ROLES, bundles, callers, turns

LONG = 512
"""A user's message of an earlier turn that is longer is taken for a document."""
KINDS = {
    "system": Kind.SYSTEM, "developer": Kind.SYSTEM, "user": Kind.USER, "assistant": Kind.ASSISTANT,
    "tool": Kind.TOOL_RESULT, "function": Kind.TOOL_RESULT,
}  # fmt: skip
RANK_TOKENS = 128
"""What models that rank by their words put around a query and a document, at most."""
DOCUMENT_KEYS = ("text", "content", "contents", "snippet", "body")


class Chat:
    """Messages."""

    generates = True

    def bound(self, body: Body, meter: Meter) -> int | None:
        return chat_bound(body, meter)

    def prompts(self, body: Body, meter: Meter) -> list[Prompt]:
        messages: list[Body] = body["messages"]
        units = [_message(index, message, meter) for index, message in enumerate(messages)]
        owners = callers(messages)
        whole = turns(messages, owners)
        last, now = _current(messages, whole)
        prompt = Prompt("messages", meter.schemas(body, without=("documents",)), Unit())
        for index in (index for index, message in enumerate(messages) if message.get("role") in SYSTEM_ROLES):
            if index != last:
                prompt.system.append(units[index])
        for place, turn in enumerate(whole):
            if place == now:
                break
            old = _joined(units, turn)
            for piece in old.pieces:
                if piece.kind is Kind.USER and piece.tokens > LONG:
                    piece.kind = Kind.DOCUMENT
            prompt.old.append(old)
        prompt.current = _documents(body, meter)
        for bundle in bundles(whole[now], owners) if whole else ():
            unit = _joined(units, bundle)
            if last in bundle:
                prompt.last = unit
            else:
                prompt.current.append(unit)
        if not whole:
            prompt.last = units[last]
        return [prompt]


class Completions:
    """One prompt or several, each with the window for itself, and the suffix beside each."""

    generates = True

    def bound(self, body: Body, meter: Meter) -> int | None:
        return _prompts_bound(body, "prompt", meter)

    def prompts(self, body: Body, meter: Meter) -> list[Prompt]:
        suffix = body.get("suffix")
        beside = FILL_TOKENS + meter.count(suffix) if isinstance(suffix, str) else 0
        return [_plain(place, given, meter, beside) for place, given in _listed("prompt", body.get("prompt"))]


class Embeddings:
    """One text or several, each with the window for itself; never shortened, as that would be another text's vector."""

    generates = False

    def bound(self, body: Body, meter: Meter) -> int | None:
        return _prompts_bound(body, "input", meter)

    def prompts(self, body: Body, meter: Meter) -> list[Prompt]:
        found = [_plain(place, given, meter, 0) for place, given in _listed("input", body.get("input"))]
        for prompt in found:
            prompt.shrinks = False
        return found


class Rerank:
    """Each document, with the query, has the window for itself. Never shortened: that would be another document."""

    generates = False

    def bound(self, body: Body, meter: Meter) -> int | None:
        length = meter.count if meter.count in BOUNDS else byte_length
        return RANK_TOKENS + length(body["query"]) + max(length(text) for _, text in _documents_of(body))

    def prompts(self, body: Body, meter: Meter) -> list[Prompt]:
        beside = FILL_TOKENS + meter.count(body["query"])
        found = [_plain(place, text, meter, beside) for place, text in _documents_of(body)]
        for prompt in found:
            prompt.shrinks = False
        return found


SHAPES: dict[str, Shape] = {
    "chat": Chat(), "completions": Completions(), "embeddings": Embeddings(), "rerank": Rerank(),
}  # fmt: skip
"""By name of the dialect."""


def _current(messages: list[Body], whole: list[list[int]]) -> tuple[int, int]:
    """The last message of the user, or else the last one, and its turn."""
    for place in range(len(whole) - 1, -1, -1):
        for index in reversed(whole[place]):
            if messages[index].get("role") == "user":
                return index, place
    if whole:
        return whole[-1][-1], len(whole) - 1
    return len(messages) - 1, 0


def _message(index: int, message: Body, meter: Meter) -> Unit:
    """One message, by itself."""
    place: Place = ("messages", index)
    kind = KINDS.get(cast(str, message.get("role")), Kind.USER)
    unit = Unit([place], meter.around(message))
    content = message.get("content")
    if isinstance(content, str):
        unit.pieces.append(Piece(kind, (*place, "content"), content, meter.count(content)))
    elif isinstance(content, list):
        for position, part in enumerate(cast("list[Any]", content)):
            if isinstance(part, dict):
                _add_texts(unit, (*place, "content", position), cast(Body, part), kind, meter)
    return unit


def _add_texts(unit: Unit, place: Place, part: Body, kind: Kind, meter: Meter) -> None:
    """The texts of a part; what is signed cannot be shortened."""
    if part.get("type") in MEDIA_PARTS:
        return
    for key in TEXT_KEYS:
        text = part.get(key)
        if not isinstance(text, str):
            continue
        if key == "text" and "signature" not in part:
            unit.pieces.append(Piece(kind, (*place, key), text, meter.count(text)))
        else:
            unit.fixed += meter.count(text)


def _joined(units: list[Unit], indexes: list[int]) -> Unit:
    joined = Unit()
    for index in indexes:
        joined.add(units[index])
    return joined


def _documents(body: Body, meter: Meter) -> list[Unit]:
    """Documents that stand beside the messages, as some templates take them."""
    given = body.get("documents")
    if not isinstance(given, list):
        return []
    found: list[Unit] = []
    for index, document in enumerate(cast("list[Any]", given)):
        place: Place = ("documents", index)
        unit = Unit([place], meter.template.part)
        fields = cast(Body, document) if isinstance(document, dict) else {}
        key = next((key for key in DOCUMENT_KEYS if isinstance(fields.get(key), str)), None)
        if key is None:
            unit.fixed += meter.serialised(document)
        else:
            text: str = fields[key]
            unit.fixed += meter.serialised({**fields, key: ""})
            unit.pieces.append(Piece(Kind.DOCUMENT, (*place, key), text, meter.count(text)))
        found.append(unit)
    return found


def _documents_of(body: Body) -> list[tuple[Place, str]]:
    """The documents that are to be ranked, each with its place."""
    given = cast("list[Any]", body["documents"])
    return [(("documents", index), one if isinstance(one, str) else one["text"]) for index, one in enumerate(given)]


def _listed(name: str, given: Any) -> list[tuple[Place, Any]]:
    """The prompts of a body, each with its place. Bare token ids are one together."""
    if not isinstance(given, list):
        return [((name,), given)]
    entries = cast("list[Any]", given)
    ids = [entry for entry in entries if type(entry) is int]
    if len(ids) == len(entries):
        return [((name,), ids)]
    found: list[tuple[Place, Any]] = [((name, index), entry) for index, entry in enumerate(entries)]
    return [(place, entry) for place, entry in found if type(entry) is not int] + ([((name,), ids)] if ids else [])


def _plain(place: Place, given: Any, meter: Meter, beside: int) -> Prompt:
    """One prompt that no template surrounds. `beside` is what else stands in its window."""
    fixed = PLAIN_TOKENS + beside
    param = "".join(f"[{step}]" if isinstance(step, int) else step for step in place)
    if isinstance(given, str):
        unit = Unit([], 0, [Piece(Kind.USER, place, given, meter.count(given))])
        return Prompt(param, fixed, unit)
    if isinstance(given, list):
        return Prompt(param, fixed, Unit([], len(cast("list[Any]", given))), shrinks=False)
    unit = Unit()
    for key, value in cast(Body, given).items() if isinstance(given, dict) else ():
        if key == "text":
            unit.pieces.append(Piece(Kind.USER, (*place, key), value, meter.count(value)))
        else:
            unit.fixed += meter.media({"type": "image_url" if "image" in key else "file", key: value})
    return Prompt(param, fixed, unit)


def _prompts_bound(body: Body, name: str, meter: Meter) -> int | None:
    """The bound of the largest prompt; None for media, whatever they are."""
    length = meter.count if meter.count in BOUNDS else byte_length
    suffix = body.get("suffix")
    beside = FILL_TOKENS + length(suffix) if isinstance(suffix, str) else 0
    largest = 0
    for _, given in _listed(name, body.get(name)):
        if isinstance(given, dict):
            return None
        largest = max(largest, length(given) if isinstance(given, str) else len(given))
    return PLAIN_TOKENS + beside + largest
