"""What a profile does to the choice: its chain, its exact target, its ending."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Catalog, Model, Target
from ringfence.core.errors import BoundaryRefused, Forbidden, TargetUnavailable
from ringfence.core.route import Decision, Ending, Exact, Profile, Signals
from ringfence.routing.rules import decide
from ringfence.routing.ruleset import NO_RULES

FAST = Target("fast/1", "fast", "llamacpp", "fast", Boundary.HOST, 4096, quantisation="Q8_0", device="cpu", digest="ab")
SMALL = Target("small/1", "small", "llamacpp", "small", Boundary.MESH)
RENTED = Target("rented/1", "rented", "openai", "big", Boundary.CLOUD)
CATALOG = Catalog.of([Model("fast", (FAST,), ("auto",)), Model("small", (SMALL,)), Model("rented", (RENTED,))])


def choose(profile: Profile, name: str = "auto", tightest: Boundary = Boundary.CLOUD) -> Decision:
    return decide(NO_RULES, CATALOG, name, Signals(Ability.CHAT, 10, tightest=tightest), profile)


def test_auto_takes_the_chain_of_the_profile_in_its_order() -> None:
    profile = Profile("p", Boundary.CLOUD, chain=("small", "gone", "fast", "rented"))
    assert choose(profile).chain.targets == (SMALL, FAST, RENTED)
    assert "chain of profile 'p'" in choose(profile).reason
    assert choose(Profile("p")).chain.targets == (FAST,)  # without a chain, whoever has that name


def test_a_signal_cuts_the_chain_where_it_leaves() -> None:
    profile = Profile("p", Boundary.CLOUD, chain=("rented", "small", "fast"))
    tight = choose(profile, tightest=Boundary.HOST)
    assert (tight.chain.targets, tight.allowed) == ((FAST,), Boundary.HOST)
    assert [one.target for one in tight.excluded] == ["rented/1", "small/1"]


def test_a_refusal_says_what_would_have_been_needed() -> None:
    with pytest.raises(BoundaryRefused, match=r"stops at HOST.*would have to reach CLOUD"):
        choose(Profile("p"), "rented")
    with pytest.raises(BoundaryRefused, match="for this request"):
        choose(Profile("p", Boundary.CLOUD), "rented", tightest=Boundary.HOST)


def test_a_profile_that_parks_asks_to_come_again() -> None:
    private = Profile("private", chain=("small", "rented"), ending=Ending.PARK)
    with pytest.raises(TargetUnavailable, match="goes no further") as refused:
        choose(private)
    assert refused.value.retry_after_s
    with pytest.raises(TargetUnavailable):
        choose(replace(private, chain=("gone",)))


@pytest.mark.parametrize(
    "exact",
    [
        Exact("fast"),
        Exact("fast", quantisation="Q8_0", device="cpu", window=4096, digest="ab"),
    ],
)
def test_one_exact_target(exact: Exact) -> None:
    profile = Profile("client", exact=exact)
    assert choose(profile).chain.targets == choose(profile, "fast").chain.targets == (FAST,)
    with pytest.raises(Forbidden, match="serves no other model"):
        choose(profile, "small")


@pytest.mark.parametrize(
    "exact",
    [
        Exact("fast", quantisation="Q4_K_M"),
        Exact("fast", device="gpu"),
        Exact("fast", window=8192),
        Exact("fast", digest="cd"),
        Exact("gone"),
        Exact("small", device="cpu"),  # not known of that target
    ],
)
def test_never_anything_in_its_place(exact: Exact) -> None:
    with pytest.raises(TargetUnavailable):
        choose(Profile("client", Boundary.MESH, exact=exact))


def test_an_exact_target_beyond_the_boundary_is_refused() -> None:
    with pytest.raises(BoundaryRefused):
        choose(Profile("client", exact=Exact("rented")))
