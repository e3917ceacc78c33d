"""Answers that are kept: who is given one, who is not, and what is never kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from composed import CHAT, PATH, STREAM, Gateway, request, target
from gated import Gate, aboard, ask, became, caching, settle, until

from ringfence.core.boundary import Boundary
from ringfence.core.identity import Key
from ringfence.core.route import Caching, Profile, Tier
from ringfence.core.usage import Usage
from ringfence.signals.sensitivity import Sensitivity
from ringfence.signals.sensitivity import Settings as Looking
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

COMPLETION: dict[str, Any] = {"model": "fast", "prompt": "hello there"}
EMBEDDING: dict[str, Any] = {"model": "fast", "input": "hello there"}
OF_ONE_CALLER = {"x-request-id", "x-ringfence-cache", "age"}
SHARED = Caching(is_shared=True)


@pytest.mark.parametrize(
    ("path", "body"),
    [(PATH, CHAT), (PATH, STREAM), ("/v1/completions", COMPLETION), ("/v1/embeddings", EMBEDDING)],
    ids=("chat", "stream", "completions", "embeddings"),
)
async def test_what_is_asked_again_is_answered_by_no_engine(path: str, body: dict[str, Any]) -> None:
    async with caching() as (gateway, engine):
        first, second = await ask(gateway, body, path), await ask(gateway, body, path)
        assert (became(first), became(second), len(engine.calls)) == ("miss", "hit", 1)
        assert first.status == second.status == 200
        assert first.body == second.body != b""
        assert first.head["x-request-id"] != second.head["x-request-id"]
        assert "age" not in first.head
        assert second.head["age"] == "0"
        alike = [{n: v for n, v in reply.head.items() if n not in OF_ONE_CALLER} for reply in (first, second)]
        assert alike[0] == alike[1]
        engines, kept = gateway.answered
        assert (engines.kind.outcome, engines.kind.target) == ("ok", "seat/fast")
        assert engines.usage is not None
        assert engines.usage.total_tokens > 0
        assert (kept.kind.outcome, kept.kind.target, kept.usage) == ("cached", "seat/fast", Usage())


async def test_without_the_setting_nothing_is_kept() -> None:
    async with caching(profile=Profile("default")) as (gateway, engine):
        replies = [await ask(gateway), await ask(gateway)]
        assert [became(reply) for reply in replies] == ["", ""]
        assert len(engine.calls) == 2
        assert gateway.pipeline.answers.cache.shelves == {}


OTHERS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "hello  there"}]},
    {"messages": [{"role": "system", "content": "hello there"}]},
    {"temperature": 0.5},
    {"max_tokens": 7},
    {"seed": 1},
    {"stream": True},
    {"stream": True, "stream_options": {"include_usage": True}},
    {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]},
]
SAME: list[dict[str, Any]] = [
    {"user": "somebody"}, {"metadata": {"place": "here"}}, {"safety_identifier": "x"}, {"prompt_cache_key": "y"},
    {"model": "quick"},
]  # fmt: skip


@pytest.mark.parametrize("more", OTHERS, ids=str)
async def test_another_question_has_another_answer(more: dict[str, Any]) -> None:
    async with caching() as (gateway, engine):
        replies = [await ask(gateway), await ask(gateway, CHAT | more)]
        assert [became(reply) for reply in replies] == ["miss", "miss"]
        assert len(engine.calls) == 2


async def test_what_changes_nothing_is_no_part_of_the_question() -> None:
    async with caching() as (gateway, engine):
        await ask(gateway)
        replies = [await ask(gateway, CHAT | more) for more in SAME]
        replies.append(await ask(gateway, dict(reversed(CHAT.items()))))
        assert {became(reply) for reply in replies} == {"hit"}
        assert len(engine.calls) == 1


async def test_usage_in_a_kept_answer_is_that_of_the_engine() -> None:
    async with caching() as (gateway, _engine):
        first, second = await ask(gateway), await ask(gateway)
        assert second.json["usage"] == first.json["usage"]
        assert second.json["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(("settings", "second"), [(Caching(), "miss"), (SHARED, "hit")], ids=("key", "profile"))
async def test_another_key_is_given_it_only_where_the_profile_says_so(settings: Caching, second: str) -> None:
    async with caching(settings) as (gateway, _engine):
        assert gateway.keys is not None
        gateway.keys.known[b"sk-other"] = Key("key_2", "others")
        assert became(await ask(gateway)) == "miss"
        assert became(await ask(gateway, secret=b"sk-other")) == second


async def test_another_profile_is_never_given_it() -> None:
    """Neither a key that is bound to it, nor one that names it."""
    async with caching(SHARED) as (gateway, engine):
        assert gateway.keys is not None
        settle(gateway, Profile("default", caching=SHARED), Profile("beside", caching=SHARED), Profile("none"))
        gateway.keys.known[b"sk-other"] = Key("key_2", "others", "beside")
        assert became(await ask(gateway)) == "miss"
        assert became(await ask(gateway, secret=b"sk-other")) == "miss"
        assert became(await ask(gateway, head=b"x-ringfence-profile: beside\r\n")) == "miss"
        assert became(await ask(gateway, head=b"x-ringfence-profile: beside\r\n")) == "hit"
        assert became(await ask(gateway, head=b"x-ringfence-profile: none\r\n")) == ""
        assert len(engine.calls) == 4


async def test_naming_a_profile_that_keeps_answers_does_not_make_ones_own_keep_them() -> None:
    async with caching(profile=Profile("default")) as (gateway, engine):
        settle(gateway, Profile("default"), Profile("keeps", caching=SHARED))
        replies = [await ask(gateway, head=b"x-ringfence-profile: keeps\r\n") for _ in range(2)]
        assert [became(reply) for reply in replies] == ["", ""]
        assert len(engine.calls) == 2


async def test_a_text_that_stays_is_given_no_answer_from_further_away() -> None:
    """The same words of the same key: as they may leave, and labelled as what stays."""
    far = target("seat/far", boundary=Boundary.MESH)
    wide = Profile("default", Boundary.MESH, Tier.SPEED_OPTIONAL, caching=SHARED)
    async with caching(profile=wide, targets=(far,)) as (gateway, engine):
        gateway.seats.elsewhere["seat/far"] = replace(engine.endpoint, boundary=Boundary.MESH)
        settle(gateway, wide, sensitivity=Sensitivity(Looking(labels=frozenset({"stays"}))))
        assert (await ask(gateway)).head["x-ringfence-boundary"] == "MESH"
        assert became(await ask(gateway)) == "hit"
        refused = await ask(gateway, head=b"x-ringfence-label: stays\r\n")
        assert (refused.status, refused.error["code"]) == (403, "boundary_refused")
        settle(gateway, replace(wide, boundary=Boundary.HOST))
        refused = await ask(gateway)
        assert (refused.status, refused.error["code"]) == (403, "boundary_refused")
        assert len(engine.calls) == 1


async def test_another_configuration_of_a_target_is_asked_anew() -> None:
    async with caching() as (gateway, engine):
        await ask(gateway)
        for change in ({"digest": "ab" * 32}, {"window": 2048}, {"engine_model": "fake-model", "quantisation": "Q4_0"}):
            fresh = Gateway(engine.endpoint, targets=(target(**change),))
            profile = Profile("default", caching=Caching())
            gateway.pipeline.settings = replace(gateway.pipeline.settings, catalog=fresh.pipeline.settings.catalog)
            settle(gateway, profile)
            assert became(await ask(gateway)) == "miss", change
            assert became(await ask(gateway)) == "hit", change


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"no-cache", ["miss", "miss", "hit"]),
        (b"No-Cache, max-age=60", ["miss", "miss", "hit"]),
        (b"max-age=0", ["miss", "miss", "hit"]),
        (b"max-age=60", ["miss", "hit", "hit"]),
        (b"no-store", ["miss", "", "hit"]),
        (b"no-transform, max-age=soon", ["miss", "hit", "hit"]),
    ],
)
async def test_callers_may_want_none_of_it(said: bytes, expected: list[str]) -> None:
    async with caching() as (gateway, _engine):
        head = b"cache-control: %b\r\n" % said
        replies = [await ask(gateway), await ask(gateway, head=head), await ask(gateway)]
        assert [became(reply) for reply in replies] == expected


async def test_what_is_not_to_be_stored_is_not() -> None:
    async with caching() as (gateway, _engine):
        await ask(gateway, head=b"cache-control: no-store\r\n")
        assert gateway.pipeline.answers.cache.shelves == {}
        assert became(await ask(gateway)) == "miss"


BROKEN = [
    (Behaviour(Fault.STATUS, status=500), CHAT), (Behaviour(Fault.STATUS, status=400), CHAT),
    (Behaviour(Fault.BAD_JSON), CHAT), (Behaviour(Fault.CUT), CHAT), (Behaviour(Fault.CUT), STREAM),
    (Behaviour(Fault.RESET), STREAM), (Behaviour(Fault.BAD_SSE), STREAM), (Behaviour(Fault.DROP), STREAM),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "body"), BROKEN, ids=str)
async def test_what_broke_is_not_kept(broken: Behaviour, body: dict[str, Any]) -> None:
    async with caching(retries=0) as (gateway, engine):
        engine.always = broken
        await ask(gateway, body)
        engine.always = Behaviour()
        again = await ask(gateway, body)
        assert (again.status, became(again)) == (200, "miss")
        assert b"jumps" in again.body
        assert became(await ask(gateway, body)) == "hit"


async def test_an_answer_to_a_caller_who_left_midway_is_not_kept() -> None:
    gate = Gate(after_events=2)
    async with caching(gate=gate) as (gateway, engine):
        client = await gateway.client()
        client.writer.write(request(PATH, STREAM))
        await client.head()
        await client.chunk()
        client.leave()
        await until(lambda: engine.calls[0].client_left_s is not None)
        assert gateway.pipeline.answers.cache.shelves == {}
        assert [one.kind.outcome for one in gateway.answered] == ["client_gone"]


async def test_what_was_emptied_while_it_was_made_is_not_kept() -> None:
    gate = Gate()
    async with caching(gate=gate) as (gateway, _engine):
        client = await gateway.client()
        await client.send(request(PATH, CHAT))
        await until(lambda: aboard(gateway) == 1)
        gateway.pipeline.answers.clear()
        gate.open()
        assert (await client.answer()).status == 200
        assert became(await ask(gateway)) == "miss"
        assert gateway.pipeline.answers.clear() == 1
        assert became(await ask(gateway)) == "miss"


async def test_each_counts_against_the_limits_of_its_key_and_uses_no_tokens() -> None:
    key = Key("key_1", "tests", requests_per_minute=3, tokens_per_minute=10_000)
    async with caching(key=key) as (gateway, engine):
        first, second, third = [await ask(gateway) for _ in range(3)]
        left = [int(reply.head["x-ratelimit-remaining-tokens"]) for reply in (second, third)]
        used = first.json["usage"]["total_tokens"]
        assert all(10_000 - used <= tokens <= 10_000 for tokens in left)
        assert third.head["x-ratelimit-remaining-requests"] == "0"
        fourth = await ask(gateway)
        assert (fourth.status, fourth.error["code"]) == (429, "rate_limit_exceeded")
        assert len(engine.calls) == 1


async def test_a_long_body_goes_to_its_engine() -> None:
    long = CHAT | {"messages": [{"role": "user", "content": "x" * 1_100_000}]}
    async with caching(targets=(target(window=None),)) as (gateway, _engine):
        assert [became(await ask(gateway, long)) for _ in range(2)] == ["", ""]


async def test_events_of_an_engine_that_answers_in_other_words_are_kept_as_sent() -> None:
    """An Ollama streams lines; what is kept is what callers get."""
    async with FakeEngine("ollama", (FakeModel(),)) as engine:
        seat = target(engine="ollama")
        async with Gateway(engine.endpoint, targets=(seat,), profile=Profile("default", caching=Caching())) as gateway:
            first, second = await ask(gateway, STREAM), await ask(gateway, STREAM)
            assert became(second) == "hit"
            assert first.events == second.events
            assert second.events[-1] == "[DONE]"
