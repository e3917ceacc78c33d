"""How much a piece has to do with a question, by its words alone: no model, no list of synonyms.

The rarer a word is in the text, the more it counts. Besides equal stems, these count for less: words that begin alike,
words that share most of their character triples, abbreviations without vowels (`pwd`), and initials (`ttl`).
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from itertools import chain
from math import log

from ringfence.gateway.compress.logs import template_of
from ringfence.gateway.compress.stems import STOP, UNSPACED, stems_of, words_of

MOST_TERMS = 48
"""Of a long question; those that are rarest in the text."""
QUESTION_HEAD, QUESTION_TAIL = 1000, 3000
"""Characters of a long question that are read."""

VOWEL = re.compile(r"[aeiou]")
NUMBER_NOVELTY = 0.4

AMOUNT = re.compile(
    r"\bhow (?:many|much|long|often|old|far|large|big|small|fast|high|low|late|soon|early|wide|deep)\b|\bwhen\b"
    r"|\bwhat (?:\w+ )?(?:number|time|date|year|day|amount|share)\b|多少|几|何时|什么时候|いくつ|いつ|何[時日分秒人個]"
    r"|\bcombien\b|\bquand\b|\bcu[aá]nt[oa]s?\b|\bcu[aá]ndo\b|\bwie ?viele?\b|\bwann\b|\bwie (?:lange|oft|hoch)\b"
    r"|كم|متى|сколько|когда",
    re.I,
)
PERSON = re.compile(r"\bwho(?:m|se)?\b|\bwer\b|\bwem\b|\bqui\b|\bqui[eé]n\b|谁|誰|кто", re.I)
PLACE = re.compile(r"\bwhere\b|\bwo(?:hin|her)?\b|\boù\b|\bd[oó]nde\b|哪里|哪儿|どこ|أين|где", re.I)
HAS_AMOUNT = re.compile(r"\d")
HAS_NAME = re.compile(r"[a-z,:=\"] ?\"?(?:[A-Z][a-z]+[ .]){1,2}?[A-Z]?[a-z]*|@\w|[\u4e00-\u9fff]")
HAS_PLACE = re.compile(r"/\w+|\w\.\w{2,}\b|\b(?:in|at|on|under|to|from) (?:the )?[A-Z]\w|\\\\")


class Question:
    """What is looked for: its terms, and what sort of answer it wants."""

    def __init__(self, query: str) -> None:
        if len(query) > QUESTION_HEAD + QUESTION_TAIL:
            query = query[:QUESTION_HEAD] + "\n" + query[-QUESTION_TAIL:]
        words = words_of(query)
        told = [part for word in words if word.lower() not in STOP for part in stems_of(word)]
        self.terms: list[str] = list(dict.fromkeys(part for part in told if len(part) > 1 or not part.isascii()))
        self.initials = self._initials(words[:400])
        self.wants = [
            shown
            for asked, shown in ((AMOUNT, HAS_AMOUNT), (PERSON, HAS_NAME), (PLACE, HAS_PLACE))
            if asked.search(query)
        ]

    def __bool__(self) -> bool:
        return bool(self.terms)

    @cached_property
    def likeness(self) -> Likeness:
        """Made once, for all texts that are read for the same question."""
        return Likeness(self)

    def _initials(self, words: list[str]) -> dict[str, int]:
        """What three or four words in a row would be called for short, and the term that stands for them."""
        places = {term: at for at, term in enumerate(self.terms)}
        found: dict[str, int] = {}
        for size in (3, 4):
            for first in range(len(words) - size + 1):
                row = words[first : first + size]
                known = [places[part] for word in row for part in stems_of(word) if part in places]
                if known and all(word.isascii() and word.isalpha() for word in row):
                    found.setdefault("".join(word[0] for word in row).lower(), known[0])
        return found


class Likeness:
    """Which terms of a question a word of the text stands for, and how surely."""

    def __init__(self, question: Question) -> None:
        self.terms = question.terms
        self.exact = {term: at for at, term in enumerate(self.terms)}
        self.triples: dict[str, list[int]] = {}
        self.long: dict[str, list[tuple[int, str]]] = {}
        """Those that may be abbreviated, by their first letter."""
        for at, term in enumerate(self.terms):
            if len(term) > 4 and term.isascii():
                self.long.setdefault(term[0], []).append((at, term))
        self.initials = question.initials
        self.unspaced = [(at, term) for at, term in enumerate(self.terms) if UNSPACED.fullmatch(term)]
        for at, term in enumerate(self.terms):
            for triple in _triples(term):
                self.triples.setdefault(triple, []).append(at)

    def of(self, word: str) -> tuple[tuple[int, float], ...]:
        """Terms with how sure it is; nothing for most words."""
        if word.isdigit():
            return ((self.exact[word], 1.0),) if word in self.exact else ()
        if not word.isascii() and UNSPACED.fullmatch(word):
            return tuple([(at, 1.0) for at, pair in self.unspaced if pair in word])
        best: dict[int, float] = {}
        for part in stems_of(word):
            for at, sure in self._part(part):
                if sure > best.get(at, 0.0):
                    best[at] = sure
        return tuple(best.items())

    def _part(self, part: str) -> list[tuple[int, float]]:
        at = self.exact.get(part)
        if at is not None:
            return [(at, 1.0)]
        if len(part) < 3 or not part.isalpha() or part in STOP:
            return []
        if not part.isascii() and len(part) < 4:
            return []
        if part in self.initials:
            return [(self.initials[part], 0.5)]
        if len(part) < 6 and not VOWEL.search(part, 1):
            return [(at, 0.5) for at, term in self.long.get(part[0], ()) if _shortens(part, term)]
        shared: Counter[int] = Counter()
        triples = _triples(part)
        for triple in triples:
            for term in self.triples.get(triple, ()):
                shared[term] += 1
        return [
            (term, sure) for term, many in shared.items() if (sure := self._alike(part, term, many, len(triples))) > 0
        ]

    def _alike(self, part: str, at: int, shared: int, triples: int) -> float:
        term = self.terms[at]
        short, long = sorted((part, term), key=len)
        if len(short) >= 4 and (long.startswith(short) or long.endswith(short)):
            return 0.4 + 0.4 * len(short) / len(long)
        dice = 2.0 * shared / (triples + max(1, len(term) - 2))
        if dice >= 0.5 and len(short) >= 5:
            return 0.7 * dice
        return 0.0


def _triples(word: str) -> set[str]:
    return {word[at : at + 3] for at in range(len(word) - 2)}


def _shortens(short: str, word: str) -> bool:
    """Whether people may write a word so: some of its letters in their order, the first among them."""
    at = 0
    for letter in short:
        at = word.find(letter, at) + 1
        if not at:
            return False
    return True


NO_HITS: dict[int, float] = {}


class Reading:
    """The words of all pieces, read once."""

    def __init__(self, texts: list[str], question: Question) -> None:
        self.templates: list[int] = []
        self.words: list[tuple[str, ...]] = []
        """The different ones of each piece."""
        for text in texts:
            row = words_of(text)
            self.templates.append(template_of(row))
            self.words.append(tuple(dict.fromkeys(row)))
        self.total = len(texts)
        self.seen = Counter(chain.from_iterable(self.words))
        self.hits: list[dict[int, float]] = [NO_HITS] * len(texts)
        if question:
            self._find(question.likeness)
        self.idf = self._idf(len(question.terms))

    def _find(self, likeness: Likeness) -> None:
        """Each different word is compared once; then most pieces are known to have none that counts."""
        known = {word: like for word in self.seen if (like := likeness.of(word))}
        counting = set(known)
        for place, words in enumerate(self.words):
            if counting.isdisjoint(words):
                continue
            hits: dict[int, float] = {}
            for word in words:
                for at, sure in known.get(word, ()):
                    if sure > hits.get(at, 0.0):
                        hits[at] = sure
            self.hits[place] = hits

    def _idf(self, terms: int) -> list[float]:
        """As BM25 weighs a term; only the rarest count in a long question."""
        seen = [0.0] * terms
        for hits in self.hits:
            for at, sure in hits.items():
                seen[at] += sure
        found = [log(1.0 + (self.total - min(many, self.total) + 0.5) / (many + 0.5)) for many in seen]
        if terms > MOST_TERMS:
            least = sorted((idf for idf, many in zip(found, seen, strict=True) if many), reverse=True)[:MOST_TERMS][-1:]
            found = [idf if idf >= (least or [0.0])[0] else 0.0 for idf in found]
        return found

    def novelty(self) -> list[float]:
        """From 0 to 1, how unusual a piece's words are in this text. Numbers are all alike."""
        total = self.total + 1.0
        scale = log(total) or 1.0
        worth = [log(total / many) / scale for many in range(1, max(self.seen.values(), default=0) + 1)]
        rare = {word: NUMBER_NOVELTY if word.isdigit() else worth[many - 1] for word, many in self.seen.items()}
        return [sum(map(rare.__getitem__, words)) / (len(words) + 2.0) for words in self.words]
