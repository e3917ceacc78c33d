"""Patterns of the operator: those that could take long are refused, the others find what Python's `re` would find."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from taken import least_s

from ringfence.signals.user_patterns import MAX_STEPS, PatternRefused, compiled

ATOMS = st.sampled_from(("a", "b", "1", "-", r"\d", r"\w", "[ab]", "[^a]", "[a-b1]", ".", r"\b", "ab", r"\-", r"\x61"))
QUANTIFIERS = st.sampled_from(("", "", "", "?", "*", "+", "{2}", "{1,3}", "{,2}", "{2,}"))


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.tuples(st.sampled_from(("(", "(?:")), inner, QUANTIFIERS).map(
        lambda three: f"{three[0]}{three[1]}){three[2]}"
    )
    return (
        st.lists(inner, min_size=2, max_size=3).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map("|".join)
        | group
    )


PATTERNS = st.recursive(st.tuples(ATOMS, QUANTIFIERS).map("".join), grown, max_leaves=6)


@given(pattern=PATTERNS, text=st.text(st.sampled_from("aAbB1- \né"), max_size=14), ignores_case=st.booleans())
@example(pattern="a*ab", text="aaab", ignores_case=False)
@example(pattern="(a|ab)(b|1)?1", text="ab1", ignores_case=False)
def test_what_is_taken_finds_what_re_finds(pattern: str, text: str, ignores_case: bool) -> None:
    written = ("(?i)" if ignores_case else "") + pattern
    try:
        matcher, steps = compiled(written)
    except PatternRefused:
        return
    assert steps <= MAX_STEPS
    assert bool(matcher.search(text)) == bool(re.search(written, text, re.MULTILINE))


TAKEN = (
    r"Project Falcon",
    r"(?i)\bfalcon\b",
    r"\bACME-[0-9]{4,8}\b",
    r"[\w.]+@acme\.example",
    r"(?:KD|PN)[ -]?\d{6}",
    r"^CONFIDENTIAL",
    r"patient\s+no\.?\s*\d+",
    r"\d{3}-\d{2}-\d{4}",
    r"[A-Z]{2,3}_[a-z]+",
    r"(foo|bar)+x",
    "straße",
    r"a{2,}b",
    r"[]^-]x",
    r"\[x\]",
)


@pytest.mark.parametrize("pattern", TAKEN)
def test_patterns_people_write_are_taken(pattern: str) -> None:
    compiled(pattern)


REFUSED = {
    r"(a+)+$": "too long",
    r"(a|a)*b": "too long",
    r"(\w+\s?)+x": "too long",
    r"\w+\w+\w+x": "too long",
    r"(.*)(.*)x": "too long",
    r"([a-z]+)*1": "too long",
    r"(a?)+": "cannot be repeated",
    r"a*": "empty text",
    r"x|": "empty text",
    "": "1 to",
    r"(a)\1": "escape",
    r"(?=a)b": "groups",
    r"(?<!a)b": "groups",
    r"(?P<x>a)": "groups",
    r"(?s)a": "groups",
    r"a+?": "lazy",
    r"a++b": "lazy",
    r"(a": "no ')'",
    r"a)": "no '('",
    r"[a": "no ']'",
    r"*a": "nothing to repeat",
    r"a{3,1}": "small to large",
    r"a{999}": "256",
    r"\Aa": "escape",
    "a" * 501: "1 to",
    "(" * 30 + "a" + ")" * 30: "nested",
    r"a{x}": "'{'",
    r"[b-a]": "small to large",
    "\\": "escape",
}


@pytest.mark.parametrize(("pattern", "why"), REFUSED.items())
def test_dangerous_and_strange_patterns_are_refused_with_the_reason(pattern: str, why: str) -> None:
    with pytest.raises(PatternRefused, match=re.escape(why)) as refused:
        compiled(pattern)
    assert len(pattern) < 4 or pattern not in str(refused.value)


@given(pattern=st.text(st.sampled_from("ab1(){}[]|*+?.,\\dw^$-:<=x"), max_size=25))
def test_any_text_is_taken_or_refused_and_nothing_else(pattern: str) -> None:
    with suppress(PatternRefused):
        compiled(pattern)


@pytest.mark.parametrize("pattern", TAKEN)
def test_the_worst_texts_take_no_longer_than_was_computed(pattern: str) -> None:
    matcher, steps = compiled(pattern)
    for piece in ("a", "A", "1", "a ", "ACME-", "a.", "KD 1", "patient no ", "foo", "_a", "-"):
        text = piece * (4000 // len(piece))
        most_s = max(0.05, len(text) * steps * 100e-9)
        assert least_s(partial(matcher.search, text + "!"), most_s) < most_s
