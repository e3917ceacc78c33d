"""Filling a budget with the best pieces, exactly counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ringfence.gateway.compress.kept import Count, Span
from ringfence.gateway.compress.pieces import whole_before

BLACK = re.compile(r"\S")
TRIES = 9
"""Of a bigger or smaller fill; each counts what it would give."""
CLOSE = 0.985
"""A fill of this share of the budget is good enough."""
MARK = "[…]"
LONG_MARK = "[… {} lines left out]"
MARK_LEAST_LINES = 4
"""Gaps of fewer lines keep the short mark."""


def size_of(text: str) -> int:
    """UTF-8 bytes; a torn surrogate counts as what replaces it."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def filled(order: Sequence[int], costs: Sequence[int], limit: float) -> list[int]:
    """Positions, in their order in the text, taken by rank as long as they fit `limit`."""
    left = limit
    taken: list[int] = []
    least = min(costs, default=0)
    for at in order:
        if costs[at] <= left:
            left -= costs[at]
            taken.append(at)
            if left < least:
                break
    return sorted(taken)


def fitted(
    order: Sequence[int], costs: Sequence[int], render: Callable[[list[int]], str], budget: int, count: Count
) -> tuple[list[int], str] | None:
    """The fullest choice whose rendered text has at most `budget` tokens, and that text; None when nothing fits."""
    if not order:
        return None
    total = sum(costs)
    low, high = 0.0, float(total)
    best: tuple[list[int], str] | None = None
    seen: set[tuple[int, ...]] = set()
    sample = render(filled(order, costs, min(total, max(64.0, 2.0 * budget))))
    limit = min(high, budget * max(1.0, size_of(sample) / max(1, count(sample))))
    for _ in range(TRIES):
        taken = filled(order, costs, limit)
        key = (*taken[:1], len(taken), sum(taken))
        text = render(taken)
        tokens = count(text) if taken else budget + 1
        if taken and tokens <= budget:
            if best is None or len(text) >= len(best[1]):
                best = taken, text
            low = limit
            if tokens >= CLOSE * budget or limit >= total:
                break
        else:
            high = limit
        if key in seen and best is not None:
            break
        seen.add(key)
        guess = limit * budget / tokens if tokens else limit * 2
        limit = guess * 0.998 if low < guess * 0.998 < high else (low + high) / 2
        if high - low < 1:
            break
    return best or _single(order, render, budget, count)


def _single(
    order: Sequence[int], render: Callable[[list[int]], str], budget: int, count: Count
) -> tuple[list[int], str] | None:
    """The best piece that fits alone."""
    for at in order[:64]:
        text = render([at])
        if text and count(text) <= budget:
            return [at], text
    return None


def joined(text: str, spans: Sequence[Span], ends: Span, marks: int) -> str:
    """Kept pieces with what stands for the gaps: nothing much (0), short marks (1), or how much is missing (2)."""
    parts: list[str] = []
    at = ends[0]
    for start, end in spans:
        if start > at:
            parts.append(_gap(text, at, start, marks))
        parts.append(text[start:end])
        at = end
    if at < ends[1] and BLACK.search(text, at, ends[1]):
        parts.append(_gap(text, at, ends[1], marks).rstrip())
    return "".join(parts)


def _gap(text: str, start: int, end: int, marks: int) -> str:
    """Within a line a mark stands between spaces, otherwise on a line of its own."""
    before = "" if start == 0 or text[start - 1].isspace() else " "
    line_ends = end == len(text) or text[end - 1] == "\n"
    if not BLACK.search(text, start, end):
        return "\n" if text[end - 1] == "\n" else " "
    if not marks:
        return "\n" if line_ends and before else before
    lines = text.count("\n", start, end) if marks > 1 else 0
    mark = LONG_MARK.format(lines) if lines >= MARK_LEAST_LINES else MARK
    return before + mark + ("\n" if line_ends else " ")


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Spans that touch, as one."""
    found: list[Span] = []
    for start, end in spans:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        elif end > start:
            found.append((start, end))
    return tuple(found)


def longest_start(text: str, start: int, end: int, budget: int, count: Count) -> int:
    """How far a piece can be kept from its start: a place before which at most `budget` tokens stand, or `start`."""
    low, high = start, min(end, start + 64 * max(1, budget))
    while low < high:
        middle = (low + high + 1) // 2
        if count(text[start:middle]) <= budget:
            low = middle
        else:
            high = middle - 1
    cut = whole_before(text, low) if low < end else low
    return cut if cut > start and count(text[start:cut]) <= budget else low
