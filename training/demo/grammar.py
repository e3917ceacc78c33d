"""A small grammar of wordings: text is drawn from it for training, and searched in it for proof.

A pattern is plain text with alternatives in square brackets, which may nest, and named parts in braces:

    "how [do|can] i [create|make] [a|a new] {key}"

Drawing and searching walk the same tree, so whatever can be drawn can also be found. The search covers every
expansion, and every noisy form of it (see `noisy`), without listing them: it follows the wanted word sequences
through the tree, as a text search with an automaton does.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, eq=False)
class Seq:
    """Parts in order."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Alt:
    """One of several parts, each as likely as the next."""

    choices: tuple[Node, ...]


Node = str | Seq | Alt

_MARKS = re.compile(r"([\[\]|]|\{\w+\})")


def parse(pattern: str, named: Mapping[str, Node] | None = None) -> Node:
    tokens = [t for t in _MARKS.split(pattern) if t]
    pos = 0

    def choices() -> Alt:
        nonlocal pos
        found: list[Node] = [sequence()]
        while pos < len(tokens) and tokens[pos] == "|":
            pos += 1
            found.append(sequence())
        return Alt(tuple(found))

    def sequence() -> Node:
        nonlocal pos
        parts: list[Node] = []
        while pos < len(tokens) and tokens[pos] not in ("|", "]"):
            token = tokens[pos]
            pos += 1
            if token == "[":
                parts.append(choices())
                if pos >= len(tokens):
                    raise ValueError(f"bracket not closed: {pattern!r}")
                pos += 1
            elif token.startswith("{"):
                parts.append((named or {})[token[1:-1]])
            else:
                parts.append(token)
        return parts[0] if len(parts) == 1 else Seq(tuple(parts))

    tree = choices()
    if pos != len(tokens):
        raise ValueError(f"bracket not opened: {pattern!r}")
    return tree.choices[0] if len(tree.choices) == 1 else tree


def any_of(patterns: Iterable[str], named: Mapping[str, Node] | None = None) -> Alt:
    return Alt(tuple(parse(p, named) for p in patterns))


def draw(node: Node, rng: random.Random) -> str:
    """One expansion, spaces tidied."""
    found: list[str] = []

    def walk(n: Node) -> None:
        if isinstance(n, str):
            found.append(n)
        elif isinstance(n, Alt):
            walk(n.choices[rng.randrange(len(n.choices))])
        else:
            for part in n.parts:
                walk(part)

    walk(node)
    return re.sub(r"\s+([,?.!])", r"\1", " ".join(" ".join(found).split()))


def words(text: str) -> tuple[str, ...]:
    """Lower-cased words without punctuation; an apostrophe joins, everything else divides."""
    return tuple(re.findall(r"[^\W_]+", re.sub(r"['’]", "", text.lower())))


