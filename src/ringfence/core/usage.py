"""Tokens of one answered request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)  # not frozen: one per call, and freezing triples what making it costs
class Usage:
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
        if not isinstance(reported, dict):
            return None
        prompt, completion = reported.get("prompt_tokens"), reported.get("completion_tokens", 0)
        if not isinstance(prompt, int) or not isinstance(completion, int):
            return None
        details = reported.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        return cls(prompt, completion, cached if isinstance(cached, int) else 0)
