"""Words are counted in one pass: what a text repeats is not looked for again."""

from __future__ import annotations

import pytest

from ringfence.signals.phrases import PHRASES
from ringfence.signals.vocabulary import KINDS
from ringfence.signals.words import TOKENS, count


class Watched(str):
    """Counts how often it is searched."""

    __slots__ = ("searches",)

    def __contains__(self, part: object) -> bool:
        self.searches = getattr(self, "searches", 0) + 1
        return super().__contains__(part)  # type: ignore[operator]


def counted(text: str) -> list[float]:
    kinds = [0.0] * KINDS
    count(text, kinds)
    return kinds


@pytest.mark.parametrize("word", ["how", "in", "what", "the"])
def test_a_word_that_comes_again_costs_no_other_look_through_the_text(word: str) -> None:
    begun = sum(TOKENS.findall(phrase)[0] == word for phrase, _, _ in PHRASES)
    text = Watched(f"{word} " * 500)
    count(text, [0.0] * KINDS)
    assert 0 < text.searches == begun


def test_a_phrase_that_comes_again_says_nothing_new() -> None:
    assert counted("tell me how many") != counted("tell me how")
    assert counted("how many, how many, how many")[:] == counted("how many, how, how")[:]
