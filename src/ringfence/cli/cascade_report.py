"""[pure] What a chain that escalates saves, and what it loses, on tasks whose answers can be checked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.core.money import dollars

MATCHES = ("contains", "exact", "regex")


class NotATask(ValueError):
    """A line of the file is none; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Task:
    """A question and what its right answer looks like: `match` is contains, exact or regex. Case does not count."""

    prompt: str
    answer: str
    match: str = "contains"

    def is_right(self, said: str) -> bool:
        text, wanted = said.strip().casefold(), self.answer.strip().casefold()
        if self.match == "exact":
            return text == wanted
        if self.match == "regex":
            return re.search(self.answer, said, re.IGNORECASE) is not None
        return wanted in text


@dataclass(frozen=True, slots=True)
class Tried:
    """How one task went: with the model that it is held against, and with the chain. `tried` is what the header
    x-ringfence-cascade told; costs in micro-dollars."""

    right_alone: bool
    right: bool
    cost_alone: int
    cost: int
    tried: str


@dataclass(frozen=True, slots=True)
class Report:
    """Of all tasks."""

    chain: str
    against: str
    tasks: int
    right_alone: int
    right: int
    lost: int
    """Tasks that the model alone gets right, and the chain does not."""
    won: int
    cost_alone: int
    cost: int
    answered_by: dict[str, int]
    escalated: dict[str, int]

    @property
    def saved_percent(self) -> float:
        return 100 * (1 - self.cost / self.cost_alone) if self.cost_alone else 0.0

    @property
    def quality_loss_points(self) -> float:
        """Of the share of tasks that are right, in percentage points; below zero where the chain is better."""
        return 100 * (self.right_alone - self.right) / self.tasks if self.tasks else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "chain": self.chain, "against": self.against, "tasks": self.tasks, "right_alone": self.right_alone,
            "right": self.right, "lost": self.lost, "won": self.won, "cost_alone_usd_micros": self.cost_alone,
            "cost_usd_micros": self.cost, "saved_percent": round(self.saved_percent, 2),
            "quality_loss_points": round(self.quality_loss_points, 2), "answered_by": self.answered_by,
            "escalated": self.escalated,
        }  # fmt: skip

    def page(self) -> str:
        def share(count: int) -> str:
            return f"{count} of {self.tasks} ({100 * count / self.tasks:.1f} %)"

        lines = [
            f"{self.against} alone: {share(self.right_alone)} right, {dollars(self.cost_alone)}",
            f"{self.chain}: {share(self.right)} right, {dollars(self.cost)}",
            f"Saved: {self.saved_percent:.1f} %. Quality lost: {self.quality_loss_points:.1f} points "
            f"({self.lost} tasks lost, {self.won} won).",
            "Answered by: " + ", ".join(f"{model} {count}" for model, count in self.answered_by.items()),
        ]
        if self.escalated:
            lines.append("Escalated: " + ", ".join(f"{why} {count}" for why, count in self.escalated.items()))
        return "\n".join(lines)


def read_tasks(text: str) -> list[Task]:
    """JSON lines, each {"prompt", "answer", "match"}. Raises NotATask."""
    found: list[Task] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            said: Any = json.loads(line)
            task = Task(str(said["prompt"]), str(said["answer"]), str(said.get("match", "contains")))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise NotATask(f'line {number}: expected {{"prompt": "…", "answer": "…"}}, and perhaps "match"') from None
        if task.match not in MATCHES:
            raise NotATask(f"line {number}: match is one of {', '.join(MATCHES)}")
        if task.match == "regex":
            try:
                re.compile(task.answer)
            except re.error as error:
                raise NotATask(f"line {number}: no regular expression: {error}") from None
        found.append(task)
    if not found:
        raise NotATask("there is no task in it")
    return found


def report(chain: str, against: str, tried: Sequence[Tried]) -> Report:
    """All of them, added up."""
    steps = [one.tried.split("; ") for one in tried]
    return Report(
        chain, against, len(tried), sum(one.right_alone for one in tried), sum(one.right for one in tried),
        sum(one.right_alone and not one.right for one in tried),
        sum(one.right and not one.right_alone for one in tried),
        sum(one.cost_alone for one in tried), sum(one.cost for one in tried),
        _counted(parts[-1].partition(",")[0] for parts in steps),
        _counted(part for parts in steps for part in parts[:-1]),
    )  # fmt: skip


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())
