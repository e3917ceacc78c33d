"""[pure] What a model said in one call: text, and the tools that it called.

What it calls first counts. Where that is our tool, it thinks, and what else it called is dropped: it is asked again
with the thought before it, and calls that then if it still wants to. Where it is a tool of the caller, the caller gets
the turn, without our tool in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from ringfence.gateway.dialects.dialect import Body

SAME_EACH_TIME = frozenset(("role", "tool_calls"))


@dataclass(slots=True)
class Called:
    """One call of our tool."""

    id: str
    name: str
    arguments: str = ""

    def as_body(self) -> Body:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class Turn:
    """Feed it events, or the whole answer. `tool` is the name of ours."""

    def __init__(self, tool: str) -> None:
        self._tool = tool
        self._texts: list[str] = []
        self._reasoned: list[str] = []
        self._ours: dict[int, Called] = {}
        self._places: dict[int, int] = {}
        """Of tools of the caller: the place that each call has without ours."""
        self.finish_reason: str | None = None
        self.is_thinking: bool | None = None
        """Whether our tool was called first; None before any was."""

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def conclusion(self) -> str:
        """What a thought comes to: what was said, else what was reasoned."""
        return self.text.strip() or "".join(self._reasoned).strip()

    @property
    def thoughts(self) -> list[Called]:
        """The calls of our tool that count."""
        return list(self._ours.values()) if self.is_thinking else []

    @property
    def calls_tools(self) -> bool:
        """Whether the caller's own tools are called."""
        return self.is_thinking is False

    def message(self) -> Body:
        """What was said, for the model to be reminded of."""
        return {
            "role": "assistant",
            "content": self.text or None,
            "tool_calls": [called.as_body() for called in self.thoughts],
        }

    def take(self, choice: Body) -> Body:
        """One event's choice; what of its delta the caller is to see."""
        said: Any = choice.get("delta")
        delta: Body = cast(Body, said) if isinstance(said, dict) else {}
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        shown = {name: value for name, value in delta.items() if name not in SAME_EACH_TIME and value}
        self._note(delta)
        if calls := self._called(delta.get("tool_calls")):
            shown["tool_calls"] = calls
        return shown

    def take_whole(self, choice: Body) -> Body:
        """A whole answer's choice; its message as the caller is to see it."""
        said: Any = choice.get("message")
        message: Body = dict(cast(Body, said)) if isinstance(said, dict) else {"role": "assistant", "content": None}
        self.finish_reason = choice.get("finish_reason")
        self._note(message)
        if "tool_calls" in message:
            calls = [call | {"index": place} for place, call in enumerate(_objects(message.pop("tool_calls")))]
            if kept := self._called(calls):
                message["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in kept]
        return message

    def _note(self, said: Body) -> None:
        if isinstance(text := said.get("content"), str):
            self._texts.append(text)
        if isinstance(text := said.get("reasoning_content") or said.get("reasoning"), str):
            self._reasoned.append(text)

    def _called(self, calls: Any) -> list[Body]:
        """Of calls, or pieces of them, those that are the caller's, as they count for it."""
        kept: list[Body] = []
        for call in _objects(calls):
            given = call.get("index")
            index = given if isinstance(given, int) else len(self._ours) + len(self._places)
            function: Any = call.get("function")
            named: Body = cast(Body, function) if isinstance(function, dict) else {}
            if index not in self._ours and index not in self._places:
                self._begins(index, call, named)
            elif (known := self._ours.get(index)) is not None:
                known.arguments += _text(named.get("arguments"))
            if not self.is_thinking and index in self._places:
                kept.append(call | {"index": self._places[index]})
        return kept

    def _begins(self, index: int, call: Body, named: Body) -> None:
        is_ours = named.get("name") == self._tool
        if self.is_thinking is None:
            self.is_thinking = is_ours
        if is_ours:
            call_id = _text(call.get("id")) or f"call_{self._tool}_{index}"
            self._ours[index] = Called(call_id, self._tool, _text(named.get("arguments")))
        else:
            self._places[index] = len(self._places)


def _objects(value: Any) -> list[Body]:
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast(Body, one) for one in found if isinstance(one, dict)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
