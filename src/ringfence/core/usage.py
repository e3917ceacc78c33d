"""Tokens of one answered request."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

_tuple: Any = tuple


class Usage(NamedTuple):
    """Tokens as the engine reported them; `estimated` when it did not and they were counted from bytes."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def read(cls, reported: Any) -> Usage | None:
        """From an OpenAI `usage` object; None when it is not one."""
        fields: dict[str, Any] = reported
        if type(fields) is not dict:
            return None
        field = fields.get
        prompt, completion = field("prompt_tokens"), field("completion_tokens", 0)
        if prompt is None and type(completion) is int and type(total := field("total_tokens")) is int:
            prompt = total - completion  # of rankings, older vLLM tells no more
        details = field("prompt_tokens_details")
        if type(prompt) is not int or type(completion) is not int:
            return None
        cached = _cached(details) if details else 0
        return _tuple.__new__(cls, (prompt, completion, cached, False))  # `cls(...)` is a function in between


def _cached(details: Any) -> int:
    cached = cast("dict[str, Any]", details).get("cached_tokens") if type(details) is dict else None
    return cached if type(cached) is int else 0
