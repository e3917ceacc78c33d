"""Deciding and walking: whatever the chain says, text never goes beyond what is allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Model, Target
from ringfence.core.errors import BadRequest, BoundaryRefused, ModelNotFound, TargetUnavailable
from ringfence.core.route import Chain, Profile, Signals
from ringfence.routing.chain import roomiest_first, walk
from ringfence.routing.health import COOL_S, FAILURES_TO_COOL, Health
from ringfence.routing.rules import RULES, Rule, decide, tighten

ABILITIES = st.frozensets(st.sampled_from(list(Ability)))
BOUNDARIES = st.sampled_from(list(Boundary))


def target(name: str = "a", boundary: Boundary = Boundary.HOST, *abilities: Ability) -> Target:
    return Target(name, "m", "vllm", "m", boundary, abilities=frozenset(abilities or (Ability.CHAT,)))


TARGETS = st.lists(st.tuples(BOUNDARIES, ABILITIES), max_size=6).map(
    lambda rows: tuple(Target(f"t{i}", "m", "vllm", "m", b, abilities=a) for i, (b, a) in enumerate(rows))
)


@given(
    targets=TARGETS,
    allowed=BOUNDARIES,
    retries=st.integers(0, 5),
    sick=st.sets(st.sampled_from([f"t{i}" for i in range(6)])),
)
def test_no_target_beyond_what_is_allowed_is_ever_yielded(
    targets: tuple[Target, ...], allowed: Boundary, retries: int, sick: set[str]
) -> None:
    walked = list(walk(Chain("c", targets), allowed, lambda each: each.name not in sick, retries))
    permitted = [each for each in targets if each.boundary <= allowed]
    assert all(each.boundary <= allowed for each in walked)
    assert set(walked[: len(permitted)]) == set(permitted)
    assert len(walked) == (len(permitted) + retries if permitted else 0)
    first = walked[: len(permitted)]
    assert first == [t for t in permitted if t.name not in sick] + [t for t in permitted if t.name in sick]
    assert walked[len(permitted) :] == [first[turn % len(first)] for turn in range(retries if first else 0)]


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
        decision = decide(RULES, catalog, "m", signals, profile)
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
        decide(RULES, catalog, "x" * 1000, Signals(Ability.CHAT, 1), Profile("p"))
    assert (refused.value.status, refused.value.param) == (404, "model")
    assert "m0" in refused.value.message
    assert len(refused.value.message) < 400


def test_before_there_is_any_model_none_is_unknown() -> None:
    """A gateway that starts again must not tell its callers that their model is gone."""
    with pytest.raises(TargetUnavailable) as refused:
        decide(RULES, Catalog.of([]), "m", Signals(Ability.CHAT, 10), Profile("p", Boundary.CLOUD))
    assert refused.value.retry_after_s == 1.0


def test_another_name_is_said_to_be_one() -> None:
    catalog = Catalog.of([Model("m", (target(),), aliases=("other",))])
    assert "another name" in decide(RULES, catalog, "other", Signals(Ability.CHAT, 1), Profile("p")).reason


def test_the_first_rule_that_matches_decides() -> None:
    rules = (Rule("long", "", lambda signals: signals.prompt_bytes > 100), *RULES)
    catalog = Catalog.of([Model("m", (target(),))])
    assert decide(rules, catalog, "m", Signals(Ability.CHAT, 101), Profile("p")).rule == "long"
    assert decide(rules, catalog, "m", Signals(Ability.CHAT, 100), Profile("p")).rule == "requested-model"


def test_names_win_over_aliases() -> None:
    catalog = Catalog.of([Model("a", (), aliases=("b",)), Model("b", ()), Model("c", (), aliases=("b", "d"))])
    assert {name: model.name for name, model in catalog.names.items()} == {"a": "a", "b": "b", "c": "c", "d": "c"}


def test_a_target_cools_down_after_failures_in_a_row_and_success_forgets_them() -> None:
    now = [100.0]
    health, at = Health(lambda: now[0]), target()
    for _ in range(FAILURES_TO_COOL - 1):
        health.record(at, "lost")
    health.succeed(at)
    for _ in range(FAILURES_TO_COOL - 1):
        health.record(at, "lost")
    assert health.is_usable(at)
    health.record(at, "connect")
    assert (health.is_usable(at), health.of(at).reason) == (False, "connect")
    assert health.is_usable(target("b"))
    now[0] += COOL_S
    assert health.is_usable(at)


class Keeper:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def failed(self, target: Target, reason: str) -> None:
        self.told.append(reason)

    def doubt(self, target: Target) -> None:
        self.told.append("doubt")


class TestDoubts:
    def test_three_failures_in_a_row_make_a_target_doubtful(self) -> None:
        keeper = Keeper()
        health, at = Health(lambda: 0.0, keeper), target()
        for _ in range(2):
            health.record(at, "malformed")
            health.record(at, "status")
            health.succeed(at)
        assert keeper.told == []
        for _ in range(6):
            health.record(at, "malformed")
        assert keeper.told == ["doubt", "doubt"]

    def test_answers_that_begin_well_and_are_never_whole(self) -> None:
        keeper = Keeper()
        health, at = Health(lambda: 0.0, keeper), target()
        for outcome in ("malformed", "malformed", "ok", "malformed", "client_gone", "lost", "engine_error"):
            health.succeed(at)  # the first byte came
            health.ended(at, outcome)
        assert "doubt" not in keeper.told
        health.ended(at, "malformed")
        assert keeper.told == ["malformed", "malformed", "malformed", "lost", "malformed", "doubt"]
        health.ended(None, "lost")