@cache
def typos(word: str) -> tuple[str, ...]:
    """Every slip that training text may hold for one word: a letter lost, doubled, or swapped with the next."""
    if len(word) < 4 or not word.isalpha():
        return ()
    lost = {word[:i] + word[i + 1 :] for i in range(1, len(word))}
    doubled = {word[:i] + word[i] + word[i:] for i in range(1, len(word))}
    swapped = {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    return tuple(sorted((lost | doubled | swapped) - {word}))


_ONSETS, _VOWELS, _ENDS = (
    "b d f g k l m n p r s t v br dr fl gr kl pl st tr",
    "a e i o u ea ou",
    "b d g k l m n p r s t nd",
)
_FIRST = "dw gw kr pf shl vr zl zv"  # hardly a word begins so
_SYLLABLES = tuple(tuple(part.split() for part in (onset, _VOWELS, _ENDS)) for onset in (_FIRST, _ONSETS, _ONSETS))
MADE_UP = re.compile(
    "".join("".join(f"({'|'.join(part)})" for part in syllable) for syllable in _SYLLABLES[:2])
    + "(" + "".join(f"({'|'.join(part)})" for part in _SYLLABLES[2]) + ")?"
)  # fmt: skip


def made_up(rng: random.Random) -> str:
    """A word that nobody knows; `MADE_UP` matches it in full."""
    return "".join(rng.choice(part) for syllable in _SYLLABLES[: rng.choice((2, 3))] for part in syllable)


def noisy(question: str, rng: random.Random) -> str:
    """As people type: at most one word left out, one misspelt and one unknown, then case and end mark as they come."""
    parts = question.split()
    if len(parts) > 4 and rng.random() < 0.15:
        i = rng.randrange(len(parts))
        if len(words(parts[i])) <= 1:  # "llama.cpp" is two words to the search, which allows for one left out
            del parts[i]
    if rng.random() < 0.15:
        i = rng.randrange(len(parts))
        slips = typos(parts[i])
        if slips:
            parts[i] = rng.choice(slips)
    if rng.random() < 0.2:
        parts.insert(rng.randrange(len(parts) + 1), made_up(rng))
    text = " ".join(parts)
    style = rng.random()
    if style < 0.5:
        text = text[0].upper() + text[1:]
    elif style < 0.65:
        text = text.lower()
    elif style < 0.66:
        text = text.upper()
    return text.rstrip(" ,.?!") + rng.choice(("?", "?", "?", "", "", "", ".", "!", " ?", "??"))


Gram = tuple[str, ...]


def grams(question: str, n: int = 5) -> set[Gram]:
    """The n-word runs of a question; of a shorter one, all of it."""
    w = words(question)
    n = min(n, len(w))
    return {w[i : i + n] for i in range(len(w) - n + 1)}


def find(node: Node, wanted: set[Gram], noise: bool) -> set[Gram]:
    """Which of the wanted word runs stand in any expansion of `node`; with `noise`, in any noisy form of one.

    A state is what matters of the words so far: the longest tail that can still grow into a wanted run, whether
    a word was already left out, and whether one was already misspelt. A made-up word put in between only ever ends a
    run, so it needs no state, as long as it is none of the wanted words.
    """
    if any(MADE_UP.fullmatch(word) for gram in wanted for word in gram):
        raise ValueError("a wanted word could be a made-up one")
    State = tuple[Gram, bool, bool]
    starts = {g[:i] for g in wanted for i in range(len(g))}
    vocabulary = {w for g in wanted for w in g}
    found: set[Gram] = set()
    walked: dict[tuple[int, frozenset[State]], set[State]] = {}

    @cache
    def slips(word: str) -> tuple[str, ...]:
        return tuple(t for t in typos(word) if t in vocabulary)

    @cache
    def grow(tail: Gram, word: str) -> tuple[Gram, frozenset[Gram]]:
        line = (*tail, word)
        suffixes = [line[i:] for i in range(len(line) + 1)]
        return next(s for s in suffixes if s in starts), frozenset(s for s in suffixes if s in wanted)

    def read(states: set[State], word: str) -> set[State]:
        if word not in vocabulary and not slips(word):  # most words: whatever was under way ends here
            ended: set[State] = {((), dropped, misspelt) for _, dropped, misspelt in states}
            return ended | {(tail, True, misspelt) for tail, dropped, misspelt in states if noise and not dropped}
        after: set[State] = set()
        for tail, dropped, misspelt in states:
            for form, slip in [(word, misspelt)] + [(s, True) for s in slips(word) if noise and not misspelt]:
                grown, hits = grow(tail, form)
                found.update(hits)
                after.add((grown, dropped, slip))
            if noise and not dropped:
                after.add((tail, True, misspelt))
        return after

    def walk(states: set[State], n: Node) -> set[State]:
        if isinstance(n, Seq):
            for part in n.parts:
                states = walk(states, part)
            return states
        if isinstance(n, Alt):
            key = (id(n), frozenset(states))  # many wordings share their openings
            if key not in walked:
                walked[key] = set().union(*(walk(states, c) for c in dict.fromkeys(n.choices)))
            return walked[key]
        for word in words(n):
            states = read(states, word)
        return states

    walk({((), False, False)}, node)
    return found
