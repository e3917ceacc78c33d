"""De-duplication: lines that differ only in numbers and ids have one template."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from math import log

LOUD = re.compile(r"ERROR|FATAL|CRITICAL|ALERT|EMERG|PANIC|SEVERE|Traceback|[A-Z]\w+(?:Error|Exception)")
"""Words that tell of trouble; so does `panic:`."""
RAISED = frozenset(("WARN", "WARNING"))
LOUD_WORTH, RAISED_WORTH = 1.0, 0.5


def template_of(words: Iterable[str]) -> int:
    """The same number for lines that differ only in words that change: whatever has a digit in it."""
    return hash(tuple(filter(str.isalpha, words)))


def loudness(texts: Sequence[str], rows: Sequence[Collection[str]], known: Iterable[str]) -> list[float]:
    """What each log line's level adds. `rows` are the words of the lines, `known` all different ones."""
    found = [0.0] * len(texts)
    loud = {word for word in known if LOUD.fullmatch(word) or word.endswith("panic")}
    raised = RAISED.intersection(known)
    if not loud and not raised:
        return found
    for at, row in enumerate(rows):
        if not loud.isdisjoint(row) and _is_loud(texts[at], loud.intersection(row)):
            found[at] = LOUD_WORTH
        elif raised and not raised.isdisjoint(row):
            found[at] = RAISED_WORTH
    return found


def _is_loud(text: str, words: Iterable[str]) -> bool:
    return any(not word.endswith("panic") or f"{word}:" in text for word in words)


def rarity(templates: Sequence[Hashable]) -> list[float]:
    """For each line from 0 to 1, how rare its template is among them."""
    total = len(templates) + 1.0
    scale = log(total) or 1.0
    worth = {template: log(total / many) / scale for template, many in Counter(templates).items()}
    return [worth[template] for template in templates]


def occurrences(templates: Sequence[Hashable]) -> list[int]:
    """For each line, how many lines of its template came before it."""
    seen: Counter[Hashable] = Counter()
    found: list[int] = []
    for template in templates:
        found.append(seen[template])
        seen[template] += 1
    return found
