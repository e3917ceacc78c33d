"""Effort: how hard a request is, 1 (mechanical) to 10 (the hardest there is). What the caller says wins.

Pure. docs/routing-signals.md has the rules in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from ringfence.signals.asked import Asked
from ringfence.signals.vocabulary import Kind

SAID: Mapping[str, int] = {"none": 1, "minimal": 1, "low": 3, "medium": 5, "high": 8, "xhigh": 10, "max": 10}
BUDGETS = ((1024, 3), (4096, 5), (16384, 8))
"""Tokens for thinking, up to which, and the effort they stand for; more than the last are 10."""

USUAL: Mapping[str, int] = {
    "chat": 2,
    "classification": 1,
    "extraction": 2,
    "summary": 3,
    "rewrite": 3,
    "rag": 4,
    "code": 5,
    "reasoning": 7,
    "architecture": 8,
    "creative": 5,
    "agent": 5,
    "title": 1,
    "embedding": 1,
}
"""Where nothing else is known."""
RANGES: Mapping[str, tuple[int, int]] = {
    "chat": (1, 5),
    "classification": (1, 3),
    "extraction": (2, 4),
    "summary": (2, 6),
    "rewrite": (1, 5),
    "rag": (3, 6),
    "code": (2, 9),
    "reasoning": (7, 10),
    "architecture": (7, 10),
    "creative": (3, 8),
    "agent": (4, 7),
    "title": (1, 1),
    "embedding": (1, 1),
}
READ_TOKENS = 1_500
"""A text this long takes some effort to be read."""
CAREFUL_CHARS = 160
"""A text this long has more than one thing to be kept when it is worded anew."""
TALKED_CHARS = 350
"""A text this long is more than one thought."""
SHORT_CHARS = 70
SHORTEST_CHARS = 35
WORDY_CHARS = 150
"""Who says this much of what is asked wants more than a fact."""
LOOKED_UP_CHARS = 45
LOOKED_UP_TOKENS = 110
"""A question this short, to a text this short, is answered by looking it up."""
QUESTION = re.compile(r"(?:question|query|frage|pregunta|domanda|问题|質問|\bq) ?[:：] ?([^\n]*)")
SMALL_WORKS = re.compile(r"\b(?:limerick|couplet|two-line|one-line|caption|zweizeiler)\b")
LITTLE = 1.0


def said_effort(body: dict[str, Any]) -> int:
    """What the caller says, 0 where nothing. OpenAI's two spellings, and the budget of Anthropic's."""
    effort = body.get("reasoning_effort")
    if effort is None:
        reasoning = body.get("reasoning")
        effort = cast("dict[str, Any]", reasoning).get("effort") if type(reasoning) is dict else None
    if type(effort) is str:
        return SAID.get(effort.lower(), 0)
    thinking = body.get("thinking")
    if type(thinking) is dict:
        known = cast("dict[str, Any]", thinking)
        tokens = known.get("budget_tokens")
        if type(tokens) is int and known.get("type") != "disabled":
            return next((level for most, level in BUDGETS if tokens <= most), 10)
    return 0


def effort_of(task: str, asked: Asked, had: list[float], context_tokens: int) -> int:
    """The effort of a task, by its words and its size."""
    level = float(USUAL[task])
    if task == "chat":
        wordy = len(asked.lead) + len(asked.end) > WORDY_CHARS
        level += max(1.5 * (had[Kind.EXPLAIN] > LITTLE), 2.0 * wordy) - 1.0 * (asked.size_chars < 20)
    elif task == "code":
        level += (
            min(had[Kind.DEEP], 3) * 0.6
            + min(had[Kind.HARDEST] + had[Kind.A_MACHINE], 4) * 1.0
            - min(had[Kind.LIGHT], 2) * 1.0
        )
        level -= 2.0 * (is_short_question(asked, had)) + 2.0 * asked.hole
        level += context_tokens > READ_TOKENS
    elif task == "summary":
        level += context_tokens > READ_TOKENS or asked.size_chars > TALKED_CHARS
    elif task == "rewrite":
        level += asked.size_chars > CAREFUL_CHARS
    elif task == "rag":
        level -= is_looked_up(asked, context_tokens)
    elif task == "extraction":
        level += 2.0 * (context_tokens > READ_TOKENS)
    elif task == "creative":
        level += 1.6 * (len(asked.lead) > CAREFUL_CHARS) - 1.6 * (SMALL_WORKS.search(asked.lead) is not None)
    else:
        level += min(had[Kind.DEEP], 3) * 0.5 + min(had[Kind.HARDEST], 3) * 0.7 - min(had[Kind.LIGHT], 2) * 0.7
    low, high = RANGES[task]
    return max(low, min(high, round(level)))


def is_short_question(asked: Asked, had: list[float]) -> bool:
    """Of programming: one line is enough for an answer."""
    if asked.before or asked.size_chars >= SHORT_CHARS:
        return False
    return had[Kind.ASK] + had[Kind.EXPLAIN] > 2 or (asked.asks and asked.size_chars < SHORTEST_CHARS)


def is_looked_up(asked: Asked, context_tokens: int) -> bool:
    """A short question to a short text."""
    if context_tokens >= LOOKED_UP_TOKENS:
        return False
    named = QUESTION.search(asked.end) or QUESTION.search(asked.rest)
    question = named[1] if named else asked.lead if asked.asks and not asked.end else asked.end
    return len(question.removesuffix("answer:")) <= LOOKED_UP_CHARS
