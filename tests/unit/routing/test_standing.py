"""Under which profile a call is made: whoever names something can tighten, and nobody can widen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Forbidden
from ringfence.core.route import Exact, House, Profile, Tier
from ringfence.routing.standing import standing, tools_reach

HERE = Profile("here")
ANY = Profile("any", Boundary.CLOUD, Tier.SPEED_OPTIONAL, chain=("fast", "rented"))
CLIENT = Profile("client", exact=Exact("fast", quantisation="Q8_0"))
LEAD = Profile("lead", Boundary.MESH, Tier.COORDINATION, delegates=("any",))
HOUSE = House(
    {profile.name: profile for profile in (HERE, ANY, CLIENT, LEAD)},
    {"coder": "any", "notary": "here", "lost": "gone"},
    {"search": "any", "files": "here", "odd": "gone"},
)


def test_a_key_alone_stands_under_its_profile() -> None:
    assert standing(HOUSE, "any", "", "") is ANY


@pytest.mark.parametrize(
    ("bound_to", "agent", "named", "code"),
    [
        ("gone", "", "", "profile_unknown"),
        ("any", "nobody", "", "agent_unknown"),
        ("any", "lost", "", "profile_unknown"),
        ("any", "", "gone", "profile_unknown"),
        ("lead", "", "here", "profile_not_delegated"),
    ],
)
def test_what_is_not_classified_is_refused(bound_to: str, agent: str, named: str, code: str) -> None:
    with pytest.raises(Forbidden) as refused:
        standing(HOUSE, bound_to, agent, named)
    assert refused.value.code == code


def test_an_agent_takes_its_own_way_within_its_keys_boundary() -> None:
    at_home = standing(HOUSE, "here", "coder", "")
    assert (at_home.name, at_home.boundary, at_home.chain) == ("any", Boundary.HOST, ANY.chain)
    assert standing(HOUSE, "any", "notary", "") is HERE


def test_an_exact_target_stays_whatever_is_named() -> None:
    assert standing(HOUSE, "client", "coder", "").exact == CLIENT.exact
    assert standing(HOUSE, "client", "", "any").exact == CLIENT.exact


def test_a_coordinator_calls_under_its_delegates_and_by_itself_stays_where_it_is() -> None:
    assert standing(HOUSE, "lead", "", "any") is ANY
    assert standing(HOUSE, "lead", "", "").boundary is Boundary.MESH


NAMES = st.sampled_from(["", "here", "any", "client", "lead"])


@given(bound_to=NAMES.filter(bool), agent=st.sampled_from(["", "coder", "notary"]), named=NAMES)
def test_nothing_that_a_caller_says_widens(bound_to: str, agent: str, named: str) -> None:
    try:
        found = standing(HOUSE, bound_to, agent, named)
    except Forbidden:
        return
    delegated = [HOUSE.profiles[name].boundary for name in HOUSE.profiles[bound_to].delegates]
    assert found.boundary <= max([HOUSE.profiles[bound_to].boundary, *delegated])
    if named and not delegated:
        assert found.boundary <= HOUSE.profiles[named].boundary


def test_a_tool_that_is_not_classified_keeps_the_call_here() -> None:
    assert tools_reach(HOUSE, ["search"]) is Boundary.CLOUD
    for names in (["search", "files"], ["search", "never heard of"], ["odd"], [""]):
        assert tools_reach(HOUSE, names) is Boundary.HOST
