"""Tells the answer to Ollama's chat and generate: one JSON object, or one on each line, the last with `done`.

Times are in nanoseconds. Where an engine tells its own (`timings`), those are told; else they are measured here, from
the request to the first piece of the answer and from there to the last. An answer that comes in one piece has no first
piece: all of its time counts as that of the answer.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Any, cast

import orjson

from ringfence.gateway.dialects.dialect import Body
from ringfence.gateway.dialects.ollama_told import LINES_HEAD, error_of, line, rfc3339
from ringfence.gateway.said import Calls, arguments_of, calls_in, refusal_in, text_in, thought_in
from ringfence.gateway.voice import events

MS_NS = 1_000_000
CHAT, GENERATE = "chat", "generate"
CUT = ("length", "content_filter")
"""Reasons for which an answer ends before its end. Ollama has no word for the second; it is told as it is."""


class OllamaVoice:
    """One answer. `model` is the name by which its caller asked; `is_load`: it asked for nothing but the model."""

    stream_head = LINES_HEAD

    def __init__(self, kind: str, model: str, *, is_load: bool = False) -> None:
        self._kind = kind
        self._model = model
        self._is_load = is_load
        self._began_ns = monotonic_ns()
        self._first_ns = 0
        self._finish: str | None = None
        self._usage: Body = {}
        self._timings: Body = {}
        self._numbers = Calls()
        self._calls: list[tuple[Body, list[str]]] = []
        """Id and name of each, and its arguments in pieces."""
        self._is_broken = False

    # -- in one piece -------------------------------------------------------------------------------------------

    def answer(self, body: bytes) -> bytes:
        told: Body = orjson.loads(body)
        choice = _first(told.get("choices"))
        self._note(told, choice)
        if self._is_load:
            return orjson.dumps({**self._frame(), **self._said("", "", []), "done_reason": "load", "done": True})
        said = _dict(choice.get("message"))
        content = _text(choice.get("text")) if self._kind == GENERATE and not said else _told(said)
        self._collect(said, is_whole=True)
        fields = {**self._frame(), **self._said(content, thought_in(said), self._whole_calls())}
        return orjson.dumps({**fields, **_odds(choice), **self._done()})

    # -- as a stream --------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> bytes:
        return b"".join([self._line(event) for event in events(data)])

    def end(self) -> bytes:
        if self._is_broken:
            return b""
        fields = {**self._frame(), **self._said("", "", self._whole_calls())}
        return line({**fields, **self._done()})

    def _line(self, event: Body | None) -> bytes:
        if event is None:  # somebody still works: a line that says nothing, as every line must be an object
            return line({**self._frame(), **self._said("", "", []), "done": False})
        if error := event.get("error"):
            self._is_broken = True
            told = _dict(error)
            return line(error_of(_text(told.get("message")) or "The answer broke off.", told.get("code")))
        choice = _first(event.get("choices"))
        self._note(event, choice)
        said = _dict(choice.get("delta"))
        content = _told(said) if said else _text(choice.get("text"))
        thinking, odds = thought_in(said), _odds(choice)
        self._collect(said)
        if not content and not thinking and not odds:
            return b""
        if not self._first_ns:
            self._first_ns = monotonic_ns()
        return line({**self._frame(), **self._said(content, thinking, []), **odds, "done": False})

    # -- what both have -----------------------------------------------------------------------------------------

    def _note(self, told: Body, choice: Body) -> None:
        self._finish = choice.get("finish_reason") or self._finish
        self._usage = _dict(told.get("usage")) or self._usage
        self._timings = _dict(told.get("timings")) or self._timings

    def _collect(self, said: Body, *, is_whole: bool = False) -> None:
        """Calls of tools come in pieces, and are told whole."""
        for call in calls_in(said, is_whole=is_whole):
            number, is_new = self._numbers.place(call)
            if is_new:
                self._calls.append(({}, []))
            kept, pieces = self._calls[number]
            function = _dict(call.get("function"))
            kept["id"] = kept.get("id") or call.get("id")
            kept["name"] = kept.get("name") or _text(function.get("name"))
            pieces.append(_text(function.get("arguments")))
            if not self._first_ns:
                self._first_ns = monotonic_ns()

    def _whole_calls(self) -> list[Body]:
        calls: list[Body] = []
        for number, (kept, pieces) in enumerate(self._calls):
            function = {"index": number, "name": kept["name"], "arguments": _arguments("".join(pieces))}
            calls.append({**({"id": kept["id"]} if kept["id"] else {}), "function": function})
        return calls

    def _frame(self) -> Body:
        return {"model": self._model, "created_at": rfc3339()}

    def _said(self, content: str, thinking: str, calls: list[Body]) -> Body:
        thought = {"thinking": thinking} if thinking else {}
        called = {"tool_calls": calls} if calls else {}
        if self._kind == GENERATE:
            return {"response": content, **thought, **called}
        return {"message": {"role": "assistant", "content": content, **thought, **called}}

    def _done(self) -> Body:
        now = monotonic_ns()
        prompt_ns, answer_ns = (
            (self._first_ns or self._began_ns) - self._began_ns,
            now - (self._first_ns or self._began_ns),
        )
        if self._timings:
            prompt_ns = _ns(self._timings.get("prompt_ms"), prompt_ns)
            answer_ns = _ns(self._timings.get("predicted_ms"), answer_ns)
        total_ns = now - self._began_ns
        return {
            "done": True,
            "done_reason": self._finish if self._finish in CUT else "stop",
            "total_duration": total_ns,
            "load_duration": max(0, total_ns - prompt_ns - answer_ns),
            "prompt_eval_count": _count(self._usage, "prompt_tokens"),
            "prompt_eval_duration": prompt_ns,
            "eval_count": _count(self._usage, "completion_tokens"),
            "eval_duration": answer_ns,
        }


def _first(choices: Any) -> Body:
    return _dict(choices[0]) if isinstance(choices, list) and choices else {}


def _dict(value: Any) -> Body:
    return cast(Body, value) if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _told(said: Body) -> str:
    """Ollama has no other place for a refusal."""
    return text_in(said) + refusal_in(said)


def _odds(choice: Body) -> Body:
    """In the form of a chat, or that of a completion."""
    told = _dict(choice.get("logprobs"))
    listed = told.get("content")
    if listed is None and isinstance(told.get("tokens"), list):
        tokens, odds = cast("list[Any]", told["tokens"]), cast("list[Any]", told.get("token_logprobs") or [])
        listed = [{"token": token, "logprob": odd} for token, odd in zip(tokens, odds, strict=False)]
    return {"logprobs": listed} if listed else {}


def _arguments(text: str) -> Any:
    """An object; what a model wrote otherwise is told as it is, for nothing of an answer is to be lost."""
    found = arguments_of(text.strip())
    return {"arguments": text} if found is None else found


def _count(usage: Body, name: str) -> int:
    count = usage.get(name)
    return count if type(count) is int else 0


def _ns(milliseconds: Any, otherwise: int) -> int:
    return round(milliseconds * MS_NS) if isinstance(milliseconds, int | float) else otherwise
