"""What is told of a call that may think: whether it would, what would think, and who is left out."""

from __future__ import annotations

from typing import Any

from ringfence.core.catalog import Model
from ringfence.core.route import Profile, Signals
from ringfence.gateway.call import Call
from ringfence.gateway.pipeline import Pipeline
from ringfence.routing.rules import ordered, sift, tighten
from ringfence.routing.ruleset import resolve


def thinking(pipeline: Pipeline, call: Call, signals: Signals, profile: Profile) -> dict[str, Any]:
    """A field `thinking` for a call whose name means that; nothing for any other. A thought goes no further than the
    call, whatever is in it."""
    settings = pipeline.settings
    bounds = settings.thinking
    if bounds is None or call.model != settings.thinks:
        return {}
    targets = ordered(resolve(bounds.reasoning, settings.catalog, settings.rules.chains), profile)
    taken, excluded = sift(Model(bounds.reasoning, targets), signals, tighten(profile.boundary, signals))
    spared = pipeline.thinking.spares(call)
    return {
        "thinking": {
            "thinks": not spared, "why": spared, "model": bounds.model, "reasoning": bounds.reasoning,
            "targets": [target.name for target in taken],
            "excluded": [{"target": one.target, "reason": one.reason} for one in excluded],
            "thoughts": bounds.thoughts, "depth": bounds.depth, "tokens": bounds.tokens,
        }
    }  # fmt: skip
