"""What is left of a shortened text: its beginning, its end, and never more than there is room for."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.gateway.count import byte_length
from ringfence.gateway.shrink.ends import cut, head_and_tail, keep_ends

TEXT = st.text(min_size=1, max_size=300).map(lambda text: text * 5)


@given(text=TEXT, most=st.integers(0, 400), from_end=st.booleans())
@example(text="日" * 200, most=100, from_end=True)
def test_a_cut_fits_and_wastes_little(text: str, most: int, from_end: bool) -> None:
    part = cut(text, most, byte_length, from_end)
    assert byte_length(part) <= most
    assert text.endswith(part) if from_end else text.startswith(part)
    if part != text:
        assert byte_length(part) >= most * 0.9 - 4


def test_a_cut_does_not_count_all_of_a_long_text() -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4

    part = cut("word " * 1_000_000, 1000, count)
    assert 3800 <= len(part) <= 4003
    assert sum(counted) < 40_000


@given(text=TEXT, most=st.integers(0, 400))
def test_head_and_tail(text: str, most: int) -> None:
    kept = head_and_tail(text, most, byte_length)
    assert byte_length(kept) <= most
    assert kept or most < 4
    assert head_and_tail(kept, most, byte_length) == kept
    if byte_length(text) <= most:
        assert kept == text


@given(text=TEXT, most=st.integers(40, 400))
def test_ends_are_kept_around_what_is_picked(text: str, most: int) -> None:
    if byte_length(text) <= most:
        return
    kept = keep_ends(text, most, byte_length, head_and_tail)
    assert byte_length(kept) <= most
    assert (kept[0], kept[-1]) == (text[0], text[-1])


def test_the_ends_are_the_question_where_there_is_none() -> None:
    asked: list[str] = []

    def shorten(text: str, most: int, count: object, query: str, part: object) -> str:
        asked.append(query)
        return text[:5]

    text = f"What is the port? {'filler ' * 900} Answer briefly."
    kept = keep_ends(text, 400, byte_length, shorten)
    assert asked[0].startswith("What is the port?")
    assert asked[0].endswith("Answer briefly.")
    assert kept.count("[…]") == 2
    keep_ends(text, 400, byte_length, shorten, "the harbour")
    assert asked[1] == "the harbour"
