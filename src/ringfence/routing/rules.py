"""[pure] Which chain serves a request, and why: the model that the caller names, or the first rule that matches."""

from __future__ import annotations

from dataclasses import replace

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import NO_MEDIA, Catalog, Medium, Model, Target
from ringfence.core.errors import (
    BadRequest,
    BoundaryRefused,
    Failure,
    Forbidden,
    ModelNotFound,
    NothingNow,
    TargetUnavailable,
)
from ringfence.core.route import Chain, Decision, Ending, Exact, Excluded, Overlong, Profile, Signals, Tier
from ringfence.routing.ruleset import AUTO, Rule, Ruleset, own_models, resolve

REQUESTED_MODEL = "requested-model"
"""The rule of calls that name what they want."""
PROFILE_CHAIN = "profile-chain"
OWN_MODELS = "own-models"
"""Of calls that leave the choice open, and that no rule and no chain of a profile is for."""
EXACT_TARGET = "exact-target"
PARK_RETRY_S = 15


def tighten(boundary: Boundary, signals: Signals) -> Boundary:
    """The boundary of a call: its profile's, or tighter where a signal says so. Never wider."""
    return boundary if boundary <= signals.tightest else signals.tightest


def decide(rules: Ruleset, catalog: Catalog, name: str, signals: Signals, profile: Profile) -> Decision:
    """The chain for a request that names `name`.

    Raises TargetUnavailable when no engine has the model now, ModelNotFound for an unknown name, BadRequest when no
    target of it has the ability asked for, BoundaryRefused when every target that has it lies beyond the boundary, and
    Forbidden when the profile is bound to one exact model and another is asked for.
    """
    if rules.are_for(name, catalog, profile) and (matching := rules.matching(signals)):
        return decide_by(matching, rules, catalog, name, signals, profile)
    allowed = tighten(profile.boundary, signals)
    if name in rules.chains and rules.chains[name].waits and name not in catalog.names:
        profile = replace(profile, ending=Ending.PARK)
    model, reason = _asked(rules, catalog, name, profile)
    if not model.targets:
        raise _unavailable(model, profile)
    taken, excluded = sift(model, signals, allowed)
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
        is_chain = model.name == AUTO or model.name in rules.chains
        raise _nothing_left(model, signals, allowed, profile, is_chain=is_chain)
    chain = Chain(model.name, taken, profile.ending)
    return _decision(_rule_name(model, profile), reason, chain, allowed, excluded, signals, profile)


def decide_by(
    matching: tuple[Rule, ...], rules: Ruleset, catalog: Catalog, name: str, signals: Signals, profile: Profile
) -> Decision:
    """The chain of the first of these rules that has a target. Where a rule says that the next one follows, the targets
    of that are tried after its own. Raises as `decide`, for the last of them."""
    allowed = tighten(profile.boundary, signals)
    found: dict[Target, None] = {}
    taken: dict[Target, None] = {}
    excluded: dict[Excluded, None] = {}
    first = matching[-1]
    for rule in matching:
        targets = ordered(rules.targets(rule, catalog), profile)
        able, left = sift(Model(name, targets), signals, allowed)
        if able and not taken:
            first = rule
        found |= dict.fromkeys(targets)
        taken |= dict.fromkeys(able)
        excluded |= dict.fromkeys(left)
    model, last = Model(name, tuple(found)), matching[-1]
    ending = Ending.PARK if last.ending == "queue" else profile.ending
    if ending is not profile.ending:
        profile = replace(profile, ending=ending)
    if not found:
        raise _unavailable(model, profile)
    if not taken:
        raise _nothing_left(model, signals, allowed, profile, is_chain=True)
    chain = Chain(name, tuple(taken), ending)
    return _decision(
        first.name, f"rule '{first.name}': {first.text}", chain, allowed, tuple(excluded), signals, profile
    )


def ordered(targets: tuple[Target, ...], profile: Profile) -> tuple[Target, ...]:
    """As a rule has them; under a profile of tier T2 those of your own come first."""
    if profile.tier is not Tier.SPEED_OPTIONAL:
        return targets
    return tuple(sorted(targets, key=lambda target: bool(target.provider)))


