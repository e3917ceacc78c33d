"""In which order pieces are kept: their form, the question, how rare they are, where they stand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from math import log

from ringfence.gateway.compress.kept import Kind
from ringfence.gateway.compress.logs import loudness, occurrences, rarity
from ringfence.gateway.compress.relevance import HAS_AMOUNT, Question, Reading
from ringfence.gateway.compress.score import OVERLAP, WORTH, Form, form_of

RAREST = 3.0
"""So many times the plain weight counts a term of one piece only; one that stands everywhere counts nothing."""
FORM_BESIDE_QUESTION = 0.4
"""With a question the form counts for less."""
FULL_LENGTH = 12.0
"""Words from which on a longer piece counts its hits for less."""
DENSITY = 0.25
"""How much longer pieces must be worth more."""
LEAST_LENGTH = 30
AGAIN = 0.12
"""How fast a term's worth falls with each better piece that has it."""
WANTED = 2.0
"""A piece that has the sort of answer the question wants."""
NOVELTY = 2.0
RARITY = {Kind.LOG: 3.0, Kind.TABLE: 0.5, Kind.JSON: 2.0, Kind.JSON_LINES: 2.0}
RARITY_ELSEWHERE = 1.0
EDGE = 1.5
"""The first and the last pieces, falling off."""
EDGE_PIECES = 3
SECTION = 0.35
"""What a heading's hits are worth to the lines below it."""
BESIDE = 0.2
"""What a neighbour's hits are worth."""
RECORD = 1.0
"""What the hits of the other members of a record are worth: a value says little without the name beside it."""
VALUE = re.compile(r"[:=：]\s*(.*)", re.S)


def ranked(texts: Sequence[str], question: Question, kind: Kind, records: Sequence[int] | None = None) -> list[int]:
    """Positions of the pieces, the one to keep first at the front; equals in the order of the text.

    `records` says which pieces belong together, where that is not those that stand side by side.
    """
    worth = _worths(list(texts), question, kind, records)
    dense = [one / max(LEAST_LENGTH, len(text)) ** DENSITY for one, text in zip(worth, texts, strict=True)]
    return sorted(range(len(worth)), key=dense.__getitem__, reverse=True)  # equals stay in their order


def _worths(texts: list[str], question: Question, kind: Kind, records: Sequence[int] | None) -> list[float]:
    """What each piece is worth beside the others."""
    reading = Reading(texts, question)
    forms: list[Form] = [form_of(text) for text in texts]
    templates = [_name(text) for text in texts] if records else reading.templates
    fixed = _by_itself(texts, forms, templates, reading, question, kind)
    once = log(1.0 + (len(texts) - 0.5) / 1.5) if len(texts) > 1 else 1.0
    weight = [OVERLAP * RAREST * idf / once for idf in reading.idf]
    asked = [0.0] * len(texts)
    for at, hits in enumerate(reading.hits):
        if hits:
            told = sum([weight[term] * sure for term, sure in hits.items()])
            asked[at] = told * _length(len(reading.words[at]))
    around = [0.0] * len(texts)
    if question:
        around = _within(asked, reading, weight, records) if records else _around(asked, forms)
    base = [sum(worth) for worth in zip(fixed, asked, around, strict=True)] if question else fixed
    order = sorted([at for at, one in enumerate(asked) if one], key=base.__getitem__, reverse=True)
    found = base[:]
    seen = [0] * len(weight)
    for at in order:  # a term that better pieces have already shown is worth less
        told = 0.0
        for term, sure in reading.hits[at].items():
            told += weight[term] * sure / (1.0 + AGAIN * seen[term])
            seen[term] += 1
        found[at] += told * _length(len(reading.words[at])) - asked[at]
    for at, before in enumerate(occurrences(templates)):
        if before and not reading.hits[at]:
            found[at] /= 1.0 + 0.5 * min(before, 8)
    return found


def _name(text: str) -> str:
    """What a member of a record is called."""
    return text.partition(":")[0] if ":" in text else ""


def _length(words: int) -> float:
    return 1.0 if words <= FULL_LENGTH else (FULL_LENGTH / words) ** 0.35


def _by_itself(
    texts: list[str], forms: list[Form], templates: Sequence[Hashable], reading: Reading, question: Question, kind: Kind
) -> list[float]:
    """What does not depend on the question's words."""
    total = len(texts)
    share = Counter(forms)
    scale = FORM_BESIDE_QUESTION if question else 1.0
    worth = {form: scale * WORTH[form] * (1.0 - 0.9 * many / total) for form, many in share.items()}
    rare = rarity(templates)
    rare_worth = RARITY.get(kind, RARITY_ELSEWHERE)
    parts = zip(forms, reading.novelty(), rare, strict=True)
    found = [worth[form] + NOVELTY * novel + rare_worth * one for form, novel, one in parts]
    for at in {*range(min(EDGE_PIECES, total)), *range(max(0, total - EDGE_PIECES), total)}:
        found[at] += EDGE / (1 + min(at, total - 1 - at))
    if kind is Kind.LOG:
        found = [sum(both) for both in zip(found, loudness(texts, reading.words, reading.seen), strict=True)]
    for shown in question.wants:
        each = WANTED / len(question.wants)
        for at, text in enumerate(texts):
            if shown.search(_answer(text) if forms[at] == "key_value" else text):
                found[at] += each
    if question and not question.wants:
        found = [
            one + 0.15 * WANTED if HAS_AMOUNT.search(text) else one for one, text in zip(found, texts, strict=True)
        ]
    return [one if words else 0.0 for one, words in zip(found, reading.words, strict=True)]


def _answer(text: str) -> str:
    """Of a key and a value, the value."""
    value = VALUE.search(text)
    return value[1] if value else text


def _within(asked: list[float], reading: Reading, weight: list[float], records: Sequence[int]) -> list[float]:
    """What a piece gets from the other members of its record: each term counts once."""
    best: dict[int, dict[int, float]] = {}
    for record, hits in zip(records, reading.hits, strict=True):
        known = best.setdefault(record, {})
        for term, sure in hits.items():
            known[term] = max(sure, known.get(term, 0.0))
    total = {record: sum(weight[term] * sure for term, sure in known.items()) for record, known in best.items()}
    return [RECORD * max(0.0, total[record] - own) for record, own in zip(records, asked, strict=True)]


def _around(asked: list[float], forms: list[Form]) -> list[float]:
    """What a piece gets from the heading above it and from its neighbours."""
    found: list[float] = []
    heading = 0.0
    for at, form in enumerate(forms):
        if form == "heading":
            heading = asked[at]
            above = 0.0
        else:
            above = SECTION * heading
        before = asked[at - 1] if at else 0.0
        after = asked[at + 1] if at + 1 < len(asked) else 0.0
        found.append(above + BESIDE * max(before, after))
    return found
