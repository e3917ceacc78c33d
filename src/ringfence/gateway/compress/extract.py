"""The one function: the pieces of a text that matter most, in their order, within a budget of tokens."""

from __future__ import annotations

from ringfence.gateway.compress.choose import fitted, joined, longest_start, merged, size_of
from ringfence.gateway.compress.kept import Count, Kept, Kind, Span
from ringfence.gateway.compress.kinds import kind_of
from ringfence.gateway.compress.pieces import pieces
from ringfence.gateway.compress.prune import pruned
from ringfence.gateway.compress.rank import ranked
from ringfence.gateway.compress.relevance import Question
from ringfence.gateway.compress.sift import few_lines, needs_sifting

COUNTED_WHOLE = 1 << 18
"""Characters up to which a text is counted in one go; a longer one in parts, until it is sure that it does not fit."""
SEAM = 8
"""Tokens by which the sum of two parts may exceed the whole."""
MARK_BYTES = 3
"""What the mark of a gap adds to a piece, on average."""


def compress(
    text: str,
    budget: int,
    count: Count,
    query: str | Question = "",
    kind: Kind | None = None,
    *,
    ends: float = 0.0,
    part: Span | None = None,
) -> Kept:
    """At most `budget` tokens of `text`, as `count` counts them: whole pieces of it, and short marks for the gaps.

    `query` says what the text is needed for. `ends` is the share of the budget that beginning and end get before
    anything else. Of a long text, `part` is read without a copy of it. A text within the budget is returned as it is.
    The result is empty only where the text or the budget is, or where not one character of the text fits.
    """
    part = part or (0, len(text))
    before, is_estimate = _counted(text, part, budget, count)
    kind = kind or kind_of(text, part)
    if not is_estimate and before <= budget:
        whole = text[part[0] : part[1]]
        return Kept(whole, (part,) if whole else (), before, before, kind)
    if budget < 1:
        return Kept("", (), before, count(""), kind, is_estimate)
    characters = max(1, (part[1] - part[0]) * budget // max(1, before))
    question = Question(query) if isinstance(query, str) else query
    found: tuple[str, tuple[Span, ...]] | None = None
    if kind in (Kind.JSON, Kind.JSON_LINES):
        found = pruned(text[part[0] : part[1]], budget, count, question, characters, kind)
        if found and part[0]:
            found = found[0], tuple((start + part[0], end + part[0]) for start, end in found[1])
    if not found:
        found = _extracted(text, part, budget, count, question, characters, kind, ends)
    return Kept(found[0], found[1], before, count(found[0]), kind, is_estimate)


def _counted(text: str, part: Span, budget: int, count: Count) -> tuple[int, bool]:
    """Tokens, and whether they are estimated: then there are surely more than the budget allows."""
    start, end = part
    tokens = 0
    for at in range(start, end - COUNTED_WHOLE, COUNTED_WHOLE):
        tokens += count(text[at : at + COUNTED_WHOLE]) - SEAM
        if tokens > budget:
            return tokens * (end - start) // (at + COUNTED_WHOLE - start), True
    return count(text[start:end]), False


def _extracted(
    text: str, part: Span, budget: int, count: Count, question: Question, characters: int, kind: Kind, ends: float
) -> tuple[str, tuple[Span, ...]]:
    stretches = few_lines(text, characters, question, part) if needs_sifting(text, part) else [part]
    spans = [span for stretch in stretches for span in pieces(text, *stretch)]
    texts = [text[start:end] for start, end in spans]
    costs = [size_of(piece) + MARK_BYTES for piece in texts]
    order = [at for at in ranked(texts, question, kind) if texts[at].strip()]
    if ends > 0:
        order = _ends_first(order, costs, ends * budget * sum(costs) / max(1, count("".join(texts))))
    for marks in (1, 0):
        found = fitted(
            order, costs, lambda taken, m=marks: joined(text, [spans[at] for at in taken], part, m), budget, count
        )
        if found and found[1].strip():
            kept = merged([spans[at] for at in found[0]])
            longer = joined(text, kept, part, 2) if marks else found[1]
            return (longer if count(longer) <= budget else found[1]), kept
    return _shortest(text, part, [spans[at] for at in order], budget, count)


def _ends_first(order: list[int], costs: list[int], room: float) -> list[int]:
    """The order, with pieces from both ends before all others."""
    first: list[int] = []
    low, high = 0, len(costs) - 1
    while low <= high:
        at = low if len(first) % 2 == 0 else high
        if costs[at] > room:
            break
        room -= costs[at]
        first.append(at)
        low, high = (low + 1, high) if at == low else (low, high - 1)
    chosen = set(first)
    return first + [at for at in order if at not in chosen]


def _shortest(text: str, part: Span, spans: list[Span], budget: int, count: Count) -> tuple[str, tuple[Span, ...]]:
    """Where no piece fits: as much as does of the best one; at least one character, if any fits."""
    for first, last in spans[:64]:
        start = last - max(1, len(text[first:last].lstrip()))
        end = longest_start(text, start, last, budget, count)
        if text[start:end].strip():
            return text[start:end], ((start, end),)
    beginning = text[part[0] : min(part[1], part[0] + COUNTED_WHOLE)]
    for one in sorted(dict.fromkeys(beginning), key=str.isspace):  # in their order, white space last
        if count(one) <= budget:
            at = text.index(one, part[0])
            return one, ((at, at + 1),)
    return "", ()
