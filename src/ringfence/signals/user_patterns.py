"""Patterns an operator writes: a part of Python's regular expressions whose worst case can be computed beforehand.

Python's matcher has no time limit, and some patterns take exponential time on the right text. So a pattern is parsed
here first. Allowed: literal characters, `.`, classes, the escapes \\d \\w \\s \\b (and capitals), ^ and $, groups,
alternatives, and the quantifiers ? * + {m,n}. `(?i)` at the start ignores case. Refused: references, looking ahead
and behind, other flags, lazy and possessive quantifiers. `*`, `+` and `{m,}` count to at most 64. A quantifier that
cannot overlap with what follows is made possessive, which changes no result and takes away the way back. What is left
is multiplied out; a pattern that could take more than MAX_STEPS at one character is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase, punctuation, whitespace

MOST_REPEATS = 64
MAX_STEPS = 2_000
"""At one character of the text, in the worst case. A step is about 10 ns."""
MAX_PATTERN_CHARS = 500
MAX_DEPTH = 20

BEYOND_SPACE, BEYOND_DIGIT, BEYOND_WORD, BEYOND_OTHER = (1 << place for place in range(128, 132))
"""Stand for the characters beyond ASCII that \\s, \\d, \\w alone, and none of them match."""
BEYOND = BEYOND_SPACE | BEYOND_DIGIT | BEYOND_WORD | BEYOND_OTHER
ALL = (1 << 132) - 1


class PatternRefused(ValueError):
    """The pattern cannot be used; the message says why, and does not repeat it."""


def beyond(mark: str) -> int:
    if mark.isspace():
        return BEYOND_SPACE
    if mark.isdecimal():
        return BEYOND_DIGIT
    return BEYOND_WORD if mark.isalnum() else BEYOND_OTHER


def mask_of(marks: str) -> int:
    mask = 0
    for mark in marks:
        mask |= 1 << ord(mark) if ord(mark) < 128 else beyond(mark)
    return mask


DIGITS = mask_of("0123456789") | BEYOND_DIGIT
UPPER, LOWER = mask_of(ascii_uppercase), mask_of(ascii_lowercase)
WORD = DIGITS | UPPER | LOWER | mask_of("_") | BEYOND_WORD
SPACE = mask_of(whitespace + "\x1c\x1d\x1e\x1f") | BEYOND_SPACE
CLASSES = {"d": DIGITS, "w": WORD, "s": SPACE, "D": ALL & ~DIGITS, "W": ALL & ~WORD, "S": ALL & ~SPACE}
FOLDED = mask_of("iksIKS")
"""Equal to a letter beyond ASCII where case is ignored."""
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
QUANTIFIER = re.compile(r"[?*+]|\{([0-9]{0,3})(,?)([0-9]{0,3})\}")
CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a pattern. `first`: characters it can start with. `wide`: the most characters it takes."""

    text: str = ""
    first: int = 0
    wide: int = 0
    can_be_empty: bool = False
    items: tuple[Part, ...] = ()
    kind: str = "set"
    low: int = 1
    high: int = 1


class Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str, ignores_case: bool) -> None:
        self.pattern, self.ignores_case, self.at, self.depth = pattern, ignores_case, 0, 0

    def peek(self, size: int = 1) -> str:
        return self.pattern[self.at : self.at + size]

    def whole(self) -> Part:
        part = self.alternatives()
        if self.at < len(self.pattern):
            raise PatternRefused("a ')' has no '('")
        return part

    def alternatives(self) -> Part:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise PatternRefused("groups are nested too deeply")
        choices = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            choices.append(self.sequence())
        self.depth -= 1
        if len(choices) == 1:
            return choices[0]
        first = 0
        for choice in choices:
            first |= choice.first
        return Part(
            "", first, max(c.wide for c in choices), any(c.can_be_empty for c in choices), tuple(choices), "any"
        )

    def sequence(self) -> Part:
        items: list[Part] = []
        while self.peek() not in ("", "|", ")"):
            items.append(self.quantified(self.atom()))
        return Part(
            "", first_of(items), sum(i.wide for i in items), all(i.can_be_empty for i in items), tuple(items), "all"
        )

    def quantified(self, item: Part) -> Part:
        found = QUANTIFIER.match(self.pattern, self.at)
        if found is None:
            return item
        self.at = found.end()
        if self.peek() in ("?", "*", "+", "{") and self.peek():
            raise PatternRefused("lazy, possessive and doubled quantifiers are not taken")
        low, high = {"?": (0, 1), "*": (0, MOST_REPEATS), "+": (1, MOST_REPEATS)}.get(found[0], (-1, -1))
        if low < 0:
            if not found[1] and not found[3]:
                raise PatternRefused("a '{' that is no quantifier is written '\\{'")
            low = int(found[1] or 0)
            high = low if not found[2] else int(found[3]) if found[3] else max(low, MOST_REPEATS)
        if high < low or high > 256:
            raise PatternRefused("a quantifier goes from small to large, and to 256 at most")
        if item.kind == "mark" or (item.can_be_empty and high > 1):
            raise PatternRefused("what can be empty cannot be repeated")
        return Part("", item.first, item.wide * high, low == 0 or item.can_be_empty, (item,), "repeat", low, high)

    def atom(self) -> Part:
        mark = self.peek()
        self.at += 1
        if mark == "(":
            return self.group()
        if mark == "[":
            return self.one_of()
        if mark == "\\":
            return self.escape()
        if mark in ("^", "$"):
            return Part(mark, ALL, 0, True, kind="mark")
        if mark == ".":
            return Part(mark, ALL & ~mask_of("\n"), 1)
        if mark == "{":
            raise PatternRefused("a '{' that is no quantifier is written '\\{'")
        if mark in ("?", "*", "+"):
            raise PatternRefused("a quantifier has nothing to repeat")
        return self.literal(mark)

    def literal(self, mark: str) -> Part:
        return Part(re.escape(mark), self.cased(mask_of(mark)), 1)

    def cased(self, mask: int) -> int:
        """`mask` with both cases where case is ignored; letters beyond ASCII stay what they are: letters."""
        if not self.ignores_case:
            return mask
        both = mask | (mask & UPPER) << 32 | (mask & LOWER) >> 32
        return both | (BEYOND_WORD if both & FOLDED else 0) | (FOLDED if mask & BEYOND_WORD else 0)

    def group(self) -> Part:
        if self.peek(2) == "?:":
            self.at += 2
        elif self.peek() == "?":
            raise PatternRefused("of groups only (...) and (?:...) are taken, and (?i) at the start")
        inner = self.alternatives()
        if self.peek() != ")":
            raise PatternRefused("a '(' has no ')'")
        self.at += 1
        return inner

    def escape(self) -> Part:
        mark = self.peek()
        if mark in ("b", "B"):
            self.at += 1
            return Part("\\" + mark, ALL, 0, True, kind="mark")
        text, mask = self.escaped()
        return Part(text, self.cased(mask), 1)

    def escaped(self) -> tuple[str, int]:
        mark = self.peek()
        if code := CODE.match(self.pattern, self.at):
            self.at = code.end()
            mark = chr(int(code[1] or code[2], 16))
            return re.escape(mark), mask_of(mark)
        self.at += 1
        if mark in CLASSES:
            return "\\" + mark, CLASSES[mark]
        if mark in CONTROLS:
            return "\\" + mark, mask_of(CONTROLS[mark])
        if mark and mark in punctuation + " ":
            return "\\" + mark, mask_of(mark)
        raise PatternRefused("an escape that is not taken")

    def one_of(self) -> Part:
        negated = self.peek() == "^"
        self.at += negated
        texts: list[str] = []
        mask = 0
        while self.peek() != "]" or not texts:
            if not self.peek():
                raise PatternRefused("a '[' has no ']'")
            text, inner = self.class_item()
            texts.append(text)
            mask |= inner
        self.at += 1
        mask = self.cased(mask)
        return Part(f"[{'^' * negated}{''.join(texts)}]", ALL & ~mask | BEYOND if negated else mask, 1)

    def class_mark(self) -> tuple[str, int, str]:
        """Its text, its mask, and the character itself where it is a single one."""
        mark = self.peek()
        self.at += 1
        if mark != "\\":
            return ("\\" + mark if mark in punctuation else mark), mask_of(mark), mark
        start = self.at
        text, mask = self.escaped()
        named = self.pattern[start]
        single = "" if named in CLASSES else CONTROLS.get(named, text[-1])
        return text, mask, single

    def class_item(self) -> tuple[str, int]:
        text, mask, low = self.class_mark()
        if self.peek() != "-" or self.peek(2) == "-]" or not low:
            return text, mask
        self.at += 1
        if not self.peek():
            raise PatternRefused("a '[' has no ']'")
        end_text, _, high = self.class_mark()
        if not high or high < low:
            raise PatternRefused("a range in a class goes from small to large")
        last = min(ord(high), 127)
        mask = mask_of("".join(map(chr, range(ord(low), last + 1)))) | (BEYOND if ord(high) > 127 else 0)
        return f"{text}-{end_text}", mask


