"""What a compression tells, and what it is told with."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

Count = Callable[[str], int]
"""Tokens of a text. Monotone, and sub-additive but for a few tokens; `lambda text: len(text.encode())` is one."""

Span = tuple[int, int]
"""A half-open range of characters of the text that was given."""


class Kind(StrEnum):
    """What a text is, as far as it matters for what is kept of it."""

    PROSE = "prose"
    CODE = "code"
    LOG = "log"
    TABLE = "table"
    JSON = "json"
    JSON_LINES = "json_lines"


class Kept(msgspec.Struct, frozen=True):
    """What was kept of a text. Its repr shows no text."""

    text: str
    spans: tuple[Span, ...]
    """Where the kept pieces stood, in their order; the gaps between them were left out."""
    before: int
    """Tokens of the text that was given; estimated where `is_estimate`."""
    after: int
    kind: Kind
    is_estimate: bool = False
    """A text far beyond its budget is not counted to its end."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return self.after == self.before and len(self.spans) <= 1 and not self.is_estimate

    def __repr__(self) -> str:
        return f"Kept({self.before} -> {self.after} tokens, {self.kind}, {len(self.spans)} spans)"
