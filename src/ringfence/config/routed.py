"""[pure] Rules and chains against what they name, each other, and the profiles that rely on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ringfence.config.compile import Breach, exists, reach_of
from ringfence.config.conditions import span
from ringfence.config.problems import KeyPath, nearest
from ringfence.config.regions import contradictions, unreachable
from ringfence.config.routing import ALIASES, AUTO, CLOUD, LOCAL, SAME, ChainSettings
from ringfence.core.boundary import Boundary

if TYPE_CHECKING:
    from ringfence.config.schema import Config, ProfileSettings


DEFAULT = "default"
"""The profile that is there whether it is written or not; what is wrong with it is told at the rules."""


def misrouted(config: Config) -> Iterator[Breach]:
    """Names that nothing has, chains in a circle, rules that never match, and profiles that none of them can serve."""
    names = _claimed(config)
    wrong = [*_chains(config, names), *_rules(config, names)]
    if config.thinking.offered:
        for place, one in (("model", config.thinking.model), ("reasoning", config.thinking.reasoning)):
            yield from _resolves(config, names, one, ("thinking", place))
    yield from wrong
    if not wrong:  # with a name mistyped, what the rules can serve is not what was meant
        yield from _left_alone(config, names)


def _chains(config: Config, names: Mapping[str, str]) -> Iterator[Breach]:
    for name, chain in config.chains.items():
        at: KeyPath = ("chains", name)
        if name in names or name in (AUTO, *ALIASES):
            yield at, f"'{name}' is a model's name or an alias already; give the chain another"
        for place, one in enumerate(chain.models):
            yield from _resolves(config, names, one, (*at, "models", place))
        if circle := _circle(config.chains, name):
            yield at, f"leads back to itself: {' → '.join(circle)}"


def _rules(config: Config, names: Mapping[str, str]) -> Iterator[Breach]:
    seen: set[str] = set()
    for place, rule in enumerate(config.rules or ()):
        at: KeyPath = ("rules", place)
        if rule.name in seen:
            yield (*at, "name"), f"there is a rule '{rule.name}' already"
        seen.add(rule.name)
        for position, one in enumerate(rule.use):
            yield from _resolves(config, names, one, (*at, "use", position))
        caller = rule.when.get("caller", {})
        for kind, known in (("profile", config.profiles), ("agent", config.agents)):
            said = caller.get(kind, ())
            listed = said if isinstance(said, list | tuple) else (said,)
            for one in listed:
                yield from exists(known, one, kind, (*at, "when", "caller", kind))
    yield from _conflicts(config)


def _conflicts(config: Config) -> Iterator[Breach]:
    """Rules that contradict themselves, and those that come too late."""
    rules = config.rules or ()
    conditions = [rule.conditions for rule in rules]
    for place, found in enumerate(conditions):
        for dimension in contradictions(found):
            signal = dimension.partition(" ")[0].partition(".")[0]
            words = f"contradicts itself: there is no value that it means{span(signal)}"
            yield ("rules", place, "when", signal), words
    too_late = unreachable(conditions, [rule.ending != "next" for rule in rules])
    for place, earlier in too_late.items():
        named = ", ".join(f"'{rules[one].name}'" for one in earlier)
        takes = "takes" if len(earlier) == 1 else "take"
        yield (
            ("rules", place),
            f"is never reached: {named} {takes} all that it would match; move it before, or leave it out",
        )


def _claimed(config: Config) -> dict[str, str]:
    """The model behind each name and alias."""
    names = {name: name for name in config.models}
    for name, model in config.models.items():
        names |= dict.fromkeys(model.aliases, name)
    for one, other in (*SAME.items(), *((other, one) for one, other in SAME.items())):
        if other in names:
            names.setdefault(one, names[other])
    return names


def _resolves(config: Config, names: Mapping[str, str], name: str, at: KeyPath) -> Iterator[Breach]:
    if name in names or name in config.chains or name in LOCAL:
        return
    if name in CLOUD:
        yield at, f"no model has the alias '{name}'; add it to the aliases of one"
        return
    close = nearest(name, {*names, *config.chains, *ALIASES})
    yield at, f"there is no model, alias or chain '{name}'" + (f"; did you mean '{close}'?" if close else "")


def _circle(chains: Mapping[str, ChainSettings], start: str) -> list[str]:
    """The way from a chain back to itself; empty where there is none."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for one in chains[way[-1]].models:
            if one == start:
                return [*way, one]
            if one in chains and one not in seen:
                seen.add(one)
                ways.append([*way, one])
    return []


def _left_alone(config: Config, names: Mapping[str, str]) -> Iterator[Breach]:
    """Profiles whose calls for 'auto' meet no rule with a target within their boundary."""
    if AUTO in names or not config.rules:
        return
    for name, profile in config.profiles.items():
        if profile.exact is not None or profile.chain:
            continue
        uses = [one for rule in config.rules if AUTO in rule.names or "*" in rule.names
                if _is_for(rule.when.get("caller"), name) for one in rule.use]  # fmt: skip
        if not any(reached <= profile.reaches for reached in _reaches(config, names, uses)):
            at: KeyPath = ("profiles", name) if name != DEFAULT else ("rules",)
            yield at, f"no rule can serve profile '{name}': {_why(profile, uses)}"


def _why(profile: ProfileSettings, uses: list[str]) -> str:
    if not uses:
        return "none is for its calls; add one, or give the profile a chain"
    return f"it stops at {profile.reaches.name}, and all that they use lies beyond"


def _is_for(caller: object, profile: str) -> bool:
    said = caller.get("profile") if isinstance(caller, Mapping) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return said is None or profile == said or (isinstance(said, list | tuple) and profile in said)


def _reaches(config: Config, names: Mapping[str, str], uses: Iterable[str]) -> Iterator[Boundary]:
    """How far each model lies that these may mean. Models that are found running lie on this machine."""
    seen: set[str] = set()
    left = list(uses)
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in config.chains:
            left += config.chains[name].models
        elif name in names:
            yield reach_of(config.models[names[name]], config.mesh_networks)
        elif name in LOCAL:
            own = [model for model in config.models.values() if model.provider is None]
            yield from (reach_of(model, config.mesh_networks) for model in own)
            if config.discovery.adopt:
                yield Boundary.HOST
