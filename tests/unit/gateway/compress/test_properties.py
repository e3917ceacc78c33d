"""What holds for any text, any budget and any way to count."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ringfence.gateway.compress import Count, Kept, Kind, compress


def in_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def in_words(text: str) -> int:
    """As a tokenizer may: a word is one token up to six letters, anything else a token a character."""
    return sum((len(found) + 5) // 6 if found[0].isalnum() else 1 for found in re.findall(r"\w+|[^\w\s]|\s+", text))


def in_quarters(text: str) -> int:
    return (in_bytes(text) + 3) // 4


COUNTS: list[Count] = [in_bytes, in_words, in_quarters]
ODD = [
    "数据库连接池的上限设为四千个。", "مهلة الجلسة هي ألف ثانية.", "👩‍💻🏳️‍🌈🇳🇿👍🏽",
    "e\u0301\u0327" * 9, "\ud83d\ude00", "\ud800", "\x00\x0b\u2028",
    "# Heading", "def f(a: int) -> str:", "key: value", "    return {",
    "2026-11-03 12:00:01 INFO [a] took 3 ms", "}", "", " ",
    "a" * 900, '{"a": 1}', "[…]", "Sentences. Many of them! Really? Yes; " * 20,
]  # fmt: skip
CHARACTERS = st.characters(exclude_categories=()) | st.sampled_from("aeiou \n\n.,:{}[]\"'\\#=-0123456789")
LINES = st.one_of(st.sampled_from(ODD), st.text(CHARACTERS, max_size=80))
TEXTS = st.one_of(
    st.lists(LINES, max_size=60).map("\n".join),
    st.lists(LINES, max_size=60).map("".join),
    st.text(CHARACTERS, max_size=600),
)
QUERIES = st.one_of(
    st.just(""),
    st.sampled_from(["how long is the key?", "连接池", "ما مهلة الجلسة", "👍🏽", "f" * 500]),
    st.text(max_size=60),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30) | st.sampled_from(ODD) | st.sampled_from(ODD).map(lambda part: (part + "\\\"\n") * 30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner, max_size=8),
    max_leaves=30,
)  # fmt: skip
MARK = re.compile(r"\[… \d+ lines left out\]|\[…\]")


def without_marks(text: str) -> str:
    return re.sub(r"\s+", "", MARK.sub("", text))


def check(text: str, kept: Kept, budget: int, count: Count) -> None:
    assert count(kept.text) <= budget
    assert kept.after == count(kept.text)
    assert all(0 <= start < end <= len(text) for start, end in kept.spans)
    assert all(before[1] < after[0] for before, after in zip(kept.spans, kept.spans[1:], strict=False))
    if text and any(count(one) <= budget for one in text):
        assert kept.text
        if text.strip() and any(count(one) <= budget for one in text if not one.isspace()):
            assert kept.text.strip()


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.integers(0, 700), st.sampled_from(COUNTS), QUERIES, st.sampled_from([0.0, 0.4]))
@example("日本", 1, in_bytes, "", 0.0)
@example("\n\n\n日a", 1, in_bytes, "", 0.0)
@example("x" * 5000, 7, in_bytes, "x", 0.0)
def test_it_fits_and_is_not_empty(text: str, budget: int, count: Count, query: str, ends: float) -> None:
    kept = compress(text, budget, count, query, ends=ends)
    check(text, kept, budget, count)
    if count(text) <= budget:
        assert kept.text == text and kept.is_whole
    assert compress(text, budget, count, query, ends=ends) == kept, "the same each time"
    again = compress(kept.text, budget, count, query)
    assert again.text == kept.text, "nothing left to do"


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(1, 500), QUERIES)
def test_it_is_what_stood_there_in_its_order(text: str, budget: int, query: str) -> None:
    assume(not MARK.search(text))
    kept = compress(text, budget, in_bytes, query, Kind.PROSE)
    assert without_marks(kept.text) == re.sub(r"\s+", "", "".join(text[start:end] for start, end in kept.spans))


@pytest.mark.parametrize("kind", list(Kind))
@settings(max_examples=40, deadline=None)
@given(text=TEXTS, budget=st.integers(1, 300), query=QUERIES)
def test_a_wrong_kind_does_no_harm(kind: Kind, text: str, budget: int, query: str) -> None:
    check(text, compress(text, budget, in_bytes, query, kind), budget, in_bytes)


@settings(max_examples=120, deadline=None)
@given(
    VALUES.filter(lambda value: isinstance(value, dict | list) and value),
    st.integers(1, 600),
    QUERIES,
    st.booleans(),
    st.booleans(),
)
def test_json_stays_json(value: Any, budget: int, query: str, plain: bool, indented: bool) -> None:
    text = json.dumps(value, ensure_ascii=plain, indent=2 if indented else None)
    kept = compress(text, budget, in_bytes, query)
    check(text, kept, budget, in_bytes)
    if budget >= least(value):
        assert not is_torn(json.loads(kept.text))
        assert is_within(json.loads(kept.text), json.loads(text))


def least(value: Any) -> int:
    """Bytes that surely hold one leaf with all that is around it: more than any path and any part of a string."""
    if isinstance(value, dict) and value:
        return max(len(json.dumps(key)) * 2 + 4 + least(inner) for key, inner in value.items())
    if isinstance(value, list) and value:
        return 14 + max(least(inner) for inner in value)
    return min(len(json.dumps(value)), 1300) + 24


def is_torn(value: Any) -> bool:
    """Whether half of a pair of surrogates stands alone where the original has both."""
    return (
        isinstance(value, str)
        and bool(re.search("[\ud800-\udbff](?![\udc00-\udfff])", value))
        and "\ud800" not in value
    )


def is_within(part: Any, whole: Any) -> bool:
    """Whether what is there is a part of what was: members, elements in order, parts of strings; or a mark."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key == "…" or (key in whole and is_within(inner, whole[key])) for key, inner in part.items()
        )
    if isinstance(part, list):
        if not isinstance(whole, list):
            return False
        rest = iter(whole)
        return all(
            (isinstance(one, str) and one.startswith("…")) or any(is_within(one, other) for other in rest)
            for one in part
        )
    if isinstance(part, str) and isinstance(whole, str) and part != whole:
        at = 0
        for piece in part.replace(" […]", "[…]").replace("[…] ", "[…]").split("[…]"):
            at = whole.find(piece, at)
            if at < 0:
                return False
        return True
    return part == whole


def test_the_first_of_equals_is_kept() -> None:
    text = "".join(f"word{chr(97 + at)} alpha\n" for at in range(26))
    kept = compress(text, 60, in_bytes, "alpha")
    places = [at for at in range(26) if f"word{chr(97 + at)}" in kept.text]
    middle = [at for at in places if 3 <= at <= 22]
    assert middle == list(range(3, 3 + len(middle)))


def test_no_text_in_a_repr() -> None:
    kept = compress("a secret sentence. " * 99, 50, in_bytes)
    assert "secret" not in repr(kept) and "secret" in kept.text
