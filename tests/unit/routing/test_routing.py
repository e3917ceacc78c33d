"""Deciding and walking: whatever the chain says, text never goes beyond what is allowed."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Model, Target
from ringfence.core.errors import BadRequest, BoundaryRefused, ModelNotFound, TargetUnavailable
from ringfence.core.route import Chain, Profile, Signals
from ringfence.routing.chain import roomiest_first, walk
from ringfence.routing.rules import decide, tighten
from ringfence.routing.ruleset import NO_RULES

ABILITIES = st.frozensets(st.sampled_from(list(Ability)))
BOUNDARIES = st.sampled_from(list(Boundary))


def target(name: str = "a", boundary: Boundary = Boundary.HOST, *abilities: Ability) -> Target:
    return Target(name, "m", "vllm", "m", boundary, abilities=frozenset(abilities or (Ability.CHAT,)))


TARGETS = st.lists(st.tuples(BOUNDARIES, ABILITIES), max_size=6).map(
    lambda rows: tuple(Target(f"t{i}", "m", "vllm", "m", b, abilities=a) for i, (b, a) in enumerate(rows))
)


class Sick:
    """Lets in whoever is well, and as the last ones all but those that are hopeless."""

    def __init__(self, sick: Collection[str], hopeless: Collection[str] = ()) -> None:
        self.sick = sick
        self.hopeless = hopeless
        self.inside: list[str] = []

    def is_plain(self, target: Target) -> bool:
        return target.name not in (*self.sick, *self.hopeless)

    def enter(self, target: Target, *, is_last: bool) -> int:
        entered = self.is_plain(target) or (is_last and target.name not in self.hopeless)
        self.inside += (target.name,) if entered else ()
        return int(entered)

    def leave(self, target: Target, entered: int) -> None:
        self.inside.remove(target.name)


@given(
    targets=TARGETS,
    allowed=BOUNDARIES,
    retries=st.integers(0, 5),
    sick=st.sets(st.sampled_from([f"t{i}" for i in range(6)])),
)
def test_no_target_beyond_what_is_allowed_is_ever_yielded(
    targets: tuple[Target, ...], allowed: Boundary, retries: int, sick: set[str]
) -> None:
    walked = list(walk(Chain("c", targets), allowed, Sick(sick), retries))
    permitted = [each for each in targets if each.boundary <= allowed]
    assert all(each.boundary <= allowed for each in walked)
    assert set(walked[: len(permitted)]) == set(permitted)
    assert len(walked) == (len(permitted) + retries if permitted else 0)
    first = walked[: len(permitted)]
    assert first == [t for t in permitted if t.name not in sick] + [t for t in permitted if t.name in sick]
    assert walked[len(permitted) :] == [first[turn % len(first)] for turn in range(retries if first else 0)]


@given(retries=st.integers(0, 5), hopeless=st.sets(st.sampled_from("abcd")))
def test_what_is_not_even_let_in_as_the_last_is_never_tried(retries: int, hopeless: set[str]) -> None:
    targets = tuple(target(name) for name in "abcd")
    walked = [each.name for each in walk(Chain("c", targets), Boundary.HOST, Sick((), hopeless), retries)]
    well = [name for name in "abcd" if name not in hopeless]
    assert walked == well + [well[turn % len(well)] for turn in range(retries if well else 0)]


def test_a_walk_that_ends_early_leaves_where_it_was() -> None:
    gate = Sick(())
    for each in walk(Chain("c", (target("a"), target("b"))), Boundary.HOST, gate, 2):
        assert gate.inside == [each.name]
        if each.name == "b":
            break
    assert gate.inside == []


@pytest.mark.parametrize(
    ("tokens", "order"),
    [(900, "abced"), (4000, "bcead"), (20_000, "cbade"), (200_000, "bcade")],
)
def test_targets_with_room_for_the_prompt_come_first(tokens: int, order: str) -> None:
    windows = {"a": 1024, "b": 18_000, "c": 131_072, "d": None, "e": 4096}
    targets = tuple(Target(name, "m", "vllm", "m", Boundary.HOST, window=size) for name, size in windows.items())
    chain = Chain("c", targets)
    assert "".join(each.name for each in roomiest_first(chain, tokens).targets) == order


@given(targets=TARGETS, boundary=BOUNDARIES, tightest=BOUNDARIES, ability=st.sampled_from(list(Ability)))
def test_a_decision_holds_only_able_and_permitted_targets(
    targets: tuple[Target, ...], boundary: Boundary, tightest: Boundary, ability: Ability
) -> None:
    catalog = Catalog.of([Model("m", targets)])
    signals, profile = Signals(ability, 10, tightest=tightest), Profile("p", boundary)
    allowed = min(boundary, tightest)
    expected = tuple(each for each in targets if ability in each.abilities and each.boundary <= allowed)
    try:
        decision = decide(NO_RULES, catalog, "m", signals, profile)
    except TargetUnavailable:
        assert not targets
    except BoundaryRefused:
        assert not expected
        assert any(ability in each.abilities for each in targets)
    except BadRequest as refused:
        assert (refused.code, bool(targets)) == ("model_not_able", True)
        assert not any(ability in each.abilities for each in targets)
    else:
        assert decision.chain.targets == expected
        assert (decision.allowed, decision.rule) == (allowed, "requested-model")
        assert {each.target for each in decision.excluded} == {each.name for each in targets} - {
            e.name for e in expected
        }


@given(boundary=BOUNDARIES, tightest=BOUNDARIES)
def test_a_signal_tightens_and_never_widens(boundary: Boundary, tightest: Boundary) -> None:
    assert tighten(boundary, Signals(Ability.CHAT, 1, tightest=tightest)) is min(boundary, tightest)


def test_an_unknown_model_names_those_that_are_known() -> None:
    catalog = Catalog.of([Model(f"m{number}", (target(),)) for number in range(20)])
    with pytest.raises(ModelNotFound) as refused:
        decide(NO_RULES, catalog, "x" * 1000, Signals(Ability.CHAT, 1), Profile("p"))
    assert (refused.value.status, refused.value.param) == (404, "model")
    assert "m0" in refused.value.message
    assert len(refused.value.message) < 400


def test_before_there_is_any_model_none_is_unknown() -> None:
    """A gateway that starts again must not tell its callers that their model is gone."""
    with pytest.raises(TargetUnavailable) as refused:
        decide(NO_RULES, Catalog.of([]), "m", Signals(Ability.CHAT, 10), Profile("p", Boundary.CLOUD))
    assert refused.value.retry_after_s == 1.0


def test_another_name_is_said_to_be_one() -> None:
    catalog = Catalog.of([Model("m", (target(),), aliases=("other",))])
    assert "another name" in decide(NO_RULES, catalog, "other", Signals(Ability.CHAT, 1), Profile("p")).reason


def test_names_win_over_aliases() -> None:
    catalog = Catalog.of([Model("a", (), aliases=("b",)), Model("b", ()), Model("c", (), aliases=("b", "d"))])
    assert {name: model.name for name, model in catalog.names.items()} == {"a": "a", "b": "b", "c": "c", "d": "c"}
