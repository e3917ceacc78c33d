"""[pure] What LiteLLM does where a model fails: other models in its place. Here these are chains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ringfence.config.importing.taking import Taking
from ringfence.config.problems import KeyPath

SECTIONS = ("router_settings", "litellm_settings")
"""The first that says something counts."""
ANY = "*"


@dataclass(slots=True)
class Named:
    """A model that is to follow, and where it is said."""

    name: str
    at: KeyPath


@dataclass(slots=True)
class Fallbacks:
    """By the name of the model that failed; `default` for those that have none of their own."""

    own: dict[str, list[Named]] = field(default_factory=dict[str, list[Named]])
    default: list[Named] = field(default_factory=list[Named])
    for_length: bool = False
    """Some of them are for prompts that are too long."""

    def of(self, name: str) -> list[Named]:
        return [one for one in self.own.get(name, self.default) if one.name != name]


def read_fallbacks(taking: Taking) -> Fallbacks:
    found = Fallbacks()
    for section in SECTIONS:
        for name, named in _listed(taking, (section, "fallbacks")):
            if name == ANY:
                found.default = found.default or named
            else:
                found.own.setdefault(name, []).extend(named)
        default = (section, "default_fallbacks")
        found.default = found.default or list(_names(taking, default, taking.take(*default)))
    for section in SECTIONS:
        at: KeyPath = (section, "context_window_fallbacks")
        for name, named in _listed(taking, at):
            found.own.setdefault(name, []).extend(named)
            found.for_length = True
        if taking.look(*at):
            why = "models for prompts that are too long follow in the chain after the others, and for every failure."
            do = "`overlong: route`, which the profiles were given, has those with room tried first."
            taking.say("changed", at, why, do)
    return found


def _listed(taking: Taking, at: KeyPath) -> Iterator[tuple[str, list[Named]]]:
    """Such as [{gpt-4o: [claude, local]}], or the same in one mapping."""
    given = taking.take(*at)
    if given is None:
        return
    entries: list[Any] = given if isinstance(given, list) else [given]
    for place, entry in enumerate(entries):
        inner: KeyPath = (*at, place) if isinstance(given, list) else at
        if not isinstance(entry, dict):
            taking.say(
                "left_out", inner, "expected the name of a model, and a list of those that follow.", "Correct it."
            )
            continue
        for name, names in entry.items():
            yield str(name), list(_names(taking, (*inner, str(name)), names))


def _names(taking: Taking, at: KeyPath, given: Any) -> Iterator[Named]:
    if given is None:
        return
    for place, one in enumerate(given if isinstance(given, list) else [given]):
        where: KeyPath = (*at, place) if isinstance(given, list) else at
        name = one.get("model") if isinstance(one, dict) else one
        if isinstance(one, dict) and set(one) != {"model"}:
            why = "a model that follows is asked the same as the first: what else stands here is not used."
            taking.say("changed", where, why, "Give that model a name of its own with these settings.")
        if isinstance(name, str):
            yield Named(name, where)
        else:
            taking.say("left_out", where, "it names no model.", "Correct it.")
