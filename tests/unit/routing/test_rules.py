"""Rules decide: the first that matches, its targets within the boundary, and what comes when there is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.config.conditions import parse
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Model, Target
from ringfence.core.errors import BoundaryRefused, Failure, ModelNotFound, NothingNow, TargetUnavailable
from ringfence.core.reading import TASKS
from ringfence.core.route import Caller, Decision, Ending, Exact, Profile, Signals, Tier
from ringfence.routing.explained import rule_rows, signal_row
from ringfence.routing.rules import decide
from ringfence.routing.ruleset import NamedChain, Rule, Ruleset, resolve

EMBEDS = frozenset((Ability.EMBEDDINGS,))
SMALL = Target("small/1", "small", "llamacpp", "small", Boundary.HOST)
BIG = Target("big/1", "big", "vllm", "big", Boundary.MESH)
VECTORS = Target("vectors/1", "vectors", "llamacpp", "vectors", Boundary.HOST, abilities=EMBEDS)
RENTED = Target("rented/1", "rented", "openai", "gpt", Boundary.CLOUD, provider="openai")
QUICK = Target("quick/1", "quick", "openai", "mini", Boundary.CLOUD, provider="openai")
CATALOG = Catalog.of(
    [
        Model("rented", (RENTED,), ("cloud/frontier",)),
        Model("quick", (QUICK,), ("cloud/fast",)),
        Model("big", (BIG,), ("local/quality",)),
        Model("small", (SMALL,)),
        Model("vectors", (VECTORS,)),
        Model("gone", ()),
    ]
)
CLOUD = Profile("p", Boundary.CLOUD, Tier.CLOUD_EXPLICIT)


def rule(name: str, *use: str, ending: str = "error", **when: Any) -> Rule:
    given = {"model": "auto", **when}
    conditions = tuple(one for signal, said in given.items() for one in parse(signal, said))
    names = given["model"] if isinstance(given["model"], list) else [given["model"]]
    return Rule(name, ", ".join(one.text for one in conditions), conditions, use, ending, tuple(names))


def read(tightest: Boundary = Boundary.CLOUD, model: str = "auto", **more: Any) -> Signals:
    return Signals(Ability.CHAT, 10, tightest=tightest, model=model, **more)


def choose(rules: Ruleset, signals: Signals, profile: Profile = CLOUD, catalog: Catalog = CATALOG) -> Decision:
    return decide(rules, catalog, signals.model, signals, profile)


HARD = Ruleset(
    (rule("hard", "cloud/frontier", "big", effort=">6"), rule("easy", "small", "quick")),
    {"ways": NamedChain(("big", "inner"), waits=True), "inner": NamedChain(("small", "big", "cloud/cheap"))},
)


def test_the_first_that_matches_decides() -> None:
    hard, easy = choose(HARD, read(effort=7)), choose(HARD, read(effort=6))
    assert (hard.rule, hard.chain.targets) == ("hard", (RENTED, BIG))
    assert (easy.rule, easy.chain.targets) == ("easy", (SMALL, QUICK))
    assert hard.reason.startswith("rule 'hard':")


def test_own_models_come_first_under_t2_and_as_the_rule_says_under_t3() -> None:
    assert choose(HARD, read(effort=9), Profile("p", Boundary.CLOUD, Tier.SPEED_OPTIONAL)).chain.targets == (
        BIG,
        RENTED,
    )
    assert choose(HARD, read(effort=9)).chain.targets == (RENTED, BIG)


def test_the_boundary_is_as_ever() -> None:
    near = choose(HARD, read(Boundary.MESH, effort=9, kept_by="card"))
    assert (near.chain.targets, near.allowed) == ((BIG,), Boundary.MESH)
    assert near.told == "hard; kept near by card"
    assert [one.target for one in near.excluded] == ["rented/1"]
    with pytest.raises(BoundaryRefused):
        choose(HARD, read(Boundary.HOST, effort=9))


def test_a_model_that_is_named_stays_what_it_is() -> None:
    assert choose(HARD, read(model="small", effort=9)).rule == "requested-model"
    every = Ruleset((rule("all", "big", model="*", effort=">6"),))
    assert choose(every, read(model="small", effort=9)).chain.targets == (BIG,)
    assert choose(every, read(model="small", effort=1)).chain.targets == (SMALL,)
    made_up = Ruleset((rule("made up", "big", model="gpt-4o"),))
    assert choose(made_up, read(model="gpt-4o")).chain.targets == (BIG,)
    with pytest.raises(ModelNotFound):
        choose(made_up, read(model="gpt-5"))


def test_what_comes_before_rules() -> None:
    claimed = Catalog.of([Model("small", (SMALL,), ("auto",)), Model("big", (BIG,))])
    assert choose(HARD, read(effort=9), catalog=claimed).chain.targets == (SMALL,)
    own = Profile("p", Boundary.CLOUD, chain=("quick", "small"))
    assert (choose(HARD, read(), own).rule, choose(HARD, read(), own).chain.targets) == (
        "profile-chain",
        (QUICK, SMALL),
    )
    exact = Profile("p", Boundary.CLOUD, exact=Exact("quick"))
    assert choose(HARD, read(), exact).rule == "exact-target"


def test_next_goes_on_with_the_rule_that_follows() -> None:
    rules = Ruleset(
        (rule("first", "gone", "rented", ending="next"), rule("other", "quick", task="rag"), rule("last", "big"))
    )
    near = choose(rules, read(Boundary.MESH))
    assert (near.rule, near.chain.targets) == ("last", (BIG,))
    far = choose(rules, read())
    assert (far.rule, far.chain.targets) == ("first", (RENTED, BIG)), "what follows is tried when it fails"


def test_how_it_ends() -> None:
    waits = Ruleset((rule("far", "rented", ending="queue"),))
    assert choose(waits, read()).chain.ending is Ending.PARK
    with pytest.raises(NothingNow):
        choose(waits, read(Boundary.HOST))
    gone = Ruleset((rule("gone", "gone"),))
    with pytest.raises(TargetUnavailable):
        choose(gone, read())
    assert choose(HARD, read(), Profile("p", Boundary.CLOUD, ending=Ending.PARK)).chain.ending is Ending.PARK


def test_no_rule_matches() -> None:
    found = choose(Ruleset((rule("hard", "big", effort=">6"),)), read())
    assert (found.chain.targets, found.rule) == ((BIG, SMALL), "own-models")
    assert found.reason == "no rule matches it: your own models, in order"


def test_names_of_chains_and_aliases_may_be_asked_for() -> None:
    ways = choose(HARD, read(model="ways"))
    assert (ways.chain.targets, ways.chain.ending) == ((BIG, SMALL, QUICK), Ending.PARK)
    assert choose(HARD, read(model="local/long")).chain.targets == (BIG, SMALL)
    assert choose(HARD, read(model="cloud/cheap")).chain.targets == (QUICK,)
    with pytest.raises(TargetUnavailable):
        choose(HARD, read(model="cloud/mid"))
    offered = HARD.offered(CATALOG)
    assert {"auto", "ways", "inner", "local/fast", "local/long", "local/embed"} <= set(offered)
    assert not {"cloud/mid", "cloud/fast", "local/quality", "big"} & set(offered)
    assert set(offered["auto"]) == {RENTED, BIG, SMALL, QUICK}


def test_what_aliases_mean() -> None:
    assert resolve("local/quality", CATALOG, {}) == (BIG,)
    assert resolve("local/fast", CATALOG, {}) == (BIG, SMALL, VECTORS), "no model claims it: your own, in order"
    assert resolve("cloud/mid", CATALOG, {}) == ()
    assert resolve("embed/local", Catalog.of([Model("v", (VECTORS,), ("local/embed",))]), {}) == (VECTORS,)
    circle = {"a": NamedChain(("b", "small")), "b": NamedChain(("a",))}
    assert resolve("a", CATALOG, circle) == ()


def test_every_rule_is_explained() -> None:
    signals = read(Boundary.MESH, effort=7, caller=Caller("laptop", "p"))
    rows = rule_rows(HARD, CATALOG, signals, CLOUD, choose(HARD, signals))
    assert [(row["name"], row["matched"], row["taken"]) for row in rows] == [
        ("hard", True, True),
        ("easy", True, False),
    ]
    assert rows[0]["why"] == "effort 7 is > 6"
    assert (rows[0]["targets"], rows[1]["targets"]) == (["big/1"], ["small/1"])
    assert rows[0]["excluded"] == [{"target": "rented/1", "reason": "lies at CLOUD, beyond MESH"}]
    assert signal_row(signals)["caller"] == {"key": "laptop", "profile": "p", "agent": ""}
    assert signal_row(signals)["sensitivity"] == "mesh"


WHENS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(("<=3", ">6", 5)), "task": st.sampled_from(TASKS),
        "sensitivity": st.sampled_from(("host", "mesh", "cloud")), "stream": st.booleans(),
    },
)  # fmt: skip
USES = st.lists(
    st.sampled_from((*CATALOG.names, "local/fast", "local/long", "cloud/mid", "ways")), min_size=1, max_size=4
)
SETS = st.lists(st.tuples(WHENS, USES, st.sampled_from(("error", "queue", "next"))), max_size=5)


@given(
    sets=SETS, boundary=st.sampled_from(Boundary), tightest=st.sampled_from(Boundary), tier=st.sampled_from(Tier),
    effort=st.integers(0, 10), task=st.sampled_from(("", *TASKS)), ability=st.sampled_from(Ability),
    name=st.sampled_from(("auto", "ways", "small", "local/fast")),
)  # fmt: skip
def test_no_rule_leads_beyond_what_is_allowed(
    sets: list[tuple[dict[str, Any], list[str], str]], boundary: Boundary, tightest: Boundary, tier: Tier, effort: int,
    task: str, ability: Ability, name: str,
) -> None:  # fmt: skip
    rules = Ruleset(
        tuple(rule(f"r{place}", *use, ending=ending, **when) for place, (when, use, ending) in enumerate(sets)),
        HARD.chains,
    )
    signals = Signals(ability, 10, tightest=tightest, model=name, effort=effort, task=task)
    try:
        found = choose(rules, signals, Profile("p", boundary, tier))
    except Failure:
        return
    assert found.chain.targets
    assert found.allowed == min(boundary, tightest)
    assert all(target.boundary <= found.allowed and ability in target.abilities for target in found.chain.targets)
