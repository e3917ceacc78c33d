"""[pure] How much thinking one request may cause, and how much of that is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringfence.core.usage import Usage

LEAST_TOKENS = 64
"""A thought that could say less than this is not begun."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`model` answers and `reasoning` thinks: each the name of a model, an alias or a chain."""

    model: str = "local/fast"
    reasoning: str = "local/quality"
    above_effort: int = 6
    """Requests of no more effort than this are answered without it."""
    thoughts: int = 3
    depth: int = 1
    """How many thoughts may lie one within another."""
    tokens: int = 32_768
    """In and out, of all calls together; beyond them no thought is begun."""


class Spent:
    """What one request has used of its bounds. `money` tells what may still be spent for it, in millionths of a dollar;
    None: nothing limits it."""

    def __init__(self, bounds: Bounds, money: Callable[[], int | None]) -> None:
        self.bounds = bounds
        self.thoughts = 0
        self.prompt_tokens = self.completion_tokens = self.cached_tokens = self.thought_tokens = 0
        self.is_estimated = False
        self._money = money

    @property
    def tokens_left(self) -> int:
        return self.bounds.tokens - self.prompt_tokens - self.completion_tokens

    def refuses(self) -> str:
        """Why no further thought may begin; empty where one may."""
        if self.thoughts >= self.bounds.thoughts:
            return "thoughts"
        if self.tokens_left < LEAST_TOKENS:
            return "tokens"
        money = self._money()
        return "money" if money is not None and money <= 0 else ""

    def add(self, usage: Usage, *, of_thought: bool) -> None:
        """One call has ended."""
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        self.cached_tokens += usage.cached_tokens
        self.thought_tokens += usage.completion_tokens if of_thought else 0
        self.is_estimated = self.is_estimated or usage.estimated

    @property
    def usage(self) -> Usage:
        """The sum of all calls."""
        return Usage(self.prompt_tokens, self.completion_tokens, self.cached_tokens, self.is_estimated)

    def told(self) -> dict[str, object]:
        """As OpenAI's `usage`."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.thought_tokens},
        }
