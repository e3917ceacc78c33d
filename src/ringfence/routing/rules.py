"""[pure] Which chain serves a request, and why. Rules are tried in order; the first that matches wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model, Target
from ringfence.core.errors import BadRequest, BoundaryRefused, Failure, ModelNotFound, TargetUnavailable
from ringfence.core.route import Chain, Decision, Excluded, Profile, Signals


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition over signals, in words and as a predicate."""

    name: str
    text: str
    matches: Callable[[Signals], bool]


REQUESTED_MODEL = Rule("requested-model", "the targets of the model that the caller names", lambda signals: True)
RULES = (REQUESTED_MODEL,)


def tighten(boundary: Boundary, signals: Signals) -> Boundary:
    """The boundary of a call: its profile's, or tighter where a signal says so. Never wider."""
    return boundary if boundary <= signals.tightest else signals.tightest


def decide(rules: tuple[Rule, ...], catalog: Catalog, name: str, signals: Signals, profile: Profile) -> Decision:
    """The chain for a request that names `name`.

    Raises TargetUnavailable when no engine has the model now, ModelNotFound for an unknown name, BadRequest when no
    target of it has the ability asked for, and BoundaryRefused when every target that has it lies beyond the boundary.
    """
    model = catalog.names.get(name)
    if model is None:
        raise ModelNotFound(_unknown(name, catalog), param="model")
    if not model.targets:
        raise TargetUnavailable(
            f"No engine serves '{model.name}' at the moment; `ringfence status` says why.", retry_after_s=5
        )
    allowed = tighten(profile.boundary, signals)
    rule = next(rule for rule in rules if rule.matches(signals))
    taken, excluded = _sift(model, signals, allowed)
    if not taken:
        raise _nothing_left(model, signals, allowed, profile, excluded)
    reason = "named by the caller" if name == model.name else f"'{name}' is another name for it"
    return Decision(model.name, rule.name, reason, Chain(model.name, taken), allowed, excluded)


def _sift(model: Model, signals: Signals, allowed: Boundary) -> tuple[tuple[Target, ...], tuple[Excluded, ...]]:
    if all(signals.ability in target.abilities and target.boundary <= allowed for target in model.targets):
        return model.targets, ()  # the common case makes no new objects
    taken: list[Target] = []
    excluded: list[Excluded] = []
    for target in model.targets:
        if signals.ability not in target.abilities:
            excluded.append(Excluded(target.name, f"cannot serve {signals.ability}"))
        elif target.boundary > allowed:
            excluded.append(Excluded(target.name, f"lies at {target.boundary.name}, beyond {allowed.name}"))
        else:
            taken.append(target)
    return tuple(taken), tuple(excluded)


def _nothing_left(
    model: Model, signals: Signals, allowed: Boundary, profile: Profile, excluded: tuple[Excluded, ...]
) -> Failure:
    if any(signals.ability in target.abilities for target in model.targets):
        return BoundaryRefused(
            f"Profile '{profile.name}' stops at {allowed.name}, and every target of '{model.name}' lies beyond it. "
            "Nothing was sent."
        )
    able = sorted({ability.value for target in model.targets for ability in target.abilities})
    return BadRequest(
        f"Model '{model.name}' cannot serve {signals.ability}; it serves {', '.join(able) or 'nothing at the moment'}.",
        param="model",
        code="model_not_able",
    )


def _unknown(name: str, catalog: Catalog) -> str:
    known = sorted(catalog.models)
    shown = ", ".join(known[:8]) + (" …" if len(known) > 8 else "")
    return f"The model '{name[:128]}' does not exist. This gateway serves: {shown or 'no model yet'}."
