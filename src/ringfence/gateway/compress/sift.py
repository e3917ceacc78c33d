"""The first pass over a very long text: head, tail, and lines in which the question's words stand.

It never makes a list of all lines: it looks for words with the string search of the interpreter, block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import AnyStr

from ringfence.gateway.compress.kept import Span
from ringfence.gateway.compress.relevance import Question

MOST_LINES = 20_000
"""A text of more is sifted before it is scored."""
MOST_CHARACTERS = 4_000_000
"""So is one that is longer, whatever its lines."""
MOST_KEPT = 2_000_000
"""Characters that a first pass keeps at most, unless the budget alone is more."""
MOST_SCORED = 40_000
"""Lines that are scored at most, where lines are very short."""
KEPT_BUDGETS = 8
BLOCK = 1 << 19
MOST_NEEDLES = 5
MOST_HITS = 2000
"""Places of one word that are noted; one that stands everywhere says little."""
REACH = 200
"""Characters around a hit that are kept of a line without end."""
LOUD = ("error", "exception", "fatal")
"""Looked for where there is no question."""


def needs_sifting(text: str, part: Span) -> bool:
    """Whether a part of a text is too long to have each line scored."""
    return part[1] - part[0] > MOST_CHARACTERS or text.count("\n", *part) > MOST_LINES


def sifted(
    text: str, budget_characters: int, question: Question, most: int = MOST_KEPT, part: Span | None = None
) -> list[Span]:
    """Stretches of whole lines of a text, or of a part of it, in order, of at most eight times the budget together."""
    start, end = part or (0, len(text))
    room = min(KEPT_BUDGETS * budget_characters, max(most, budget_characters * 5 // 4))
    room = min(max(room, 256), end - start)
    edge = room // 6
    head = _line_end(text, start + edge, end)
    tail = _line_start(text, max(head, end - edge), head)
    left = room - (head - start) - (end - tail)
    found = [(start, head)] if head > start else []
    found += _between(text, head, tail, left, question)
    return [*found, (tail, end)] if tail < end else found


def few_lines(text: str, budget_characters: int, question: Question, part: Span) -> list[Span]:
    """As `sifted`, and no more than MOST_SCORED lines, however short they are."""
    found = sifted(text, budget_characters, question, part=part)
    lines = sum(text.count("\n", start, end) for start, end in found)
    if lines > MOST_SCORED:
        characters = sum(end - start for start, end in found)
        found = sifted(text, characters * MOST_SCORED // lines // KEPT_BUDGETS, question, part=part)
    return found


def _between(text: str, start: int, end: int, room: int, question: Question) -> list[Span]:
    words = [word for word in sorted(question.terms, key=len, reverse=True)[:MOST_NEEDLES] if len(word) > 1]
    needles = list(dict.fromkeys(words or LOUD))
    hits = _all_places(text, needles, start, end)
    worth: dict[Span, float] = {}
    for places in hits.values():
        weight = 1.0 / (1.0 + len(places)) ** 0.3
        last = (-1, -1)
        for place in places:
            if not last[0] <= place < last[1]:
                last = (_line_start(text, place, start), _line_end(text, place, end))
                worth[last] = worth.get(last, 0.0) + weight
    taken: list[Span] = []
    for span in sorted(worth, key=lambda span: (-worth[span], span)):
        if span[1] - span[0] <= room:
            room -= span[1] - span[0]
            taken.append(span)
    return _apart(sorted([*taken, *_evenly(text, start, end, room)]))


def _all_places(text: str, needles: list[str], start: int, end: int) -> dict[str, list[int]]:
    """Where each word stands, at most MOST_HITS of it, spread over the text."""
    found: dict[str, list[int]] = {needle: [] for needle in needles}
    blocks = max(1, (end - start) // BLOCK + 1)
    share = max(8, MOST_HITS // blocks)
    plain = {needle: needle.encode() for needle in needles if needle.isascii()}
    for first in range(start, end, BLOCK):
        block = text[first : min(end, first + BLOCK)]
        lowered = block.encode("latin-1", "replace").lower() if plain else b""  # five times as fast as that of a str
        raised = block.replace("İ", "i").lower() if len(plain) < len(needles) else ""  # the one letter that grows
        for needle in needles:
            places = _places(lowered, plain[needle], share) if needle in plain else _places(raised, needle, share)
            found[needle] += [first + at for at in places]
    return found


def _places(block: AnyStr, needle: AnyStr, most: int) -> Iterator[int]:
    at = block.find(needle)
    while at >= 0 and most > 0:
        yield at
        most -= 1
        at = block.find(needle, at + REACH // 4)


def _evenly(text: str, start: int, end: int, room: int) -> list[Span]:
    """What room is left goes to stretches all over the text."""
    stretch = 2000
    many = min(room // (2 * stretch), 400)
    if many < 1 or end - start < 2 * stretch:
        return []
    step = (end - start) // many
    return [
        (_line_start(text, at, start), _line_end(text, min(at + stretch, end), end))
        for at in range(start + step // 2, end, max(step, stretch))
    ]


def _apart(spans: list[Span]) -> list[Span]:
    """Sorted spans, those that overlap made one."""
    found: list[Span] = []
    for start, end in spans:
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _line_start(text: str, at: int, least: int) -> int:
    """The start of the line at a place; of a line without end, a place a little before it."""
    floor = max(least, at - REACH)
    return text.rfind("\n", floor, at) + 1 or floor


def _line_end(text: str, at: int, most: int) -> int:
    ceiling = min(most, at + REACH)
    found = text.find("\n", at, ceiling)
    return ceiling if found < 0 else found + 1
