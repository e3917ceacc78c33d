"""Under which profile a call is made: whoever names something can tighten, and nobody can widen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.errors import Forbidden
from ringfence.core.identity import Key
from ringfence.core.route import Exact, House, Overlong, Profile, Tier
from ringfence.routing.standing import agent_of, rests_on, standing, tools_reach

HERE = Profile("here")
ANY = Profile("any", Boundary.CLOUD, Tier.SPEED_OPTIONAL, chain=("fast", "rented"))
CLIENT = Profile("client", exact=Exact("fast", quantisation="Q8_0"))
LEAD = Profile("lead", Boundary.MESH, Tier.COORDINATION, delegates=("any",))
SECOND = Profile("second", Boundary.MESH, Tier.COORDINATION, delegates=("here",))
HOUSE = House(
    {profile.name: profile for profile in (HERE, ANY, CLIENT, LEAD, SECOND)},
    {"coder": "any", "notary": "here", "lost": "gone", "boss": "lead", "deputy": "second"},
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


def test_whoever_refuses_what_is_too_long_does_so_for_others_as_well() -> None:
    strict = Profile("strict", Boundary.CLOUD, Tier.SPEED_OPTIONAL, overlong=Overlong.REFUSE)
    roomy = Profile("roomy", Boundary.CLOUD, Tier.SPEED_OPTIONAL, overlong=Overlong.ROUTE)
    house = House({one.name: one for one in (strict, roomy, ANY)}, {}, {})
    assert standing(house, "strict", "", "any").overlong is Overlong.REFUSE
    assert standing(house, "any", "", "strict").overlong is Overlong.REFUSE
    assert standing(house, "any", "", "roomy").overlong is Overlong.ROUTE
    assert standing(house, "roomy", "", "any").overlong is Overlong.SHRINK


def test_an_exact_target_stays_whatever_is_named() -> None:
    assert standing(HOUSE, "client", "coder", "").exact == CLIENT.exact
    assert standing(HOUSE, "client", "", "any").exact == CLIENT.exact


def test_a_coordinator_calls_under_its_delegates_and_by_itself_stays_where_it_is() -> None:
    assert standing(HOUSE, "lead", "", "any") is ANY
    assert standing(HOUSE, "lead", "", "").boundary is Boundary.MESH


def test_a_key_of_an_agent_has_its_profile_or_less() -> None:
    assert standing(HOUSE, "", "coder", "", "coder") is ANY
    assert standing(HOUSE, "here", "coder", "", "coder").boundary is Boundary.HOST
    assert standing(HOUSE, "any", "notary", "", "notary") is HERE
    assert standing(HOUSE, "", "boss", "any", "boss") is ANY  # a key speaks for its agent, and so for its delegates


def test_a_key_whose_agent_is_gone_is_refused() -> None:
    for bound_to in ("", "any"):
        with pytest.raises(Forbidden, match="'former' that this key is bound to is not configured") as refused:
            standing(HOUSE, bound_to, "former", "", "former")
        assert refused.value.code == "agent_unknown"


def test_a_key_of_one_agent_is_no_other() -> None:
    bound, free = Key("key_1", "k", agent="coder"), Key("key_2", "k")
    assert [agent_of(bound, ""), agent_of(bound, "coder"), agent_of(free, "notary"), agent_of(free, "")] == [
        "coder", "coder", "notary", "",
    ]  # fmt: skip
    with pytest.raises(Forbidden) as refused:
        agent_of(bound, "notary")
    assert refused.value.code == "agent_not_of_key"


def test_to_name_a_coordinator_opens_none_of_its_delegates() -> None:
    found = standing(HOUSE, "here", "boss", "any")
    assert (found.name, found.boundary) == ("any", Boundary.HOST)
    assert standing(HOUSE, "here", "coder", "", "coder").boundary is Boundary.HOST
    assert standing(HOUSE, "here", "boss", "any", "boss").boundary is Boundary.HOST


def test_of_two_coordinators_both_must_list_the_delegate() -> None:
    assert standing(HOUSE, "lead", "boss", "any") is ANY
    for bound_to, agent, named in (("lead", "deputy", "any"), ("second", "boss", "any"), ("lead", "deputy", "here")):
        with pytest.raises(Forbidden, match="may not make calls under"):
            standing(HOUSE, bound_to, agent, named)
    assert standing(HOUSE, "lead", "coder", "here").boundary is Boundary.HOST  # no coordinator: it only tightens


NAMES = st.sampled_from(["", "here", "any", "client", "lead", "second"])


AGENTS = st.sampled_from(["", "coder", "notary", "boss", "deputy"])


@given(bound_to=NAMES, own=AGENTS, agent=AGENTS, named=NAMES)
def test_nothing_that_a_caller_says_widens(bound_to: str, own: str, agent: str, named: str) -> None:
    if not bound_to and not own:
        return
    try:
        found = standing(HOUSE, bound_to, agent, named, own)
    except Forbidden:
        return
    of_key = HOUSE.profiles[bound_to or HOUSE.agents[own]]
    delegated = [HOUSE.profiles[name].boundary for name in of_key.delegates]
    assert found.boundary <= max([of_key.boundary, *delegated])
    if named and not delegated:
        assert found.boundary <= HOUSE.profiles[named].boundary


def test_a_tool_that_is_not_classified_keeps_the_call_here() -> None:
    assert tools_reach(HOUSE, ["search"]) == (Boundary.CLOUD, "")
    for names in (["search", "never heard of"], ["odd"], [""]):
        assert tools_reach(HOUSE, names) == (Boundary.HOST, "a tool that is not listed under tools")
    assert tools_reach(HOUSE, ["search", "files"]) == (Boundary.HOST, "tool 'files' of profile 'here'")


def test_who_keeps_a_profile_from_reaching_further_is_known() -> None:
    assert standing(HOUSE, "here", "coder", "").held_by == "here"
    assert standing(HOUSE, "any", "notary", "any").held_by == "here"
    assert standing(HOUSE, "any", "notary", "").held_by == standing(HOUSE, "any", "", "").held_by == ""


@pytest.mark.parametrize(("outer", "inner"), [(False, True), (True, False), (True, True)])
def test_answers_are_kept_where_both_profiles_keep_them(outer: bool, inner: bool) -> None:
    profiles = {
        "key": Profile("key", Boundary.CLOUD, stores=outer),
        "agent": Profile("agent", Boundary.CLOUD, stores=inner),
    }
    house = House(profiles, {"coder": "agent"}, {})
    assert standing(house, "key", "coder", "").stores is (outer and inner)


class Noted(dict[str, Profile]):
    """Profiles, and which of them were asked for."""

    def __init__(self, profiles: dict[str, Profile]) -> None:
        super().__init__(profiles)
        self.asked: set[str] = set()

    def get(self, name: str, default: Profile | None = None) -> Profile | None:  # type: ignore[override]
        self.asked.add(name)
        return super().get(name, default)


@given(
    st.sampled_from(["", *HOUSE.profiles]), st.sampled_from(["", *HOUSE.agents]), st.sampled_from(["", *HOUSE.agents]),
    st.sampled_from(["", *HOUSE.profiles]),
)  # fmt: skip
def test_a_call_rests_on_every_profile_that_standing_looks_at(own: str, bound: str, said: str, named: str) -> None:
    """And it is known of rows of the ledger, which have the key, the agent and the one profile."""
    if not (own or bound):
        return
    key, profiles = Key("key_1", "laptop", own, agent=bound), Noted(HOUSE.profiles)
    try:
        agent = agent_of(key, said)
        found = standing(House(profiles, HOUSE.agents, HOUSE.tools), own, agent, named, bound)
    except Forbidden:
        return
    assert set(rests_on(HOUSE.agents, key, agent, found.name)) == profiles.asked
    assert rests_on(HOUSE.agents, key, agent, found.name)[0] == found.name
