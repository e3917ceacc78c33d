"""How many words of each kind a text has: a verb counts most where it commands, at the beginning of a sentence, behind
nothing but politeness. Pure; every look-up is one of a word in a dict, so that no text is slow.
"""

from __future__ import annotations

import re

from ringfence.signals.phrases import ENDINGS, HAN, PHRASES
from ringfence.signals.vocabulary import ANYWHERE, COMMANDS, POLITE, Kind

LAST_VERB = Kind.PLAN
COMMANDED = 4.0
"""What a verb counts that commands; elsewhere `MENTIONED`, and as the first command of a text a little more."""
FIRST_COMMAND = 1.5
MENTIONED = 1.2
NOUN = 1.0
COMMAND_WORDS = 2
"""Among so many words at the beginning of a sentence a verb commands."""

SHORT_WORD = 4
"""Of longer nouns the plural is known as well."""
SUBJECTS = frozenset(("i", "we", "ich", "wir", "je", "nous"))
TOLD = 1000
"""So far from the beginning is what stands behind "I": it tells something and commands nothing, unless it is a wish."""
WISHES = frozenset((
    "need", "want", "like", "d", "möchte", "brauche", "veux", "voudrais", "quiero", "necesito",
    "you", "du", "sie", "vous",
))  # fmt: skip
"""What follows is wanted, as if the sentence began there."""
JOINS = frozenset(("and", "then", "und", "dann", "puis", "y"))
STOPS = frozenset(".!?\n:;。！？：；")
TOKENS = re.compile(
    r"[^\W_\u3040-\u30ff\u4e00-\u9fff]+(?:[-'’][^\W_\u3040-\u30ff\u4e00-\u9fff]+)*#?|[.!?\n:;。！？：；]"
)
PLAIN_TOKENS = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*#?|[.!?\n:;]")
"""The same for ASCII, which takes half the time."""
EASTERN = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]")


NOTHING = -1
"""As a kind: a word that says nothing by itself, such as the first one of a phrase."""
RESTART = -1
JOINED = -2
"""Instead of a distance: a sentence begins anew, or the next command of the same one."""
NUMBERS = Kind.NUMBERS
Entry = tuple[int, bool, int, tuple[tuple[str, int, float], ...]]
"""Kind, whether it must command to count, how far it moves the place of a command where it says nothing by itself,
and what it begins."""


def by_word() -> dict[str, Entry]:
    """Every word that is known. Verbs that are nouns as well stay nouns."""
    kinds: dict[str, tuple[int, bool]] = {
        word: (kind, True) for kind, words in COMMANDS.items() for word in words.split()
    }
    for kind, words in ANYWHERE.items():
        for word in words.split():
            if kind <= LAST_VERB or not kinds.get(word, (kind, False))[1]:
                kinds[word] = (kind, False)
    begun: dict[str, list[tuple[str, int, float]]] = {}
    for phrase in PHRASES:
        begun.setdefault(TOKENS.findall(phrase[0])[0], []).append(phrase)
    words = {
        word: (*kinds.get(word, (NOTHING, False)), moves(word), tuple(begun.get(word, ())))
        for word in {*kinds, *begun, *POLITE, *SUBJECTS, *WISHES, *JOINS}
    }
    plurals = {f"{word}s": entry for word, entry in words.items() if entry[0] > LAST_VERB and len(word) >= SHORT_WORD}
    return plurals | words


def moves(word: str) -> int:
    """By how many places a command behind this word is farther from the beginning of its sentence."""
    if word in WISHES or word in JOINS:
        return RESTART if word in WISHES else JOINED
    return TOLD if word in SUBJECTS else 0 if word in POLITE else 1


WORDS = by_word()
LONG_CHARS = 9
ENDS = tuple(ending for ending, _ in ENDINGS)


def count(text: str, into: list[float], weight: float = 1.0) -> None:  # noqa: PLR0912 - one loop, run for every word
    """Adds to `into`, one figure for each kind, what `text` has of it. `text` is in small letters and bounded."""
    position = commands = 0
    number = place = -2
    look_up = WORDS.get
    seen: set[str] = set()
    is_plain = text.isascii()
    for token in (PLAIN_TOKENS if is_plain else TOKENS).findall(text):
        place += 1
        found = look_up(token)
        if found is None:
            if token in STOPS:
                position = 0
            elif token[0].isdecimal():
                if number + 1 < place and token not in seen:  # groups of digits are one number
                    into[NUMBERS] += weight
                seen.add(token)
                number = place
                position += 1
            else:
                if len(token) >= LONG_CHARS and token.endswith(ENDS):
                    into[next(kind for ending, kind in ENDINGS if token.endswith(ending))] += NOUN * weight
                position += 1
            continue
        kind, must_command, moved, phrases = found
        if phrases and token not in seen:
            for phrase, meant, points in phrases:
                if phrase in text and phrase not in seen:
                    seen.add(phrase)
                    into[meant] += points * weight
        if kind > LAST_VERB:
            position += 1
            if token in seen:
                continue  # a word that comes again says nothing new
            into[kind] += NOUN * weight
        elif kind == NOTHING:
            if moved >= 0:
                position += moved
            elif moved == RESTART or position < TOLD:
                position = 0
            if token[0].isdecimal() and token not in seen:
                into[NUMBERS] += weight
        else:
            if position < (1 if must_command else COMMAND_WORDS):
                points = COMMANDED if position == 0 else COMMANDED - 1
                into[kind] += points * weight * (1 if commands else FIRST_COMMAND)
                commands += 1
            elif not must_command:
                into[kind] += MENTIONED * weight
            position += 1
        seen.add(token)
    if not is_plain and EASTERN.search(text):
        count_eastern(text, into, weight)


def count_eastern(text: str, into: list[float], weight: float) -> None:
    """The same of scripts that put no spaces between words."""
    for mark, kind in HAN:
        if mark in text:
            into[kind] += (COMMANDED if kind <= LAST_VERB else NOUN) * weight
