"""Many ask the same at the same time: one call of an engine, and each is told at a pace of its own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from composed import CHAT, PATH, STREAM, Client, Gateway, Reply, request
from gated import Gate, aboard, ask, became, caching, until
from parked_inside import PRIVATE, Waiting

from ringfence.core.identity import Key
from ringfence.core.route import Caching, Profile
from ringfence.gateway import recording
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

SHARED = Caching(is_shared=True)
BOTH = pytest.mark.parametrize("body", [CHAT, STREAM], ids=("whole", "stream"))


async def begun(gateway: Gateway, count: int, body: dict[str, Any] = CHAT, **more: Any) -> list[Client]:
    """So many callers that have asked and wait, the first one first."""
    clients: list[Client] = []
    for number in range(count):
        client = await gateway.client()
        await client.send(request(PATH, body, **more))
        clients.append(client)
        if number == 0:
            await until(lambda: aboard(gateway) == 1)
    await until(lambda: aboard(gateway) == count)
    return clients


async def answers(clients: list[Client]) -> list[Reply]:
    return await asyncio.gather(*(client.answer() for client in clients))


def outcomes(gateway: Gateway) -> dict[str, int]:
    found = [one.kind.outcome for one in gateway.answered]
    return {outcome: found.count(outcome) for outcome in set(found)}


async def _at_once(gateway: Gateway, engine: FakeEngine, gate: Gate, body: dict[str, Any], count: int) -> None:
    clients = await begun(gateway, count, body)
    gate.open()
    replies = await answers(clients)
    assert len(engine.calls) == 1
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == 1
    assert b"jumps" in replies[0].body
    assert [became(reply) for reply in replies] == ["miss", *["joined"] * (count - 1)]
    assert len({reply.head["x-request-id"] for reply in replies}) == count
    assert outcomes(gateway) == {"ok": 1, "joined": count - 1}
    assert (
        sum(one.usage.total_tokens for one in gateway.answered if one.usage) == gateway.answered[0].usage.total_tokens
    )  # type: ignore[union-attr]
    assert became(await ask(gateway, body)) == "hit"
    assert aboard(gateway) == 0


@BOTH
async def test_a_hundred_at_once_are_one_call(body: dict[str, Any]) -> None:
    gate = Gate()
    async with caching(gate=gate) as (gateway, engine):
        await _at_once(gateway, engine, gate, body, 100)


@pytest.mark.slow
@BOTH
async def test_a_thousand_at_once_are_one_call(body: dict[str, Any]) -> None:
    gate = Gate()
    async with caching(gate=gate) as (gateway, engine):
        await _at_once(gateway, engine, gate, body, 1000)


async def test_who_comes_midway_is_told_all_of_it() -> None:
    gate = Gate(after_events=3)
    async with caching(gate=gate) as (gateway, engine):
        first = (await begun(gateway, 1, STREAM))[0]
        head = await first.head()
        heard = await first.chunk()
        late = await gateway.client()
        await late.send(request(PATH, STREAM))
        await until(lambda: aboard(gateway) == 2)
        gate.open()
        reply = await late.answer()
        assert (became(head), became(reply), reply.text) == ("miss", "joined", "The quick brown fox jumps.")
        rest = await first._chunks()
        assert heard + rest == reply.body
        assert len(engine.calls) == 1


@BOTH
async def test_the_first_may_go_away_while_others_wait(body: dict[str, Any]) -> None:
    gate = Gate()
    async with caching(gate=gate) as (gateway, engine):
        first, *others = await begun(gateway, 3, body)
        first.leave()
        await until(lambda: aboard(gateway) == 2)
        gate.open()
        replies = await answers(others)
        assert [(reply.status, became(reply)) for reply in replies] == [(200, "joined")] * 2
        assert len(engine.calls) == 1
        assert engine.calls[0].client_left_s is None
        assert outcomes(gateway) == {"client_gone": 1, "joined": 2, "ok": 1}
        (paid,) = [one for one in gateway.answered if one.kind.outcome == "ok"]
        assert paid.usage is not None
        assert paid.usage.total_tokens > 0


async def test_the_first_may_go_away_in_the_middle_of_its_stream() -> None:
    gate = Gate(after_events=2)
    async with caching(gate=gate) as (gateway, engine):
        first, other = await begun(gateway, 2, STREAM)
        await first.head()
        await first.chunk()
        first.leave()
        await until(lambda: aboard(gateway) == 1)
        gate.open()
        assert (await other.answer()).text == "The quick brown fox jumps."
        assert engine.calls[0].client_left_s is None
        assert became(await ask(gateway, STREAM)) == "hit"


@BOTH
async def test_when_the_last_goes_away_the_engine_is_stopped(body: dict[str, Any]) -> None:
    async with caching(gate=Gate(after_events=2)) as (gateway, engine):
        clients = await begun(gateway, 3, body)
        for client in clients:
            assert engine.calls[0].client_left_s is None
            client.leave()
            await asyncio.sleep(0.02)
        await until(lambda: engine.calls[0].client_left_s is not None)
        assert outcomes(gateway) == {"client_gone": 3}
        assert gateway.pipeline.answers.flights == {}


@BOTH
@pytest.mark.parametrize("fault", [Fault.STATUS, Fault.DROP])
async def test_a_failure_is_everyones_and_no_herd_follows(body: dict[str, Any], fault: Fault) -> None:
    gate = Gate()
    async with caching(retries=0) as (gateway, engine):

        async def fails(wire: Any, parts: list[bytes], is_stream: bool) -> bool:
            await gate._wait(wire)
            if fault is Fault.STATUS:
                await wire.send(wire.head(500, "application/json", 2) + b"{}")
            return False

        engine.always = Behaviour(twist=fails)
        clients = await begun(gateway, 20, body)
        gate.open()
        replies = await answers(clients)
        assert {(reply.status, reply.error["code"]) for reply in replies} == {(502, "engine_failed")}
        assert len(engine.calls) == 1
        assert outcomes(gateway) == {"engine_failed": 20}
        engine.always = Behaviour()
        assert became(await ask(gateway, body)) == "miss"


async def test_a_stream_that_breaks_breaks_for_all_who_have_it() -> None:
    gate = Gate(after_events=4, breaks=True)
    async with caching(gate=gate) as (gateway, engine):
        clients = await begun(gateway, 10, STREAM)
        gate.open()
        replies = await answers(clients)
        assert len(engine.calls) == 1
        for reply in replies:
            assert (reply.status, json.loads(reply.events[-1])["error"]["code"]) == (200, "engine_failed")
        assert gateway.pipeline.answers.cache.shelves == {}
        assert outcomes(gateway) == {"lost": 1, "engine_failed": 9}


async def test_an_error_midway_is_told_in_the_shape_of_each_caller() -> None:
    gate = Gate(after_events=4, breaks=True)
    async with caching(gate=gate) as (gateway, engine):
        plain = (await begun(gateway, 1, STREAM))[0]
        other = await gateway.client()
        await other.send(request(PATH, STREAM, head=b"anthropic-version: 2023-06-01\r\n"))
        await until(lambda: aboard(gateway) == 2)
        gate.open()
        assert b'"type":"api_error","param":null' in (await plain.answer()).body
        assert b'event: error\ndata: {"type":"error"' in (await other.answer()).body
        assert len(engine.calls) == 1


async def test_who_may_not_ask_does_not_keep_others_from_it() -> None:
    """The first has used up its tokens; the answer is made for the next, who may."""
    async with caching(SHARED, key=Key("key_1", "poor", tokens_per_minute=1_000_000)) as (gateway, engine):
        assert gateway.keys is not None
        gateway.keys.known[b"sk-rich"] = Key("key_2", "rich")
        poor = Key("key_3", "poor", tokens_per_minute=1)
        gateway.keys.known[b"sk-poor"] = poor
        await ask(gateway, {**CHAT, "seed": 3}, secret=b"sk-poor")
        refused = await ask(gateway, secret=b"sk-poor")
        assert refused.status == 429
        assert became(await ask(gateway, secret=b"sk-rich")) == "miss"
        assert len(engine.calls) == 2


async def test_of_many_at_once_those_who_may_not_ask_are_refused_alone() -> None:
    """Whoever is first: a refusal of one key is nobody else's, and begins no flight that others could come aboard."""
    gate = Gate()
    async with caching(SHARED, gate) as (gateway, engine):
        assert gateway.keys is not None
        gateway.keys.known[b"sk-poor"] = Key("key_2", "poor", requests_per_minute=1)
        gate.open()
        await ask(gateway, {**CHAT, "seed": 3}, secret=b"sk-poor")
        clients = [await gateway.client() for _ in range(20)]
        for number, client in enumerate(clients):
            await client.send(request(PATH, CHAT, secret=(b"sk-poor", b"sk-test")[number % 2]))
        statuses = [reply.status for reply in await answers(clients)]
        assert statuses == [429, 200] * 10
        assert len(engine.calls) == 2


