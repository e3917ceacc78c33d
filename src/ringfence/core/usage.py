"""Tokens of one answered request."""

from __future__ import annotations

from typing import Any, NamedTuple, cast


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
        if type(reported) is not dict:
            return None
        fields = cast(dict[str, Any], reported)
        prompt, completion = fields.get("prompt_tokens"), fields.get("completion_tokens", 0)
        if type(prompt) is not int or type(completion) is not int:
            return None
        details = fields.get("prompt_tokens_details")
        cached = cast(dict[str, Any], details).get("cached_tokens") if type(details) is dict else 0
        return cls(prompt, completion, cached if type(cached) is int else 0)
