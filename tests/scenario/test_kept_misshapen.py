"""An engine that says 200 and sends no answer: everyone is told so, it is written down as that, and it is not kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from composed import CHAT, PATH, Gateway, event, request
from gated import Gate, aboard, ask, became, caching, until

from ringfence.core.route import Caching
from ringfence.testing.fake_engine import Behaviour

MESSAGES = "/v1/messages"
ASKED: dict[str, Any] = {"model": "fast", "max_tokens": 16, "messages": [{"role": "user", "content": "hello there"}]}
ODD = {"choices": [{"index": 0, "delta": {"tool_calls": [None], "content": ["x"]}, "finish_reason": None}]}
UNTELLABLE = [
    {"choices": [{"message": {"role": "assistant", "content": "x", "tool_calls": [None]}}]},
    {"choices": [{"message": "x"}]},
    {"choices": {"message": {}}},
]


class Says(Gate):
    """Just this, for an answer in one piece."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self._body = json.dumps(body).encode()

    async def __call__(self, wire: Any, parts: list[bytes], is_stream: bool) -> bool:
        await self._wait(wire)
        await wire.send(wire.head(200, "application/json", len(self._body)) + self._body)
        return True


class Breaks(Gate):
    """A stream that begins well, and has an event in it that is none of a chat."""

    async def __call__(self, wire: Any, parts: list[bytes], is_stream: bool) -> bool:
        await wire.send(wire.head(200, "text/event-stream", None))
        await wire.chunk(event("He"))
        await self._wait(wire)
        for data in (b"data: " + json.dumps(ODD).encode() + b"\n\n", *parts):
            await wire.chunk(data)
        await wire.pause(25.0)  # it has more to say, and is not asked to
        return True


async def at_once(gateway: Gateway, count: int, body: dict[str, Any], path: str) -> list[Any]:
    clients = [await gateway.client() for _ in range(count)]
    for client in clients:
        await client.send(request(path, body))
    await until(lambda: aboard(gateway) == count)
    return clients


def outcomes(gateway: Gateway) -> dict[str, int]:
    found = [one.kind.outcome for one in gateway.answered]
    return {outcome: found.count(outcome) for outcome in set(found)}


@pytest.mark.parametrize("body", UNTELLABLE, ids=("calls", "message", "choices"))
async def test_each_who_asks_for_it_asks_the_engine(body: Any) -> None:
    gate = Says(body)
    gate.open()
    async with caching(gate=gate) as (gateway, engine):
        for _ in range(2):
            reply = await ask(gateway, ASKED, MESSAGES)
            assert (reply.status, reply.json["error"]["type"]) == (502, "api_error")
            assert "x-ringfence-cache" not in reply.head
        assert len(engine.calls) == 2
        assert outcomes(gateway) == {"malformed": 2}
        assert gateway.pipeline.answers.clear() == 0
        engine.always = Behaviour()
        assert [became(await ask(gateway, ASKED, MESSAGES)) for _ in range(2)] == ["miss", "hit"]


@pytest.mark.parametrize("body", [*UNTELLABLE[1:], {"choices": []}, {"choices": None}])
async def test_who_is_told_what_the_engine_says_is_told_it_once(body: Any) -> None:
    """In the dialect of engines it is passed on as it is; nobody else is given it."""
    gate = Says(body)
    gate.open()
    async with caching(gate=gate) as (gateway, engine):
        for _ in range(2):
            await ask(gateway)
        assert len(engine.calls) == 2 and gateway.pipeline.answers.clear() == 0


async def test_all_who_wait_for_it_are_told_and_no_herd_follows() -> None:
    gate = Says(UNTELLABLE[0])
    async with caching(gate=gate) as (gateway, engine):
        clients = await at_once(gateway, 70, ASKED, MESSAGES)  # more than are told in one turn
        gate.open()
        replies = await asyncio.gather(*(client.answer() for client in clients))
        assert {reply.status for reply in replies} == {502}
        assert all(b"has no shape of one" in reply.body for reply in replies)
        assert len(engine.calls) == 1
        assert outcomes(gateway) == {"malformed": 70}
        assert [one.usage.total_tokens > 0 for one in gateway.answered if one.usage is not None].count(True) == 1
        assert gateway.pipeline.answers.clear() == 0 and gateway.pipeline.answers.flights == {}


@pytest.mark.parametrize("first_leaves", [False, True])
async def test_a_stream_ends_for_all_with_an_error_and_is_written_down_as_that(first_leaves: bool) -> None:
    gate = Breaks()
    async with caching(gate=gate) as (gateway, engine):
        clients = await at_once(gateway, 5, ASKED | {"stream": True}, MESSAGES)
        for client in clients:
            assert (await client.head()).status == 200
        if first_leaves:
            clients.pop(0).leave()
            await until(lambda: aboard(gateway) == 4)
        gate.open()
        bodies = [await client._chunks() for client in clients]
        for body in bodies:
            assert b"He" in body and b"jumps" not in body
            last = body.strip().split(b"\n\n")[-1]
            assert last.startswith(b"event: error\n") and b'"api_error"' in last and b"has no shape of one" in last
        await until(lambda: engine.calls[0].client_left_s is not None)
        assert outcomes(gateway) == {"malformed": 1, "engine_failed": 4}
        assert {one.kind.status for one in gateway.answered} == {200}
        assert gateway.pipeline.answers.clear() == 0 and gateway.pipeline.answers.flights == {}
        engine.always = Behaviour()
        again = [await ask(gateway, ASKED | {"stream": True}, MESSAGES) for _ in range(2)]
        assert [became(reply) for reply in again] == ["miss", "hit"]


async def test_nobody_joins_what_was_on_its_way_when_all_was_forgotten() -> None:
    """It may have been made by what is configured no more."""
    gate = Gate()
    async with caching(Caching(), gate) as (gateway, engine):
        (first,) = await at_once(gateway, 1, CHAT, PATH)
        gateway.pipeline.answers.clear("another")
        (second,) = [await gateway.client()]
        await second.send(request(PATH, CHAT))
        await until(lambda: aboard(gateway) == 2)
        gateway.pipeline.answers.clear("default")
        third = await gateway.client()
        await third.send(request(PATH, CHAT))
        await until(lambda: len(engine.calls) == 2)
        gate.open()
        replies = [await client.answer() for client in (first, second, third)]
        assert [became(reply) for reply in replies] == ["miss", "joined", "miss"]
        assert became(await ask(gateway)) == "hit"
        assert len(engine.calls) == 2


async def test_a_machine_that_slept_gives_nothing_that_is_past_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever sets its clock changes nothing."""
    async with caching(Caching(ttl_s=60.0)) as (gateway, _engine):
        answers = gateway.pipeline.answers
        assert became(await ask(gateway)) == "miss"
        real = answers.cache._clock
        monkeypatch.setattr("time.time", lambda: 4e9)
        assert became(await ask(gateway)) == "hit"
        answers.cache._clock = lambda: real() + 59.0
        reply = await ask(gateway)
        assert became(reply) == "hit" and 59 <= int(reply.head["age"]) < 60
        answers.cache._clock = lambda: real() + 60.0
        assert became(await ask(gateway)) == "miss"