async def test_nobody_waits_behind_a_call_that_others_go_before() -> None:
    gate = Gate()
    async with caching(gate=gate) as (gateway, engine):
        behind = (await begun(gateway, 1, CHAT, head=b"x-ringfence-priority: background\r\n"))[0]
        now = await gateway.client()
        await now.send(request(PATH, CHAT))
        await until(lambda: len(engine.calls) == 2)
        gate.open()
        replies = await answers([behind, now])
        assert [became(reply) for reply in replies] == ["miss", "miss"]


def wordy(count: int) -> FakeEngine:
    return FakeEngine("vllm", words=tuple(f" word{'x' * 30_000}{number}" for number in range(count)))


async def test_a_slow_caller_holds_nobody_up() -> None:
    """One takes nothing of its answer; the others have all of it, and it has the rest when it goes on."""
    gate = Gate()
    async with caching() as (gateway, _engine), wordy(110) as engine:
        gateway.seats.endpoint, engine.always = engine.endpoint, Behaviour(twist=gate)
        slow, *others = await begun(gateway, 3, STREAM)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        gate.open()
        replies = await answers(others)
        assert all(reply.events[-1] == "[DONE]" for reply in replies)
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        held = await slow.answer()
        assert held.body == replies[0].body
        assert len(held.body) > 3_000_000


