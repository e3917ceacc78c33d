"""[pure] Answers to the questions of a caller of /v1/decisions, in the shapes that OpenAI's clients know.

A question is known by its name, and answered from what was read of the request. All others are declined, as a decision
model may: `type` is refusal. Rules read, and no model: what they say has probability 1, and all else 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from ringfence.core.errors import BadRequest
from ringfence.core.reading import EFFORTS
from ringfence.gateway.dialects.dialect import Body, wrong

MOST_QUESTIONS = 400
KINDS = ("predicate", "choice", "score")
NO_USAGE: Mapping[str, Any] = {
    "input_tokens": 0, "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
    "output_tokens": 0, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 0,
}  # fmt: skip
"""No model was asked."""


class Read(NamedTuple):
    """What questions can be answered from."""

    task: str
    effort: int
    sensitivity: str
    """How far the text may travel, in small letters: host, mesh or cloud."""
    target: str
    """The first that would be asked."""
    model: str


def answers(questions: Any, read: Read) -> list[Body]:
    """In their order. BadRequest for what is no list of questions."""
    if questions is None:
        return []
    if not isinstance(questions, list):
        raise wrong("questions", "a list")
    listed = cast("list[Any]", questions)
    if len(listed) > MOST_QUESTIONS:
        raise BadRequest(f"There may be {MOST_QUESTIONS} questions.", param="questions", code="invalid_value")
    return [_answer(f"questions[{place}]", one, read) for place, one in enumerate(listed)]


def _answer(where: str, question: Any, read: Read) -> Body:
    fields = cast(Body, question) if isinstance(question, dict) else {}
    kind, name = fields.get("type"), fields.get("name")
    if kind not in KINDS:
        raise wrong(f"{where}.type", f"one of {', '.join(KINDS)}")
    if name is not None and not isinstance(name, str):
        raise wrong(f"{where}.name", "a text")
    found: Body | None = None
    if kind == "predicate" and name == "private":
        found = {"probability": float(read.sensitivity != "cloud")}
    elif kind == "choice":
        said = {"task": read.task, "sensitivity": read.sensitivity, "target": read.target, "model": read.model}
        found = _choice(where, fields, said.get(name or ""))
    elif kind == "score" and name == "effort":
        found = _score(where, fields, read.effort)
    return {"type": "refusal", "name": name} if found is None else {"type": kind, "name": name, **found}


def _choice(where: str, fields: Body, said: str | None) -> Body | None:
    """Of what it may be; None where that is not among it."""
    listed = _listed(where, fields, "choices")
    values = [one.get("value") for one in listed]
    if said is None or said not in values:
        return None
    chances = [{"value": value, "probability": float(value == said)} for value in values]
    return {"choice": said, "confidence": 1.0, "probabilities": chances}


def _score(where: str, fields: Body, effort: int) -> Body | None:
    """The level that the effort falls into: ten levels are those of 1 to 10, fewer are as wide as each other."""
    listed = _listed(where, fields, "levels")
    if effort not in EFFORTS or not listed:
        return None
    level = (effort - 1) * len(listed) // len(EFFORTS)
    chances = [
        {"label": str(one.get("label")), "value": place, "probability": float(place == level)}
        for place, one in enumerate(listed)
    ]
    return {"score": float(level), "confidence": 1.0, "probabilities": chances}


def _listed(where: str, fields: Body, name: str) -> list[Body]:
    given = fields.get(name)
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in cast("list[Any]", given)):
        raise wrong(f"{where}.{name}", "a list of objects")
    return cast("list[Body]", given)