def _decision(
    rule: str, reason: str, chain: Chain, allowed: Boundary, excluded: tuple[Excluded, ...], signals: Signals,
    profile: Profile,
) -> Decision:  # fmt: skip
    told = f"{rule}; kept near by {signals.kept_by}" if signals.kept_by and allowed < profile.boundary else rule
    overlong = Overlong.REFUSE if profile.exact is not None else profile.overlong
    return Decision(chain.name, rule, reason, chain, allowed, excluded, profile.name, told, overlong)


def _rule_name(model: Model, profile: Profile) -> str:
    """What made the choice, where the profile did rather than the caller."""
    if profile.exact is not None:
        return EXACT_TARGET
    if model.name != AUTO:
        return REQUESTED_MODEL
    return PROFILE_CHAIN if profile.chain else OWN_MODELS


def _asked(rules: Ruleset, catalog: Catalog, name: str, profile: Profile) -> tuple[Model, str]:
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
        none = "no rule matches it" if rules.rules else f"profile '{profile.name}' has no chain"
        return Model(AUTO, own_models(catalog)), f"{none}: your own models, in order"
    model = catalog.names.get(name)
    if model is None and not catalog.names:  # a configuration has a model at least: it has not been put to work yet
        raise TargetUnavailable("The gateway is starting its models; try again shortly.", retry_after_s=1.0)
    if model is None and rules.is_name(name):
        words = "a chain" if name in rules.chains else "an alias"
        return Model(name, resolve(name, catalog, rules.chains)), f"'{name}' is {words} of this gateway"
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


def sift(model: Model, signals: Signals, allowed: Boundary) -> tuple[tuple[Target, ...], tuple[Excluded, ...]]:
    """The targets that can serve the call within what is allowed, and why the others cannot."""
    if not signals.media and all(
        signals.ability in target.abilities and target.boundary <= allowed for target in model.targets
    ):
        return model.targets, ()  # the common case makes no new objects
    taken: list[Target] = []
    excluded: list[Excluded] = []
    for target in model.targets:
        if signals.ability not in target.abilities:
            excluded.append(Excluded(target.name, f"cannot serve {signals.ability}"))
        elif not _takes(target, signals):
            excluded.append(Excluded(target.name, f"takes no {_unread(signals.media - (target.takes or NO_MEDIA))}"))
        elif target.boundary > allowed:
            excluded.append(Excluded(target.name, f"lies at {target.boundary.name}, beyond {allowed.name}"))
        else:
            taken.append(target)
    return tuple(taken), tuple(excluded)


def _takes(target: Target, signals: Signals) -> bool:
    """Whether it can read what stands there beside text; one of which nobody tells is tried."""
    return target.takes is None or signals.media <= target.takes


def _unread(media: frozenset[Medium]) -> str:
    return " or ".join(sorted(media))


def _nothing_left(model: Model, signals: Signals, allowed: Boundary, profile: Profile, *, is_chain: bool) -> Failure:
    serving = [target for target in model.targets if signals.ability in target.abilities]
    able = [target for target in serving if _takes(target, signals)]
    if able:
        if profile.ending is Ending.PARK and is_chain:  # a nearer one of the chain may come back
            return _unavailable(model, profile)
        needed = min(target.boundary for target in able)
        that_can = "" if len(able) == len(serving) else f" that takes {_unread(signals.media)}"
        return BoundaryRefused(
            f"{_stops(profile, allowed, signals)}, and every target of '{model.name}'{that_can} lies beyond it: it "
            f"would have to reach {needed.name}. Nothing was sent."
        )
    if serving:
        return BadRequest(
            f"Model '{model.name}' takes no {_unread(signals.media)}: nothing that serves it can read that. Leave it "
            "out, or name a model that can; GET /v1/models tells which ('media'), and models.NAME.media says it of an "
            "engine that does not tell.",
            param="messages",
            code="media_not_supported",
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
    served = f"This gateway serves: {shown or 'no model yet'}. GET /v1/models lists every name."
    return f"The model '{name[:128]}' does not exist. {served}"
