"""How often the signals are right on the labelled requests: `python tests/routing/score.py [--wrong | --write]`.

The part `held` was only counted until the rules had been tuned on the part `open`; docs/routing-scores.md keeps that.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from destinations import decisions, goes
from labelled import Labelled, load

from ringfence.config.schema import Config
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.reading import Reading
from ringfence.core.route import Decision
from ringfence.runtime.sensitive import sensitivity
from ringfence.signals.reading import read

PAGE = Path(__file__).parents[2] / "docs" / "routing-scores.md"
SPACE = re.compile(r"(?<=<!-- table: python tests/routing/score.py --write -->\n).*?(?=<!-- end -->)", re.DOTALL)
ABILITIES = {"chat": Ability.CHAT, "completions": Ability.COMPLETIONS, "embeddings": Ability.EMBEDDINGS}
LABEL = "x-ringfence-label"
WANTED = ("task", "effort", "length", "private", "goes")
GROUPS: tuple[tuple[str, Callable[[Labelled], bool]], ...] = (
    ("open", lambda one: one.part == "open"),
    ("held", lambda one: one.part == "held"),
    ("all", lambda one: True),
    ("open, adversarial", lambda one: one.part == "open" and one.adversarial),
    ("held, adversarial", lambda one: one.part == "held" and one.adversarial),
)


class Scored(NamedTuple):
    """A request, what was read of it, where it goes, and which of `WANTED` are right."""

    request: Labelled
    reading: Reading
    decision: Decision
    right: frozenset[str]


def effort_band(effort: int) -> str:
    return "1-3" if effort <= 3 else "4-6" if effort <= 6 else "7-10"


def length_band(tokens: int) -> str:
    return "short" if tokens < 2000 else "medium" if tokens <= 16000 else "long"


def scored(requests: Iterable[Labelled]) -> list[Scored]:
    """Every request read as the gateway would read it, with the settings as they come."""
    reader = sensitivity(Config())
    results: list[Scored] = []
    listed = list(requests)
    for one, decision in zip(listed, decisions(listed), strict=True):
        reading = read(ABILITIES[one.route], one.body)
        labels = [one.headers[LABEL]] if LABEL in one.headers else []
        kept = reader.read(one.body, labels).tightest is not Boundary.CLOUD
        right = {
            "task": reading.task == one.task,
            "effort": effort_band(reading.effort) == one.effort_band,
            "length": length_band(reading.context_tokens) == one.length,
            "private": kept == one.private,
            "goes": goes(decision) in one.goes,
        }
        results.append(Scored(one, reading, decision, frozenset(name for name, is_right in right.items() if is_right)))
    return results


def table(results: list[Scored]) -> str:
    """A table of Markdown: a line for each group, in each cell how many are right, of how many."""
    lines = ["| requests | " + " | ".join(WANTED) + " |", "|---|" + "--:|" * len(WANTED)]
    for name, belongs in GROUPS:
        group = [one for one in results if belongs(one.request)]
        cells = [share(sum(wanted in one.right for one in group), len(group)) for wanted in WANTED]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def share(right: int, total: int) -> str:
    return f"{right}/{total} ({100 * right / total:.1f} %)" if total else "0/0"


def wrong(results: list[Scored]) -> str:
    """What is wrong, one line each."""
    lines: list[str] = []
    mistaken: Counter[tuple[str, str]] = Counter()
    for one, reading, decision, right in results:
        if len(right) == len(WANTED):
            continue
        said = one.body.get("messages") or one.body.get("prompt") or one.body.get("input")
        last = str(said[-1].get("content") if isinstance(said, list) and isinstance(said[-1], dict) else said)
        if "task" not in right:
            mistaken[one.task, reading.task] += 1
        missed = ", ".join(name for name in WANTED if name not in right)
        lines.append(
            f"{one.id} [{missed}] {one.task} {one.effort} {one.length} {one.private} "
            f"-> {reading.task} {reading.effort} {reading.context_tokens} {goes(decision)} "
            f"| {last[:160]!r} … {last[-80:]!r}"
        )
    return "\n".join([*lines, *(f"{count} x {pair[0]} -> {pair[1]}" for pair, count in mistaken.most_common())])


if __name__ == "__main__":
    everything = scored(load())
    print(wrong(everything) if "--wrong" in sys.argv else table(everything))
    if "--write" in sys.argv:
        PAGE.write_text(
            SPACE.sub(lambda _: table(everything) + "\n", PAGE.read_text(encoding="utf-8")), encoding="utf-8"
        )
