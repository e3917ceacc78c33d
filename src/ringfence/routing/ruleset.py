"""[pure] Rules as they are kept: conditions in order, and what the names in them mean with the models there are now."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from ringfence.config.conditions import ANY, Condition
from ringfence.config.routing import ALIASES, AUTO, LOCAL, SAME
from ringfence.core.catalog import Ability, Catalog, Target
from ringfence.core.route import Profile, Signals

MOST_NAMES = 1000
"""Of names that chains lead to; the configuration has no circles, and this makes sure of it."""
EMBED = "local/embed"
OTHER_WORDS: Mapping[str, str] = SAME | {alias: word for word, alias in SAME.items()}


@dataclass(frozen=True, slots=True)
class Rule:
    """`text` is its conditions in words, `ending` what follows when nothing that it uses can serve."""

    name: str
    text: str
    conditions: tuple[Condition, ...]
    use: tuple[str, ...]
    ending: str = "error"
    """error, queue or next."""
    names: tuple[str, ...] = (AUTO,)
    """What callers name, for it to apply."""

    def matches(self, signals: Signals) -> bool:
        return all(condition.holds(signals) for condition in self.conditions)

    def why(self, signals: Signals) -> str:
        """Why it does not match, else why it does."""
        failed = [one.why(signals) for one in self.conditions if not one.holds(signals)]
        told = [one for one in self.conditions if one.dimension != "model" or one.text != AUTO]  # that is plain
        return ", ".join(failed or [one.why(signals) for one in told]) or "always"


@dataclass(frozen=True, slots=True)
class NamedChain:
    """Models in order under a name; `waits` when none can serve."""

    models: tuple[str, ...]
    waits: bool = False


class _All(frozenset[str]):
    """Holds every name."""

    def __contains__(self, _name: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All rules, in order."""

    rules: tuple[Rule, ...] = ()
    chains: Mapping[str, NamedChain] = field(default_factory=dict[str, NamedChain])
    names: frozenset[str] = field(init=False)
    """What callers may name for a rule to apply."""
    reads: frozenset[str] = field(init=False)
    """The dimensions of signals that any rule looks at."""
    looks: tuple[tuple[tuple[Callable[[Signals], bool], ...], Rule], ...] = field(init=False, repr=False)
    """What each rule looks at, found once: it is done for every call that they decide."""

    def __post_init__(self) -> None:
        names = frozenset(name for rule in self.rules for name in rule.names)
        object.__setattr__(self, "names", _All(names) if ANY in names else names)
        looked_at = {one.dimension.partition(" ")[0] for rule in self.rules for one in rule.conditions}
        object.__setattr__(self, "reads", frozenset(looked_at))
        looks = tuple((tuple(one.holds for one in rule.conditions), rule) for rule in self.rules)
        object.__setattr__(self, "looks", looks)

    def are_for(self, name: str, catalog: Catalog, profile: Profile) -> bool:
        """Whether they decide a call for `name`; an exact target, a model that is called 'auto' and the profile's own
        chain come before them."""
        if name not in self.names or profile.exact is not None:
            return False
        return name != AUTO or not (profile.chain or AUTO in catalog.names)

    def matching(self, signals: Signals) -> tuple[Rule, ...]:
        """The first that matches; with those that follow it where it says so."""
        found: list[Rule] = []
        for looks, rule in self.looks:
            for holds in looks:
                if not holds(signals):
                    break
            else:
                found.append(rule)
                if rule.ending != "next":
                    break
        return tuple(found)

    def that_may(self, name: str, matched: tuple[str, ...]) -> tuple[Rule, ...]:
        """Of the rules for a name: those that matched a call before, else all."""
        known = [rule for rule in self.rules if name in rule.names or ANY in rule.names]
        return tuple(rule for rule in known if rule.name in matched) or tuple(known)

    def that_use_only(self, chains: Container[str]) -> dict[str, Rule]:
        """Of rules for 'auto' those that use one of these chains and nothing else, by their names. One for other names
        would decide again for the models of the chain."""
        return {
            rule.name: rule
            for rule in self.rules
            if len(rule.use) == 1 and rule.use[0] in chains and rule.ending != "next" and rule.names == (AUTO,)
        }

    def targets(self, rule: Rule, catalog: Catalog) -> tuple[Target, ...]:
        """All that it uses and that is there now, in order, each once."""
        found = [target for name in rule.use for target in resolve(name, catalog, self.chains)]
        return tuple(dict.fromkeys(found))

    def is_name(self, name: str) -> bool:
        """Whether it may be named by callers beside the models."""
        return name in self.chains or name in ALIASES

    def offered(self, catalog: Catalog) -> dict[str, tuple[Target, ...]]:
        """Names that callers may use beside the models, and that mean something now."""
        ruled = [name for rule in self.rules for name in rule.names if name != ANY]
        names = dict.fromkeys((AUTO, *ruled, *self.chains, *(name for name in ALIASES if name not in SAME)))
        found = {name: self._meant(name, catalog) for name in names if name not in catalog.names}
        return {name: targets for name, targets in found.items() if targets and (name != EMBED or _embeds(targets))}

    def _meant(self, name: str, catalog: Catalog) -> tuple[Target, ...]:
        if name == AUTO or (name in self.names and not self.is_name(name)):
            found = [target for rule in self.rules if name in rule.names for target in self.targets(rule, catalog)]
            return tuple(dict.fromkeys(found)) or (own_models(catalog) if name == AUTO else ())
        return resolve(name, catalog, self.chains)


NO_RULES = Ruleset()


def _embeds(targets: tuple[Target, ...]) -> bool:
    return any(Ability.EMBEDDINGS in target.abilities for target in targets)


def own_models(catalog: Catalog) -> tuple[Target, ...]:
    """The targets of your own models, in the order of the file."""
    own = [target for model in catalog.models.values() for target in model.targets if not target.provider]
    return tuple(dict.fromkeys(own))


def resolve(name: str, catalog: Catalog, chains: Mapping[str, NamedChain]) -> tuple[Target, ...]:
    """The targets that a model, an alias or a chain means now; none for a name that nothing has."""
    found: dict[Target, None] = {}
    left, seen = [name], 0
    while left and seen < MOST_NAMES:
        seen += 1
        one = left.pop()
        model = catalog.names.get(one) or catalog.names.get(OTHER_WORDS.get(one, ""))
        if model is not None:
            found |= dict.fromkeys(model.targets)
        elif one in chains:
            left += reversed(chains[one].models)
        elif one in LOCAL:
            found |= dict.fromkeys(own_models(catalog))
    return tuple(found)
