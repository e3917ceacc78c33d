"""Cutting a text into the pieces that are kept or left out: lines, and sentences of long lines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from ringfence.gateway.compress.kept import Span

LINE = re.compile(r"[^\n]+\n?|\n+")
"""Empty lines in a row are one piece."""
LONG = 320
"""Characters above which a line is cut into sentences."""
SHORT = 40
"""A sentence is not cut off before that many characters."""
SENTENCE_END = re.compile(r"[.!?;؟۔…]++[\"'”’)\]]*+\s+|[。！？；]+[」』”]?|\\n|[}\]],\s?")
"""Possessive: of a long row of dots, no shorter row is tried at each place."""
JOINERS = frozenset("\u200d\ufe0e\ufe0f\u20e3")


def pieces(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Spans that cover the text from `start` to `end` without gaps."""
    end = len(text) if end is None else end
    found: list[Span] = []
    for line in LINE.finditer(text, start, end):
        at, to = line.span()
        if to - at <= LONG or text[at] == "\n":
            found.append((at, to))
        else:
            found.extend(sentences(text, at, to))
    return found


def sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """A long stretch, cut where sentences end, else between words, else anywhere but within a character."""
    while end - start > LONG:
        found = SENTENCE_END.search(text, start + SHORT, start + LONG)
        if found:
            cut = found.end()
        else:
            space = text.rfind(" ", start + LONG // 3, start + LONG)
            cut = space + 1 if space > 0 else whole_before(text, start + LONG)
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def whole_before(text: str, at: int) -> int:
    """The next place at or before `at` where a cut does not tear what is seen as one character."""
    for cut in range(at, max(at - 24, 1), -1):
        if not _joins(text, cut):
            return cut
    return at


def _joins(text: str, cut: int) -> bool:
    if cut >= len(text):
        return False
    after, before = text[cut], text[cut - 1]
    return (
        after in JOINERS
        or before == "\u200d"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\udc00" <= after <= "\udfff" and "\ud800" <= before <= "\udbff")
        or bool(unicodedata.combining(after))
        or ("\U0001f1e6" <= after <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff")
    )
