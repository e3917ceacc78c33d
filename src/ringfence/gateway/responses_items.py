"""The items of a response while they grow: what the model thinks, what it says, and the tools that it calls."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any, Protocol, cast

import orjson

from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.responses_input import carried
from ringfence.gateway.responses_tools import CUSTOM_INPUT, Named

Tell = Callable[[str, Body], None]
RESPONSE = "resp_"
WENT_IN = "i"
ITEM_ID = re.compile(rf"[a-z]+_([0-9a-f]{{48}}){WENT_IN}?[0-9a-f]{{4,}}")
Piece = int | list[int]
"""How many characters of an item came at a time, and of how many tokens the chances came with them."""


class Item(Protocol):
    """`shown` is the item as it stands in the response, and grows with it; `pieces` are those that it came in."""

    id: str
    shown: Body
    pieces: list[Piece]

    def open(self) -> None:
        """Tell that it begins."""
        ...

    def close(self, status: str) -> None:
        """Tell that it is whole, or will not be."""
        ...


class _Open:
    """What all items have: a place in the response, and somebody to tell."""

    def __init__(self, tell: Tell, response_id: str, index: int, prefix: str, shown: Body) -> None:
        self._tell = tell
        self._index = index
        self.id = item_id(prefix, response_id, index)
        self.shown: Body = {"id": self.id, **shown}
        self.pieces: list[Piece] = []

    def open(self) -> None:
        self._tell("response.output_item.added", {"output_index": self._index, "item": self.shown})

    def tell(self, event: str, fields: Body) -> None:
        """An event about this item."""
        self._tell(f"response.{event}", {"item_id": self.id, "output_index": self._index, **fields})

    def done(self, status: str) -> None:
        if "status" in self.shown:
            self.shown["status"] = status
        self._tell("response.output_item.done", {"output_index": self._index, "item": self.shown})


class ReasoningItem(_Open):
    """As a summary, for callers who asked for one, or as it is."""

    def __init__(self, tell: Tell, response_id: str, index: int, as_summary: bool, is_carried: bool) -> None:
        more: Body = {"encrypted_content": None} if is_carried else {}
        content: Body = {} if as_summary else {"content": []}
        told: Body = {"type": "reasoning", "summary": [], **content, **more, "status": "in_progress"}
        super().__init__(tell, response_id, index, "rs", told)
        self._is_carried = is_carried
        self._text: list[str] = []
        self._at: Body = {"summary_index": 0} if as_summary else {"content_index": 0}
        self._part_event = "reasoning_summary_part" if as_summary else "content_part"
        self._text_event = "reasoning_summary_text" if as_summary else "reasoning_text"
        self._kind = "summary_text" if as_summary else "reasoning_text"
        self._field = "summary" if as_summary else "content"

    def open(self) -> None:
        super().open()
        self.tell(f"{self._part_event}.added", {**self._at, "part": {"type": self._kind, "text": ""}})

    def hear(self, text: str) -> None:
        self._text.append(text)
        self.pieces.append(len(text))
        self.tell(f"{self._text_event}.delta", {**self._at, "delta": text})

    def close(self, status: str) -> None:
        text = "".join(self._text)
        part = {"type": self._kind, "text": text}
        self.tell(f"{self._text_event}.done", {**self._at, "text": text})
        self.tell(f"{self._part_event}.done", {**self._at, "part": part})
        self.shown[self._field] = [part]
        if self._is_carried:
            self.shown["encrypted_content"] = carried(text)
        self.done(status)


class MessageItem(_Open):
    """A text, or a refusal, or one after the other."""

    def __init__(self, tell: Tell, response_id: str, index: int) -> None:
        told: Body = {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
        super().__init__(tell, response_id, index, "msg", told)
        self._part: Body | None = None
        self._text: list[str] = []

    def hear(self, text: str, logprobs: list[Any]) -> None:
        part = self._part_of({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        found = [_logprob(one) for one in logprobs]
        part["logprobs"] += found
        self._text.append(text)
        self.pieces.append([len(text), len(found)] if found else len(text))
        self.tell("output_text.delta", {**self._at, "delta": text, "logprobs": found})

    def hear_refusal(self, text: str) -> None:
        self._part_of({"type": "refusal", "refusal": ""})
        self._text.append(text)
        self.pieces.append(len(text))
        self.tell("refusal.delta", {**self._at, "delta": text})

    def close(self, status: str) -> None:
        self._close_part()
        self.done(status)

    @property
    def _at(self) -> Body:
        return {"content_index": len(self.shown["content"])}

    def _part_of(self, fresh: Body) -> Body:
        if self._part is not None and self._part["type"] == fresh["type"]:
            return self._part
        self._close_part()
        self._part = fresh
        self.tell("content_part.added", {**self._at, "part": fresh})
        return fresh

    def _close_part(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        text = "".join(self._text)
        self._text.clear()
        if part["type"] == "refusal":
            part["refusal"] = text
            self.tell("refusal.done", {**self._at, "refusal": text})
        else:
            part["text"] = text
            self.tell("output_text.done", {**self._at, "text": text, "logprobs": part["logprobs"]})
        self.tell("content_part.done", {**self._at, "part": part})
        self.shown["content"].append(part)


class CallItem(_Open):
    """A call of a tool, under the name that its caller gave the tool."""

    def __init__(self, tell: Tell, response_id: str, index: int, named: Named, call_id: str) -> None:
        told: Body = {
            "type": "custom_tool_call" if named.is_custom else "function_call",
            "call_id": call_id or f"call_{secrets.token_hex(12)}",
            "name": named.name,
            "input" if named.is_custom else "arguments": "",
        }
        if named.namespace is not None:
            told["namespace"] = named.namespace
        prefix = "ctc" if named.is_custom else "fc"
        super().__init__(tell, response_id, index, prefix, told | {"status": "in_progress"})
        self._is_custom = named.is_custom
        self._text: list[str] = []

    def hear(self, text: str) -> None:
        if not text:
            return
        self._text.append(text)
        self.pieces.append(len(text))
        if not self._is_custom:  # of a text within JSON nothing can be told before it is whole
            self.tell("function_call_arguments.delta", {"delta": text})

    def close(self, status: str) -> None:
        arguments = "".join(self._text)
        if self._is_custom:
            text = _custom_input(arguments)
            self.tell("custom_tool_call_input.delta", {"delta": text})
            self.tell("custom_tool_call_input.done", {"input": text})
            self.shown["input"] = text
        else:
            name = self.shown["name"]
            self.tell("function_call_arguments.done", {"name": name, "arguments": arguments})
            self.shown["arguments"] = arguments
        self.done(status)


def item_id(prefix: str, response_id: str, index: int, mark: str = "") -> str:
    """An id by which the response is found that the item belongs to. `mark` is there for one that went into it."""
    return f"{prefix}_{response_id.removeprefix(RESPONSE)}{mark}{index:04x}"


def response_of(found: str) -> str | None:
    """The id of the response that an item of this id belongs to; None for an id that was not made here."""
    matched = ITEM_ID.fullmatch(found)
    return f"{RESPONSE}{matched[1]}" if matched is not None else None


def usage_of(usage: Body | None) -> Body | None:
    """Tokens as a response counts them."""
    if usage is None:
        return None
    details: Body = usage.get("prompt_tokens_details") or {}
    thought: Body = usage.get("completion_tokens_details") or {}
    put_in, put_out = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "input_tokens": put_in,
        "input_tokens_details": {
            "cached_tokens": details.get("cached_tokens") or 0,
            "cache_write_tokens": details.get("cache_write_tokens") or 0,
        },
        "output_tokens": put_out,
        "output_tokens_details": {"reasoning_tokens": thought.get("reasoning_tokens") or 0},
        "total_tokens": usage.get("total_tokens") or put_in + put_out,
    }


def _custom_input(arguments: str) -> str:
    """The text for a tool that takes one; what a model wrote otherwise goes as it is."""
    try:
        found: Any = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    text = cast(Body, found).get(CUSTOM_INPUT) if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def _logprob(one: Body) -> Body:
    likely: list[Body] = one.get("top_logprobs") or []
    return _token(one) | {"top_logprobs": [_token(other) for other in likely]}


def _token(one: Body) -> Body:
    return {"token": one.get("token") or "", "logprob": one.get("logprob") or 0.0, "bytes": one.get("bytes") or []}
