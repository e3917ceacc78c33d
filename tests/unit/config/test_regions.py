"""Which rules are never reached: box subtraction, against trying every value."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.config.conditions import Condition, parse
from ringfence.config.regions import contradictions, space_of, unreachable
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.core.reading import TASKS
from ringfence.core.route import Caller, Signals

COMPARED = st.builds(
    lambda sign, bound: f"{sign}{bound}", st.sampled_from(("<", "<=", ">", ">=", "=")), st.integers(0, 11)
)
TASK = st.lists(st.sampled_from(TASKS[:4]), min_size=1, max_size=3)
WHEN: dict[str, st.SearchStrategy[Any]] = {
    "effort": st.one_of(COMPARED, st.builds(lambda a, b: f"{a} {b}", COMPARED, COMPARED)),
    "gpu_load": COMPARED.map(lambda text: f"{text}%"),
    "context_tokens": COMPARED,
    "task": TASK,
    "stream": st.booleans(),
    "sensitivity": st.sampled_from(("host", "mesh", "cloud")),
    "caller": st.fixed_dictionaries({"profile": st.sampled_from(("a", "b"))}),
    "hours": st.sampled_from(("22:00-06:00 UTC", "08:00-20:00 UTC", "20:00-22:00 UTC", "06:00-08:00 UTC")),
}
RULE = st.lists(st.sampled_from(sorted(WHEN)), max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: WHEN[name] for name in names})
)
RULES = st.lists(st.tuples(RULE, st.booleans()), min_size=1, max_size=6)


def conditions(when: dict[str, Any]) -> tuple[Condition, ...]:
    return tuple(one for name, said in when.items() for one in parse(name, said))


def signals_of(values: dict[str, Any]) -> Signals:
    """A request that reads just these values."""
    minute = values.get("hours UTC", 0)
    return Signals(
        Ability.CHAT, 10, values.get("stream", False), False, Boundary.parse(values.get("sensitivity", "cloud")),
        task=values.get("task", ""), effort=values.get("effort", 0), gpu_load=values.get("gpu_load", 0.0),
        context_tokens=10**9 if (tokens := values.get("context_tokens", 0)) == float("inf") else tokens,
        caller=Caller(profile=values.get("caller.profile", "")), now_s=minute * 60.0,
    )  # fmt: skip


Rules = list[tuple[dict[str, Any], bool]]


@settings(max_examples=30, deadline=None)
@given(rules=RULES)
def test_a_rule_is_told_of_when_no_value_at_all_reaches_it(rules: Rules) -> None:
    told_as_tried(rules)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(rules=RULES)
def test_that_holds_for_many_rules(rules: Rules) -> None:
    told_as_tried(rules)


def told_as_tried(rules: Rules) -> None:
    parsed, covers = [conditions(when) for when, _ in rules], [covers for _, covers in rules]
    space = space_of(parsed)
    reached: set[int] = set()
    for values in product(*space.values()):
        signals = signals_of(dict(zip(space, values, strict=True)))
        for place, found in enumerate(parsed):
            if all(one.holds(signals) for one in found):
                reached.add(place)
                if covers[place]:
                    break
    never = {place for place, found in enumerate(parsed) if place not in reached}
    told = unreachable(parsed, covers)
    contradict = {place for place, found in enumerate(parsed) if contradictions(found)}
    assert set(told) | contradict == never
    assert not set(told) & contradict
    for place, earlier in told.items():
        assert all(one < place and covers[one] for one in earlier)
        alone = [*(parsed[one] for one in earlier), parsed[place]]
        assert len(earlier) in unreachable(alone, [True] * len(alone)), "those that are named are enough"


@settings(max_examples=200, deadline=None)
@given(
    rules=RULES, effort=st.integers(0, 10), load=st.floats(0, 100), tokens=st.integers(0, 100), stream=st.booleans(),
    minute=st.integers(0, 1439), profile=st.sampled_from("abc"), reach=st.sampled_from(Boundary),
    task=st.sampled_from(("", *TASKS)),
)  # fmt: skip
def test_no_request_reaches_a_rule_that_is_told_of(
    rules: Rules, effort: int, load: float, tokens: int, stream: bool, minute: int,
    profile: str, reach: Boundary, task: str,
) -> None:  # fmt: skip
    parsed, covers = [conditions(when) for when, _ in rules], [covers for _, covers in rules]
    signals = Signals(
        Ability.CHAT, 10, stream, False, reach, task=task, effort=effort, context_tokens=tokens, gpu_load=load,
        caller=Caller(profile=profile), now_s=minute * 60.0,
    )  # fmt: skip
    told = unreachable(parsed, covers)
    for place, found in enumerate(parsed):
        if all(one.holds(signals) for one in found):
            assert place not in told
            if covers[place]:
                break


def test_whole_numbers_have_nothing_between_them() -> None:
    rules = [conditions({"effort": one}) for one in ("<=3", ">=4", ">3 <4")]
    assert unreachable(rules[:2], [True, True]) == {}
    assert contradictions(rules[2]) == ["effort"]
    rules = [conditions({"gpu_load": one}) for one in ("<=3%", ">=4%", ">3% <4%")]
    assert unreachable(rules, [True] * 3) == {}


def test_hours_that_make_up_a_day_leave_nothing() -> None:
    rules = [conditions({"hours": one}) for one in ("22:00-06:00 UTC", "06:00-22:00 UTC")]
    assert unreachable([*rules, ()], [True] * 3) == {2: [0, 1]}
    assert unreachable([rules[0], conditions({"hours": "23:00-05:00 Europe/Berlin"})], [True] * 2) == {}
