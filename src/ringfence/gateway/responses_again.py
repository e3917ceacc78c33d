"""[pure] A response that has ended, told once more: the events with which it was told, one by one and in their order.

They are made by what made them the first time, from the items that it came to and the pieces that these came in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.responses_items import CallItem, Item, MessageItem, Piece, ReasoningItem, Tell
from ringfence.gateway.responses_stream import event_of
from ringfence.gateway.responses_tools import CUSTOM_INPUT, Named

ENDINGS = {"completed": "response.completed", "failed": "response.failed"}
"""By its status; any other is incomplete."""


def told_again(response: Body, manner: Body) -> list[bytes]:
    """`manner` is how it was told: a `ResponseVoice` says so. Without it each text comes in one piece."""
    told: list[bytes] = []

    def tell(event: str, fields: Body) -> None:
        told.append(event_of(event, len(told), fields))

    begun: Body = response | {
        "status": "in_progress",
        "output": [],
        "usage": None,
        "error": None,
        "incomplete_details": None,
    }
    begun.pop("completed_at", None)
    if (model := manner.get("queued")) is not None:
        queued: Body = begun | {"status": "queued", "model": model}
        tell("response.created", {"response": queued})
        tell("response.queued", {"response": queued})
    else:
        tell("response.created", {"response": begun})
    if manner.get("begun", True):
        tell("response.in_progress", {"response": begun})
    pieces: dict[str, list[Piece]] = manner.get("pieces") or {}
    for index, item in enumerate(response["output"]):
        _tell_item(tell, response["id"], index, item, iter(pieces.get(item["id"], ())))
    if (error := manner.get("error")) is not None:
        tell("error", error)
    tell(ENDINGS.get(response["status"], "response.incomplete"), {"response": response})
    return told


def _tell_item(tell: Tell, response_id: str, index: int, item: Body, pieces: Iterator[Piece]) -> None:
    kind = item["type"]
    fresh: Item
    if kind == "message":
        fresh = message = MessageItem(tell, response_id, index)
        _open(fresh, item)
        for part in item["content"]:
            _tell_part(message, part, pieces)
    elif kind == "reasoning":
        is_summary = bool(item["summary"])
        fresh = thought = ReasoningItem(tell, response_id, index, is_summary, "encrypted_content" in item)
        _open(fresh, item)
        for text, _ in _cut("".join(part["text"] for part in item["summary" if is_summary else "content"]), pieces):
            thought.hear(text)
    else:
        is_custom = kind == "custom_tool_call"
        named = Named(item["name"], item.get("namespace"), is_custom)
        fresh = call = CallItem(tell, response_id, index, named, item["call_id"])
        _open(fresh, item)
        whole = orjson.dumps({CUSTOM_INPUT: item["input"]}).decode() if is_custom else item["arguments"]
        for text, _ in _cut(whole, iter(()) if is_custom else pieces):
            call.hear(text)
    fresh.close(item.get("status") or "completed")


def _open(fresh: Item, item: Body) -> None:
    fresh.id = fresh.shown["id"] = item["id"]
    fresh.open()


def _tell_part(message: MessageItem, part: Body, pieces: Iterator[Piece]) -> None:
    if part["type"] == "refusal":
        for text, _ in _cut(part["refusal"], pieces):
            message.hear_refusal(text)
        return
    chances: list[Any] = part.get("logprobs") or []
    so_far = 0
    for text, count in _cut(part["text"], pieces):
        upto = len(chances) if count is None else so_far + count
        message.hear(text, chances[so_far:upto])
        so_far = upto


def _cut(text: str, pieces: Iterator[Piece]) -> Iterator[tuple[str, int | None]]:
    """The pieces of a text, each with the number of its tokens whose chances were told; None where nobody counted."""
    at = 0
    while at < len(text):
        piece = next(pieces, None)
        if piece is None:
            yield text[at:], None
            return
        size, count = (piece, 0) if isinstance(piece, int) else (piece[0], piece[1])
        yield text[at : at + size], count
        at += size
