"""[pure] Where one way becomes cheaper than another as traffic grows, and where a target of saving is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ringfence.costs.assumptions import Assumptions
from ringfence.costs.bill import Bill, bill, cheapest_units, stated
from ringfence.costs.words import millions

STEPS = 160
MOST_UNITS = 8
EXACT_TOKENS = 1000
"""Volumes are found to so many tokens a day."""

Cost = Callable[[int], float]
"""Of a month with so many tokens a day, in micro-dollars."""


class Stretch(NamedTuple):
    """Volumes in tokens a day between which something holds; `until` None: as far as was looked."""

    since: int
    until: int | None


class Inflection(NamedTuple):
    """What happens (`cheaper`, `saved`, `unit`, `hired`, `owned`), of which scenario, against what, and whether what
    was paid for machines counts (`whole`); the stretches in which it holds: none, where it never does."""

    what: str
    scenario: str
    against: str
    is_whole: bool
    stretches: tuple[Stretch, ...]

    @property
    def words(self) -> str:
        """A sentence."""
        counted = "with amortisation" if self.is_whole else "once the hardware is paid for"
        subject = {
            "cheaper": f"{self.scenario} costs less than {self.against}, {counted}",
            "saved": f"{self.scenario} saves {self.against}, {counted}",
            "unit": f"{self.scenario} is cheaper with {self.against}",
            "hired": f"{self.scenario} is cheaper on {self.against} than on owned hardware",
        }[self.what]
        return f"{subject}: {_when(self.stretches)}."


def inflections(assumptions: Assumptions, scenarios: tuple[str, ...] | None = None) -> list[Inflection]:
    """All of them, for scenarios with a site."""
    months = _Months(assumptions)
    return [one for name in scenarios or tuple(assumptions.scenarios) for one in _of(name, months)]


def furthest(assumptions: Assumptions) -> int:
    """How far is looked: twice the largest volume that was asked about."""
    return 2 * max((assumptions.tokens_per_day, *assumptions.volumes))


def where_cheaper(one: Cost, other: Cost, furthest: int) -> tuple[Stretch, ...]:
    """The volumes up to `furthest` at which `one` costs less. What begins and ends between two of the 160 volumes that
    are looked at is not seen."""
    found: list[Stretch] = []
    since: int | None = None
    before = 0
    for volume in (furthest * step // STEPS for step in range(1, STEPS + 1)):
        is_less = one(volume) < other(volume)
        if is_less and since is None:
            since = _turn(one, other, before, volume) if before else 0
        elif not is_less and since is not None:
            found.append(Stretch(since, _turn(one, other, before, volume)))
            since = None
        before = volume
    return (*found, Stretch(since, None)) if since is not None else tuple(found)


class _Months:
    """Bills of months at one volume or another, each made once, with the cheapest number of units."""

    def __init__(self, assumptions: Assumptions) -> None:
        self.assumptions = assumptions
        self._known: dict[tuple[str, str | None, str, int], Bill] = {}

    def best(self, name: str, is_whole: bool, site: str | None = None, paid: str = "") -> Cost:
        """On another `site`, which is paid for `always` or while it is `busy`, where these are given."""
        assumptions = self.assumptions
        if site is not None and paid:
            changed = assumptions.sites[site].model_copy(update={"paid": paid})
            assumptions = assumptions.model_copy(update={"sites": {**assumptions.sites, site: changed}})

        def cost(volume: int) -> float:
            known = self._known.get((name, site, paid, volume))
            if known is None:
                traffic = stated(assumptions, volume)
                known = self._known[name, site, paid, volume] = cheapest_units(
                    name, assumptions, traffic, MOST_UNITS, site
                )
            return known.whole if is_whole else known.running

        return cost

    def with_units(self, name: str, units: int) -> Cost:
        """All that is paid in a month, with so many."""
        assumptions = self.assumptions
        return lambda volume: bill(name, assumptions, stated(assumptions, volume), units).whole


def _of(name: str, months: _Months) -> Iterator[Inflection]:
    assumptions = months.assumptions
    scenario, far = assumptions.scenarios[name], furthest(assumptions)
    if scenario.site is None:
        return
    for is_whole in (True, False):
        ours = months.best(name, is_whole)
        for other in (other for other, one in assumptions.scenarios.items() if one.site is None):
            stretches = where_cheaper(ours, months.best(other, is_whole), far)
            yield Inflection("cheaper", name, other, is_whole, stretches)
        goal = _share_of(months.best(assumptions.baseline, is_whole), 100 - assumptions.saved_percent)
        against = f"{assumptions.saved_percent:g} % of {assumptions.baseline}"
        yield Inflection("saved", name, against, is_whole, where_cheaper(ours, goal, far))
    for units in (2, 3):
        stretches = where_cheaper(months.with_units(name, units), months.with_units(name, units - 1), far)
        against = f"{units} units of {scenario.site} than with {units - 1}"
        yield Inflection("unit", name, against, True, stretches)
    if assumptions.sites[scenario.site].is_rented:
        return
    for site in (site for site, one in assumptions.sites.items() if one.is_rented):
        for paid, words in (("always", "all day"), ("busy", "only while it works")):
            stretches = where_cheaper(months.best(name, True, site, paid), months.best(name, True), far)
            yield Inflection("hired", name, f"{site} paid {words}", True, stretches)


def _share_of(cost: Cost, percent: float) -> Cost:
    return lambda volume: cost(volume) * percent / 100


def _turn(one: Cost, other: Cost, low: int, high: int) -> int:
    """The volume between at which it turns."""
    before = one(low) < other(low)
    while high - low > EXACT_TOKENS:
        middle = (low + high) // 2
        if (one(middle) < other(middle)) == before:
            low = middle
        else:
            high = middle
    return high


def _when(stretches: tuple[Stretch, ...]) -> str:
    if not stretches:
        return "at no volume that was looked at"
    if stretches == (Stretch(0, None),):
        return "at every volume that was looked at"
    told = [
        f"up to {millions(until)}" if since == 0 and until is not None
        else f"from {millions(since)} on" if until is None else f"from {millions(since)} to {millions(until)}"
        for since, until in stretches
    ]  # fmt: skip
    return f"{', and '.join(told)} tokens a day"