async def test_an_answer_too_long_to_keep_waits_for_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of it is in memory than may be; it is whole for everyone, and not kept."""
    monkeypatch.setattr(recording, "MOST_BYTES", 64 * 1024)
    gate = Gate()
    async with caching() as (gateway, _engine), wordy(1000) as engine:  # far more than sockets keep
        gateway.seats.endpoint, engine.always = engine.endpoint, Behaviour(twist=gate)
        slow, quick = await begun(gateway, 2, STREAM)
        (flight,) = gateway.pipeline.answers.flights.values()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        gate.open()
        reading = asyncio.create_task(quick.answer())
        await asyncio.sleep(0.5)
        assert engine.calls[0].ended_s is None, "it was read to its end, with nobody to take it"
        assert not reading.done()
        assert len(flight.recording.data) < 2 * 1024 * 1024
        assert became(await ask(gateway, CHAT)) == "miss"
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(25):
            whole, again = await asyncio.gather(slow.answer(), reading)
        assert whole.body == again.body
        assert whole.events[-1] == "[DONE]"
        assert [shelf.entries for shelf in gateway.pipeline.answers.cache.shelves.values()] == []


async def test_who_waits_for_a_model_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of those who take a stream, also who came later than the first."""
    monkeypatch.setattr("ringfence.gateway.loading.SOON_S", 0.05)
    async with caching() as (gateway, engine):
        gateway.seats.ready = asyncio.Event()
        clients = await begun(gateway, 3, STREAM)
        heads = [await client.head() for client in clients]
        assert len({head.head["x-request-id"] for head in heads}) == 3
        assert [await client.chunk() for client in clients] == [b": loading estimate_s=unknown\n\n"] * 3
        gateway.seats.ready.set()
        bodies = [await client._chunks() for client in clients]
        assert len(set(bodies)) == 1
        assert bodies[0].endswith(b"data: [DONE]\n\n")
        assert len(engine.calls) == 1


async def test_parked_callers_are_served_by_one_call_when_their_target_is_back(
    waits: Waiting, engine: FakeEngine
) -> None:
    profile = Profile("default", PRIVATE.boundary, ending=PRIVATE.ending, caching=Caching())
    waits.profile(profile)
    gateway = waits.gateway
    waits.away()
    clients = [await gateway.client() for _ in range(3)]
    for client in clients:
        await client.send(request(PATH, CHAT))
    await until(lambda: len(waits.parking.kept) == 3)
    gateway.seats.endpoint = engine.endpoint
    waits.parking.look()
    async with asyncio.timeout(25):
        replies = await answers(clients)
    assert {reply.status for reply in replies} == {200}
    assert len(engine.calls) == 1
    assert sorted(became(reply) for reply in replies) in (["hit", "hit", "miss"], ["joined", "joined", "miss"])
