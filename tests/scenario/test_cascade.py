"""A chain that escalates, over real sockets: who is asked, what would not do, and what the caller is given."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from composed import Client, Gateway, Reply, target
from thinking_inside import Script

from ringfence.config.conditions import ANY
from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Catalog, Endpoint, Model, Target
from ringfence.core.errors import TargetUnavailable
from ringfence.core.route import Ending, House, Profile, Tier
from ringfence.gateway.call import Call
from ringfence.gateway.cascade.cascade import Escalation
from ringfence.gateway.cascade.checks import Check, Checks
from ringfence.gateway.cascade.schema import compiled
from ringfence.gateway.deciding import Settings
from ringfence.routing.ruleset import NamedChain, Rule, Ruleset
from ringfence.telemetry.events import Escalated
from ringfence.testing.fake_engine import Behaviour, Fault
from ringfence.testing.fake_turns import USED, Says

ASKED: dict[str, Any] = {"model": "thrifty", "messages": [{"role": "user", "content": "What is it?"}]}
PLAIN = Profile("default")
GOOD, BETTER = "It is seven.", "It is eight."
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
WANTS = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {
    "type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"],
}}}  # fmt: skip


async def cascading(
    serve: Any, small: Script, deep: Script, *on: Check, rules: tuple[Rule, ...] = (), waits: bool = False,
    profile: Profile = PLAIN, first: Target | None = None,
) -> Gateway:  # fmt: skip
    gateway: Gateway = await serve(engine=small.endpoint)
    models = [Model(name, (target(f"seat/{name}", model=name),)) for name in ("small", "deep")]
    if first is not None:
        models[0] = Model("small", (first,))
    gateway.pipeline.settings = Settings(
        Catalog.of(models), House({"default": profile}, {}, {}),
        rules=Ruleset(rules, {"thrifty": NamedChain(("small", "deep"), waits)}),
        escalations={"thrifty": Escalation(("small", "deep"), Checks(frozenset(on or Check)), compiled)},
    )  # fmt: skip
    gateway.seats.elsewhere["seat/deep"] = Endpoint("127.0.0.1", deep.port, Boundary.HOST)
    deep.says(Says(BETTER))
    return gateway


async def asked(gateway: Gateway, path: str = "/v1/chat/completions", **changes: Any) -> Reply:
    client: Client = await gateway.client()
    try:
        return await client.ask(path, ASKED | changes)
    finally:
        client.leave()


def content(reply: Reply) -> str:
    return str(reply.json["choices"][0]["message"]["content"])


async def test_an_answer_that_will_do_is_given(serve: Any, small: Script, deep: Script) -> None:
    gateway = await cascading(serve, small, deep)
    small.says(Says(GOOD, probability=0.9))
    reply = await asked(gateway)
    assert (content(reply), reply.head["x-ringfence-cascade"]) == (GOOD, "small")
    assert "logprobs" not in reply.json["choices"][0] and small.bodies[0]["logprobs"] is True
    assert deep.bodies == []
    outer = reply.head["x-request-id"].removesuffix(".1")
    rows = {row.call_id: row for row in gateway.answered}
    assert [rows[at].usage is not None for at in (f"{outer}.1", outer)] == [True, False]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("says", "changes", "why"),
    [
        (Says("It is a very", finish="length"), {}, "length"),
        (Says(" "), {}, "length"),
        (Says("I'm sorry, but I can't help with that."), {}, "refusal"),
        (Says("no", finish="content_filter"), {}, "refusal"),
        (Says("seven"), {"response_format": {"type": "json_object"}}, "schema"),
        (Says('{"nome": "A"}'), {"response_format": WANTS}, "schema"),
        (Says("", (("look", {"to": "a"}),)), {"tools": [LOOK]}, "schema"),
        (Says("", (("peek", {"at": "a"}),)), {"tools": [LOOK]}, "schema"),
        (Says("", (("look", '{"at": '),)), {"tools": [LOOK]}, "schema"),
        (Says(GOOD, probability=0.5), {}, "confidence"),
    ],
)
async def test_one_that_fails_a_check_is_not_given(
    serve: Any, small: Script, deep: Script, says: Says, changes: dict[str, Any], why: str, stream: bool
) -> None:
    gateway = await cascading(serve, small, deep)
    small.says(says)
    reply = await asked(gateway, stream=stream, **changes)
    assert reply.head["x-ringfence-cascade"] == f"small {why}; deep"
    assert (reply.text.strip() if stream else content(reply)) == BETTER
    assert [len(engine.bodies) for engine in (small, deep)] == [1, 1]
    gateway.events.flush()
    escalated = [event for event in gateway.events.recent if isinstance(event, Escalated)]
    assert [(event.chain, event.model, event.why) for event in escalated] == [("thrifty", "small", why)]


async def test_what_holds_a_schema_is_given(serve: Any, small: Script, deep: Script) -> None:
    gateway = await cascading(serve, small, deep)
    small.says(Says('{"name": "A"}'), Says("", (("look", {"at": "a"}),)))
    assert content(await asked(gateway, response_format=WANTS)) == '{"name": "A"}'
    reply = await asked(gateway, tools=[LOOK])
    assert reply.json["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert deep.bodies == []


async def test_a_caller_of_a_stream_is_given_events(serve: Any, small: Script, deep: Script) -> None:
    gateway = await cascading(serve, small, deep, Check.LENGTH)
    small.says(Says(GOOD), Says("", (("look", {"at": "a"}),)))
    reply = await asked(gateway, stream=True, stream_options={"include_usage": True})
    chunks = [json.loads(event) for event in reply.events[:-1]]
    assert reply.events[-1] == "[DONE]" and reply.text == GOOD
    assert [c["finish_reason"] for chunk in chunks for c in chunk["choices"]][-1] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] == USED["total_tokens"]
    called = await asked(gateway, stream=True, tools=[LOOK])
    deltas = [choice["delta"] for event in called.events[:-1] for choice in json.loads(event)["choices"]]
    (call,) = next(delta["tool_calls"] for delta in deltas if "tool_calls" in delta)
    assert (call["index"], call["function"]["name"]) == (0, "look")


async def test_other_dialects_are_given_it_in_their_own_words(serve: Any, small: Script, deep: Script) -> None:
    gateway = await cascading(serve, small, deep)
    small.says(Says("I cannot help with that."))
    reply = await asked(gateway, "/v1/messages", max_tokens=50)
    assert reply.json["content"] == [{"type": "text", "text": BETTER}]
    small.says(Says(GOOD))
    assert (await asked(gateway, "/v1/messages", max_tokens=50)).json["content"][0]["text"] == GOOD


async def test_where_one_is_not_there_the_next_is_asked(serve: Any, small: Script, deep: Script) -> None:
    gateway = await cascading(serve, small, deep)
    small.as_usual()
    small.always = Behaviour(Fault.DROP)
    reply = await asked(gateway)
    assert content(reply) == BETTER and reply.head["x-ringfence-cascade"].startswith("small engine_failed; deep")


async def test_the_best_there_was_is_given_where_the_last_fails(serve: Any, small: Script, deep: Script) -> None:
    gateway = await cascading(serve, small, deep)
    small.says(Says("It is a very", finish="length"))
    deep.as_usual()
    deep.always = Behaviour(Fault.DROP)
    reply = await asked(gateway)
    assert content(reply) == "It is a very"
    assert reply.head["x-ringfence-cascade"] == "small length; deep engine_failed; small, the best there was"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_rule_sends_there(serve: Any, small: Script, deep: Script, stream: bool) -> None:
    gateway = await cascading(serve, small, deep, rules=(Rule("cheap-first", "", (), ("thrifty",)),))
    small.says(Says(" "), Says(GOOD, probability=0.9))
    reply = await asked(gateway, model="auto", stream=stream)
    assert reply.head["x-ringfence-cascade"] == "rule cheap-first; small length; deep"
    assert (reply.text.strip() if stream else content(reply)) == BETTER
    reply = await asked(gateway, model="auto", stream=stream)
    assert reply.head["x-ringfence-cascade"] == "rule cheap-first; small"
    assert [len(engine.bodies) for engine in (small, deep)] == [2, 1]
    small.says(Says(" "))
    reply = await asked(gateway, model="auto", n=2)
    assert "x-ringfence-cascade" not in reply.head and len(deep.bodies) == 1


@pytest.mark.parametrize(
    "rule",
    [
        Rule("both", "", (), ("thrifty", "deep")),
        Rule("goes-on", "", (), ("thrifty",), "next"),
        Rule("all", "", (), ("thrifty",), names=(ANY,)),
        Rule("for-others-too", "", (), ("thrifty",), names=("auto", "deep")),
    ],
    ids=lambda rule: rule.name,
)
async def test_a_rule_with_another_way_on_does_not(serve: Any, small: Script, deep: Script, rule: Rule) -> None:
    gateway = await cascading(serve, small, deep, rules=(rule,))
    small.says(Says(" "))
    reply = await asked(gateway, model="auto")
    assert (reply.status, "x-ringfence-cascade" in reply.head, deep.bodies) == (200, False, [])


@pytest.mark.parametrize(
    ("name", "rule", "waits", "ending"),
    [
        ("thrifty", "error", True, Ending.ERROR),
        ("auto", "queue", False, Ending.ERROR),
        ("thrifty", "error", False, Ending.PARK),
        ("auto", "error", False, Ending.PARK),
        ("thrifty", "queue", False, Ending.ERROR),
    ],
)
async def test_where_none_can_serve_it_waits_for_any_of_them(
    serve: Any, small: Script, deep: Script, name: str, rule: str, waits: bool, ending: Ending
) -> None:
    """As the chain, the rule or the profile says; the last row is one of which nobody says so."""
    rules, profile = (Rule("cheap-first", "", (), ("thrifty",), rule),), Profile("default", ending=ending)
    gateway = await cascading(serve, small, deep, rules=rules, waits=waits, profile=profile)
    for engine in (small, deep):
        engine.as_usual()
        engine.always = Behaviour(Fault.STATUS, status=503)
    parked: list[str] = []

    class Parks:
        async def wait(self, _request: Any, call: Call) -> None:
            parked.append(call.model)
            raise TargetUnavailable("It waits.")

    gateway.pipeline.parking = Parks()
    assert (await asked(gateway, model=name)).status == 503
    assert parked == ([] if (name, rule) == ("thrifty", "queue") else [name])


async def test_a_rented_one_is_waited_for_as_long_as_one_of_ones_own_may_come_back(
    serve: Any, small: Script, deep: Script
) -> None:
    """The rented one cannot be reached at all, or may not be paid for: who parks waits for the other."""
    profile = Profile("default", ending=Ending.PARK)
    gateway = await cascading(serve, small, deep, profile=profile)
    small.as_usual()
    small.always = Behaviour(Fault.STATUS, status=503)
    last = Model("deep", (target("rented/deep", model="deep", provider="cloud", boundary=Boundary.CLOUD, engine=""),))
    settings = gateway.pipeline.settings
    gateway.pipeline.settings = replace(settings, catalog=Catalog.of([settings.catalog.models["small"], last]))
    reply = await asked(gateway)
    assert (reply.status, reply.error["code"]) == (503, "target_unavailable")


@pytest.mark.parametrize(("tier", "name", "goes_first"), [
    (Tier.SPEED_OPTIONAL, "auto", "deep"), (Tier.SPEED_OPTIONAL, "thrifty", "small"),
    (Tier.CLOUD_EXPLICIT, "auto", "small"),
])  # fmt: skip
async def test_under_t2_a_rule_asks_ones_own_first(
    serve: Any, small: Script, deep: Script, tier: Tier, name: str, goes_first: str
) -> None:
    rented = target("rented/small", model="small", provider="cloud", boundary=Boundary.CLOUD, engine="")
    gateway = await cascading(
        serve, small, deep, rules=(Rule("cheap-first", "", (), ("thrifty",)),), first=rented,
        profile=Profile("default", Boundary.CLOUD, tier),
    )  # fmt: skip
    deep.says(Says(BETTER, probability=0.9))
    told = (await asked(gateway, model=name)).head["x-ringfence-cascade"].removeprefix("rule cheap-first; ")
    assert told.split()[0].rstrip(";") == goes_first
    assert told.endswith("deep")


@pytest.mark.parametrize("changes", [{"n": 2}, {"logprobs": True}])
async def test_what_cannot_be_checked_goes_to_the_first(
    serve: Any, small: Script, deep: Script, changes: dict[str, Any]
) -> None:
    gateway = await cascading(serve, small, deep)
    small.says(Says("I cannot help with that."))
    reply = await asked(gateway, **changes)
    assert "x-ringfence-cascade" not in reply.head and deep.bodies == []


def test_nothing_is_fetched_for_a_schema() -> None:
    """One that names something elsewhere is as good as none."""
    assert compiled({"$ref": "http://127.0.0.1:9/person.json"})("anything")
    assert not compiled({"type": "string", "pattern": "^(a+)+$"})("a" * 40 + "b")
