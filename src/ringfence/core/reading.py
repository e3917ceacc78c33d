"""What a request looks like to whoever reads it before it is routed."""

from __future__ import annotations

from typing import NamedTuple


class Reading(NamedTuple):
    """Task, effort and length of one request. `why` says in words of ours what spoke for them; never the request's."""

    task: str
    """One of `TASKS`."""
    effort: int
    """1 (mechanical) to 10 (the hardest there is)."""
    context_tokens: int
    """Estimate of the whole prompt, tools included."""
    why: tuple[str, ...] = ()


TASKS = (
    "chat",
    "classification",
    "extraction",
    "summary",
    "rewrite",
    "rag",
    "code",
    "reasoning",
    "architecture",
    "creative",
    "agent",
    "title",
    "embedding",
)
"""What a request can be about."""
EFFORTS = range(1, 11)
