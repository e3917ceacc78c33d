"""One reading of a request: its task, effort and length, by rules that need no model.

Stages that know more may stand before them: the first that answers is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ringfence.core.catalog import Ability
from ringfence.core.ports import Decides
from ringfence.core.reading import Reading
from ringfence.signals.asked import asked_in
from ringfence.signals.effort import effort_of, said_effort
from ringfence.signals.hints import is_background
from ringfence.signals.length import context_tokens
from ringfence.signals.task import count_asked, task_of

SEARCHES = frozenset((Ability.EMBEDDINGS, Ability.RERANK))


def read(ability: Ability, body: dict[str, Any]) -> Reading:
    """What `body` asks for. Never raises, whatever it holds; the time it takes is bounded."""
    tokens = context_tokens(body)
    if ability in SEARCHES:
        return Reading("embedding", 1, tokens, (f"asked of {ability}",))
    stated = said_effort(body)
    if is_background(body):
        return Reading("title", stated or 1, tokens, ("a chat program's own call",))
    asked = asked_in(body)
    said, told = count_asked(asked)
    task, why = task_of(asked, said, told)
    if stated:
        return Reading(task, stated, tokens, (why, "effort as the caller says"))
    return Reading(task, effort_of(task, asked, said, tokens), tokens, (why, "effort by words and size"))


class DayZero:
    """The rules as the last stage: they never abstain."""

    def decide(self, ability: Ability, body: dict[str, Any]) -> Reading:
        return read(ability, body)


def first_answer(stages: Sequence[Decides], ability: Ability, body: dict[str, Any]) -> Reading:
    """The reading of the first stage that has one; that of the rules where every stage abstains or fails."""
    for stage in stages:
        try:
            reading = stage.decide(ability, body)
        except Exception:  # noqa: S112 - a stage that fails abstains; what it raises may hold the request
            continue
        if reading is not None:
            return reading
    return read(ability, body)
