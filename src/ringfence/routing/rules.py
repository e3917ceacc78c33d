"""[pure] Which chain serves a request, and why. Rules are tried in order; the first that matches wins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Model, Target
from ringfence.core.errors import (
    BadRequest,
    BoundaryRefused,
    Failure,
    Forbidden,
    ModelNotFound,
    NothingNow,
    TargetUnavailable,
)
from ringfence.core.route import Chain, Decision, Ending, Exact, Excluded, Overlong, Profile, Signals


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition over signals, in words and as a predicate."""

    name: str
    text: str
    matches: Callable[[Signals], bool]


REQUESTED_MODEL = Rule("requested-model", "the targets of the model that the caller names", lambda signals: True)
RULES = (REQUESTED_MODEL,)
AUTO = "auto"
"""The name that leaves the choice to the profile."""
PARK_RETRY_S = 15


def tighten(boundary: Boundary, signals: Signals) -> Boundary:
    """The boundary of a call: its profile's, or tighter where a signal says so. Never wider."""
    return boundary if boundary <= signals.tightest else signals.tightest


def decide(rules: tuple[Rule, ...], catalog: Catalog, name: str, signals: Signals, profile: Profile) -> Decision:
    """The chain for a request that names `name`.

    Raises TargetUnavailable when no engine has the model now, ModelNotFound for an unknown name, BadRequest when no
    target of it has the ability asked for, BoundaryRefused when every target that has it lies beyond the boundary, and
    Forbidden when the profile is bound to one exact model and another is asked for.
    """
    allowed = tighten(profile.boundary, signals)
    rule = next(rule for rule in rules if rule.matches(signals))
    model, reason = _asked(catalog, name, profile)
    if not model.targets:
        raise _unavailable(model, profile)
    taken, excluded = _sift(model, signals, allowed)
    if taken and profile.exact is not None:
        taken, excluded = _only(profile.exact, taken, excluded)
        if not taken:
            unavailable = NothingNow if profile.ending is Ending.PARK else TargetUnavailable
            raise unavailable(
                f"Profile '{profile.name}' is bound to one exact configuration of '{model.name}', and it is not served "
                f"now: {'; '.join(f'{left.target} {left.reason}' for left in excluded)}. Nothing else will do.",
                retry_after_s=PARK_RETRY_S,
            )
    if not taken:
        raise _nothing_left(model, signals, allowed, profile, excluded)
    chain = Chain(model.name, taken, profile.ending)
    name = _rule_name(rule, model, profile)
    told = f"{name}; kept near by {signals.kept_by}" if signals.kept_by and allowed < profile.boundary else name
    overlong = Overlong.REFUSE if profile.exact is not None else profile.overlong
    return Decision(model.name, name, reason, chain, allowed, excluded, profile.name, told, overlong)


def _rule_name(rule: Rule, model: Model, profile: Profile) -> str:
    """What made the choice, where the profile did rather than the caller."""
    if profile.exact is not None:
        return "exact-target"
    return "profile-chain" if model.name == AUTO and rule is REQUESTED_MODEL else rule.name


def _asked(catalog: Catalog, name: str, profile: Profile) -> tuple[Model, str]:
    """What the name means under this profile, and why."""
    if profile.exact is not None:
        model = catalog.names.get(profile.exact.model)
        if model is None:
            raise TargetUnavailable(
                f"'{profile.exact.model}', to which profile '{profile.name}' is bound, is not served."
            )
        if name not in (AUTO, model.name, *model.aliases):
            raise Forbidden(
                f"Profile '{profile.name}' is bound to '{model.name}' and serves no other model.",
                code="model_not_allowed",
            )
        return model, f"the one target of profile '{profile.name}'"
    if name == AUTO and profile.chain:
        found = [catalog.names[one] for one in profile.chain if one in catalog.names]
        targets = dict.fromkeys(target for model in found for target in model.targets)
        return Model(AUTO, tuple(targets)), f"the chain of profile '{profile.name}': {', '.join(profile.chain)}"
    if name == AUTO and AUTO not in catalog.names and catalog.models:
        own = [target for model in catalog.models.values() for target in model.targets if not target.provider]
        return Model(
            AUTO, tuple(dict.fromkeys(own))
        ), f"profile '{profile.name}' has no chain: your own models, in order"
    model = catalog.names.get(name)
    if model is None and not catalog.names:  # a configuration has a model at least: it has not been put to work yet
        raise TargetUnavailable("The gateway is starting its models; try again shortly.", retry_after_s=1.0)
    if model is None:
        raise ModelNotFound(_unknown(name, catalog), param="model")
    return model, "named by the caller" if name == model.name else f"'{name}' is another name for it"


def _only(
    exact: Exact, targets: tuple[Target, ...], excluded: tuple[Excluded, ...]
) -> tuple[tuple[Target, ...], tuple[Excluded, ...]]:
    """The targets that are just what is asked for; what is not known of a target is not what is asked for."""
    wanted = {name: value for name in ("digest", "quantisation", "device", "window") if (value := getattr(exact, name))}
    taken: list[Target] = []
    left = list(excluded)
    for target in targets:
        other = [
            f"{name} {getattr(target, name) or 'unknown'}" for name in wanted if getattr(target, name) != wanted[name]
        ]
        if other:
            left.append(Excluded(target.name, f"has {', '.join(other)}"))
        else:
            taken.append(target)
    return tuple(taken), tuple(left)


def _unavailable(model: Model, profile: Profile) -> Failure:
    if profile.ending is Ending.PARK:
        return NothingNow(
            f"Nothing within {profile.boundary.name} serves '{model.name}' now, and profile '{profile.name}' goes no "
            "further. Until something does, its requests wait: see `ringfence parked list`.",
            retry_after_s=PARK_RETRY_S,
        )
    return TargetUnavailable(
        f"No engine serves '{model.name}' at the moment; `ringfence status` says why.", retry_after_s=5
    )


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
        if profile.ending is Ending.PARK and model.name == AUTO:  # a nearer one of the chain may come back
            return _unavailable(model, profile)
        needed = min(target.boundary for target in model.targets if signals.ability in target.abilities)
        return BoundaryRefused(
            f"{_stops(profile, allowed, signals)}, and every target of '{model.name}' lies beyond it: it would have to "
            f"reach {needed.name}. Nothing was sent."
        )
    able = sorted({ability.value for target in model.targets for ability in target.abilities})
    return BadRequest(
        f"Model '{model.name}' cannot serve {signals.ability}; it serves {', '.join(able) or 'nothing at the moment'}.",
        param="model",
        code="model_not_able",
    )


def _stops(profile: Profile, allowed: Boundary, signals: Signals) -> str:
    """Who stops this call where, and what would be otherwise."""
    if allowed < profile.boundary:
        why = f", kept there by {signals.kept_by}" if signals.kept_by else ""
        otherwise = f"({profile.boundary.name} otherwise){why}"
        return f"Profile '{profile.name}' stops at {allowed.name} for this request {otherwise}"
    if profile.held_by:
        return f"Profile '{profile.held_by}' stops at {allowed.name}, also for calls under profile '{profile.name}'"
    return f"Profile '{profile.name}' stops at {allowed.name}"


def _unknown(name: str, catalog: Catalog) -> str:
    known = sorted(catalog.models)
    shown = ", ".join(known[:8]) + (" …" if len(known) > 8 else "")
    return f"The model '{name[:128]}' does not exist. This gateway serves: {shown or 'no model yet'}."
