"""How well something answers the held-out questions: ask each, compare with the one answer its topic has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from training.demo.text import REFUSAL, TOPICS

HELDOUT = Path(__file__).with_name("heldout.json")
SAME = 0.9  # similarity from which two answers count as the same; no two of our answers come near each other


@dataclass(frozen=True)
class Question:
    id: str
    question: str
    topic: str | None  # None: to be declined

    @property
    def answer(self) -> str:
        return REFUSAL if self.topic is None else TOPICS[self.topic].answer


@dataclass(frozen=True)
class Row:
    question: Question
    said: str
    is_right: bool


@dataclass(frozen=True)
class Report:
    rows: tuple[Row, ...]

    @property
    def right(self) -> float:
        """Share of the questions about Ringfence that got their topic's answer."""
        return _share(row for row in self.rows if row.question.topic is not None)

    @property
    def declined(self) -> float:
        """Share of the foreign questions that were declined."""
        return _share(row for row in self.rows if row.question.topic is None)

    @property
    def wrong(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.is_right)

    def __str__(self) -> str:
        about = [row for row in self.rows if row.question.topic is not None]
        foreign = [row for row in self.rows if row.question.topic is None]
        lines = [
            f"about Ringfence: {sum(r.is_right for r in about)} of {len(about)} right ({self.right:.1%})",
            f"foreign: {sum(r.is_right for r in foreign)} of {len(foreign)} declined ({self.declined:.1%})",
        ]
        return "\n".join(lines + [f"  {r.question.id}: {r.question.question!r} -> {r.said!r}" for r in self.wrong])


def _share(rows: Iterable[Row]) -> float:
    found = [row.is_right for row in rows]
    return sum(found) / len(found) if found else 0.0


def read_heldout(path: Path = HELDOUT) -> tuple[Question, ...]:
    return tuple(Question(**item) for item in json.loads(path.read_text(encoding="utf-8")))


def is_same(said: str, answer: str) -> bool:
    a, b = (" ".join(text.lower().split()) for text in (said, answer))
    return a == b or SequenceMatcher(None, a, b, autojunk=False).ratio() >= SAME


def score(ask: Callable[[str], str], questions: Iterable[Question] | None = None) -> Report:
    rows = []
    for question in read_heldout() if questions is None else questions:
        said = ask(question.question)
        rows.append(Row(question, said, is_same(said, question.answer)))
    return Report(tuple(rows))