def first_of(items: list[Part]) -> int:
    mask = 0
    for item in items:
        mask |= item.first
        if not item.can_be_empty:
            break
    return mask


def written(part: Part, follows: int) -> tuple[str, int]:
    """The pattern as it is compiled, and in how many ways it can match at one place at most.

    `follows`: the characters with which what comes next can start; 0 at the end, where any way will do.
    """
    if part.kind in ("set", "mark"):
        return part.text, 1
    if part.kind == "all":
        texts: list[str] = []
        ways = 1
        for item in reversed(part.items):
            text, several = written(item, follows)
            texts.append(text)
            ways *= several
            follows = item.first | (follows if item.can_be_empty else 0)
        return "".join(reversed(texts)), ways
    if part.kind == "any":
        pairs = [written(choice, follows) for choice in part.items]
        firsts = [choice.first | (follows if choice.can_be_empty else 0) for choice in part.items]
        apart = all(not a & b for i, a in enumerate(firsts) for b in firsts[i + 1 :])
        counts = [ways for _, ways in pairs]
        return f"(?:{'|'.join(text for text, _ in pairs)})", max(counts) if apart else sum(counts)
    return repeated(part, follows)


def repeated(part: Part, follows: int) -> tuple[str, int]:
    item, low, high = part.items[0], part.low, part.high
    text, ways = written(item, item.first | follows if high > 1 else follows)
    text = text if item.kind == "set" else f"(?:{text})"
    if ways > 1:
        return f"{text}{{{low},{high}}}", min((high - low + 1) * ways ** min(high, 64), 10**30)
    if low == high:
        return f"{text}{{{low}}}", 1
    if not item.first & follows:  # where it could go on, what follows could not start
        return f"{text}{{{low},{high}}}+", 1
    return f"{text}{{{low},{high}}}", high - low + 1


def compiled(pattern: str) -> tuple[re.Pattern[str], int]:
    """The pattern, and the steps it takes at most for each character. Raises PatternRefused."""
    if not pattern or len(pattern) > MAX_PATTERN_CHARS:
        raise PatternRefused(f"a pattern has 1 to {MAX_PATTERN_CHARS} characters")
    ignores_case = pattern.startswith("(?i)")
    part = Parser(pattern[4:] if ignores_case else pattern, ignores_case).whole()
    if part.can_be_empty:
        raise PatternRefused("it matches the empty text, so it would always be found")
    text, ways = written(part, 0)
    steps = ways * (part.wide + 1)
    if steps > MAX_STEPS:
        raise PatternRefused(
            "it could take too long on some texts: give quantifiers smaller bounds, such as {1,20}, and let what "
            "follows a quantifier start with a character that it does not take"
        )
    try:
        return re.compile(text, re.MULTILINE | (re.IGNORECASE if ignores_case else 0)), steps
    except re.error as wrong:
        raise PatternRefused(wrong.msg) from None
