"""[pure] Whether a model's answer will do, or a better model is to be asked: what can be told without another model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import orjson

from ringfence.gateway.dialects.dialect import Body

LOOKED_AT_CHARS = 300
"""Of the beginning of an answer: who refuses says so at once."""
REFUSES = re.compile(
    r"\b(?:i['’]?m sorry,? but|i am sorry,? but|i(?:['’]m| am) (?:not able|unable) to|"
    r"i (?:can(?:['’]t|not)|won['’]t|am not allowed to) "
    r"(?:help|assist|answer|provide|do|fulfil|comply|continue|create)|"
    r"as an? (?:ai|language model)[^.]{0,40}\b(?:can(?:['’]t|not)|unable|not able)|"
    r"(?:i|we) (?:do not|don['’]t) (?:know|have enough information))\b",
    re.IGNORECASE,
)
"""English. What else a model says when it refuses is for `refusals` of the settings."""

Valid = Callable[[Any], bool]


class Check(StrEnum):
    """Members are named as settings and metrics name them."""

    LENGTH = "length"
    REFUSAL = "refusal"
    SCHEMA = "schema"
    CONFIDENCE = "confidence"


@dataclass(frozen=True, slots=True)
class Checks:
    """Which are made. `confidence` is the least mean probability of a token, from 0 to 1; `refusals` are further
    expressions with which an answer refuses."""

    on: frozenset[Check]
    confidence: float = 0.7
    refusals: tuple[re.Pattern[str], ...] = ()

    def failed(self, answer: Body, schemas: Schemas) -> Check | None:
        """The first that the answer fails, cheapest first; None where it will do."""
        choice = _first(answer)
        said = choice.get("message")
        message = cast(Body, said) if isinstance(said, dict) else {}
        content = message.get("content")
        text = content if isinstance(content, str) else ""
        calls = message.get("tool_calls")
        if Check.LENGTH in self.on and (choice.get("finish_reason") == "length" or not (text.strip() or calls)):
            return Check.LENGTH
        if Check.REFUSAL in self.on and self._refuses(message, choice, text):
            return Check.REFUSAL
        if Check.SCHEMA in self.on and not schemas.hold(text, calls):
            return Check.SCHEMA
        if Check.CONFIDENCE in self.on and 0 <= mean_probability(choice) < self.confidence:
            return Check.CONFIDENCE
        return None

    def _refuses(self, message: Body, choice: Body, text: str) -> bool:
        if message.get("refusal") or choice.get("finish_reason") == "content_filter":
            return True
        begun = text[:LOOKED_AT_CHARS]
        return any(expression.search(begun) for expression in (REFUSES, *self.refusals))


@dataclass(frozen=True, slots=True)
class Schemas:
    """What the caller wants its answer to look like: `answer` for the text, None for any; `tools` by name for what
    their calls are told."""

    answer: Valid | None
    tools: dict[str, Valid]

    def hold(self, text: str, calls: Any) -> bool:
        if calls:
            return isinstance(calls, list) and all(map(self._is_call, cast("list[Any]", calls)))
        if self.answer is None:
            return True
        try:
            said = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        return self.answer(said)

    def _is_call(self, call: Any) -> bool:
        function: Any = cast(Body, call).get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            return False
        named = cast(Body, function)
        valid = self.tools.get(str(named.get("name")))
        if valid is None:  # a tool that nobody offered
            return False
        try:
            arguments = orjson.loads(named.get("arguments") or "{}")
        except (orjson.JSONDecodeError, TypeError):
            return False
        return isinstance(arguments, dict) and valid(arguments)


def schemas_of(body: Body, compiled: Callable[[Any], Valid]) -> Schemas:
    """What a request asks for. `compiled` makes a check of a JSON Schema, and takes all where it cannot be read."""
    wanted: Any = body.get("response_format")
    form = cast(Body, wanted) if isinstance(wanted, dict) else {}
    answer: Valid | None = None
    if form.get("type") == "json_object":
        answer = _is_object
    elif form.get("type") == "json_schema":
        told: Any = form.get("json_schema")
        answer = compiled(cast(Body, told).get("schema") if isinstance(told, dict) else None)
    tools: dict[str, Valid] = {}
    for function in _functions(body.get("tools")):
        tools[str(function.get("name"))] = compiled(function.get("parameters"))
    return Schemas(answer, tools)


def mean_probability(choice: Body) -> float:
    """Of the tokens that were said, geometrically; -1 where the engine does not tell."""
    told: Any = choice.get("logprobs")
    entries: Any = cast(Body, told).get("content") if isinstance(told, dict) else None
    values = [
        float(value)
        for entry in cast("list[Any]", entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(value := cast(Body, entry).get("logprob"), int | float)
    ]
    return math.exp(sum(values) / len(values)) if values else -1.0


def _functions(tools: Any) -> Iterable[Body]:
    for tool in cast("list[Any]", tools) if isinstance(tools, list) else []:
        function = cast(Body, tool).get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict):
            yield cast(Body, function)


def _first(answer: Body) -> Body:
    choices: Any = answer.get("choices")
    first: Any = cast("list[Any]", choices)[0] if isinstance(choices, list) and choices else None
    return cast(Body, first) if isinstance(first, dict) else {}


def _is_object(said: Any) -> bool:
    return isinstance(said, dict)
