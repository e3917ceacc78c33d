"""Words with their numbers."""

from __future__ import annotations


def plural(count: int, word: str) -> str:
    """Such as '1 token' and '3 tokens'."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
