"""Targets that fail, are set aside and come back, over real sockets: who is asked, how often, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from composed import CHAT, STREAM, Client, Gateway, Reply, scripted, target

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint, Target, Timeouts
from ringfence.routing.breaker import FAILURES_IN_A_ROW, OPEN_S
from ringfence.routing.health import Health
from ringfence.telemetry.events import Retried, TargetReturned, TargetSetAside
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

Serve = Callable[..., Any]
SAID = "The quick brown fox jumps."
MOST_CALLS = 5
"""Of a target that fails while another serves."""
FIRST_BYTE_S = 0.3
QUICK = Timeouts(first_byte_s=FIRST_BYTE_S, between_bytes_s=0.3, answer_s=FIRST_BYTE_S)
DEAD = Endpoint("127.0.0.1", 9, Boundary.HOST)


def chain(*names: str, **changes: Any) -> tuple[Target, ...]:
    """Targets of different models: their order is that of the chain."""
    return tuple(target(f"seat/{name}", model=name, **changes) for name in names)


def twins(count: int, **changes: Any) -> tuple[Target, ...]:
    return tuple(target(f"seat/{number}", **changes) for number in range(count))


@asynccontextmanager
async def engines(count: int, slots: int = 4) -> AsyncIterator[list[FakeEngine]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(FakeEngine("vllm", slots=slots)) for _ in range(count)]


async def gateway_of(serve: Serve, served: list[FakeEngine], targets: tuple[Target, ...], **told: Any) -> Gateway:
    gateway = await serve(targets=targets, **told)
    gateway.pipeline.health = Health(time.monotonic, emit=gateway.events.emit)
    for one, engine in zip(targets, served, strict=False):
        gateway.seats.elsewhere[one.name] = engine.endpoint
    return gateway


def of(gateway: Gateway, kind: type) -> list[Any]:
    gateway.events.flush()
    return [event for event in gateway.happened if type(event) is kind]


async def asked(gateway: Gateway, body: dict[str, Any], count: int) -> list[Reply]:
    """One after the other, on one connection."""
    client = await gateway.client()
    replies = [await client.ask(body=body) for _ in range(count)]
    client.leave()
    return replies


async def at_once(gateway: Gateway, body: dict[str, Any], count: int) -> list[Reply]:
    async def one() -> Reply:
        [reply] = await asked(gateway, body, 1)
        return reply

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def test_a_target_is_set_aside_after_calls_that_failed_and_not_after_tries_of_one(serve: Serve) -> None:
    """What breaks it may be the call: one such must not take the target from all others."""
    async with engines(1) as served:
        gateway = await gateway_of(serve, served, chain("one"))
        served[0].always = Behaviour(Fault.STATUS, status=500)
        await asked(gateway, CHAT, FAILURES_IN_A_ROW - 1)
        assert len(served[0].calls) == 3 * (FAILURES_IN_A_ROW - 1)
        assert of(gateway, TargetSetAside) == []
        await asked(gateway, CHAT, 1)
        assert len(of(gateway, TargetSetAside)) == 1


# -- failing over -----------------------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("how", ["refused", "reset"])
async def test_failing_over_from_a_dead_connection_adds_little(serve: Serve, how: str, body: dict[str, Any]) -> None:
    async with engines(2) as (first, second):
        gateway = await gateway_of(serve, [first, second], chain("first", "second"))
        client = await gateway.client()
        usual = min([await timed(client, body) for _ in range(5)])
        if how == "refused":
            gateway.seats.elsewhere["seat/first"] = DEAD
        else:
            first.always = Behaviour(Fault.RESET, after_events=0)
        took = []
        for _ in range(FAILURES_IN_A_ROW):
            began = time.monotonic()
            reply = await client.ask(body=body)
            took.append(time.monotonic() - began)
            assert reply.head["x-ringfence-target"] == "seat/second"
        assert max(took) - usual < 0.05, took
        assert [event.reason for event in of(gateway, TargetSetAside)] == ["connect" if how == "refused" else "lost"]


async def timed(client: Client, body: dict[str, Any]) -> float:
    began = time.monotonic()
    assert (await client.ask(body=body)).status == 200
    return time.monotonic() - began


@pytest.mark.timed
@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
async def test_failing_over_from_a_silent_one_takes_its_time_out(serve: Serve, body: dict[str, Any]) -> None:
    async with engines(2) as (first, second):
        own = Timeouts(first_byte_s=FIRST_BYTE_S, answer_s=FIRST_BYTE_S)
        targets = (*chain("first", timeouts=own), *chain("second"))
        gateway = await gateway_of(serve, [first, second], targets)
        first.always = Behaviour(Fault.HANG)
        client = await gateway.client()
        took = await timed(client, body)
        assert FIRST_BYTE_S <= took < FIRST_BYTE_S + 0.2, "its own time-out, not that of all"
        assert [event.reason for event in of(gateway, Retried)] == ["first_byte_timeout"]


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(Fault.DROP),
        Behaviour(Fault.STATUS, status=500),
        Behaviour(Fault.STATUS, status=503),
        Behaviour(Fault.GARBAGE),
        Behaviour(Fault.BAD_JSON),
        Behaviour(Fault.HANG),
    ],
    ids=lambda behaviour: f"{behaviour.fault}{behaviour.status}",
)
async def test_one_that_fails_gets_a_few_calls_of_many_and_none_is_lost(serve: Serve, behaviour: Behaviour) -> None:
    async with engines(2) as (first, second):
        targets = (*chain("first", timeouts=QUICK), *chain("second"))
        gateway = await gateway_of(serve, [first, second], targets)
        first.always = behaviour
        replies = await asked(gateway, CHAT, 150)
        assert {reply.status for reply in replies} == {200}
        assert 1 <= len(first.calls) <= MOST_CALLS
        assert len(second.calls) == 150


@pytest.mark.timed
async def test_many_at_once_learn_from_the_first_ones(serve: Serve) -> None:
    """Who waits for a place at a target that is found silent meanwhile does not go there."""
    slots = 2
    async with engines(2) as (first, second):
        targets = (*chain("first", slots=slots, timeouts=QUICK), *chain("second", slots=32))
        gateway = await gateway_of(serve, [first, second], targets, queue=100)
        first.always = Behaviour(Fault.HANG)
        began = time.monotonic()
        replies = await at_once(gateway, CHAT, 40)
        assert {reply.status for reply in replies} == {200}
        assert len(first.calls) <= slots + FAILURES_IN_A_ROW - 1
        assert time.monotonic() - began < 4 * FIRST_BYTE_S, "two rounds of it, and then nobody waits for it"
        assert "set_aside" in {event.reason for event in of(gateway, Retried)}


async def test_all_but_one_may_die_at_any_time(serve: Serve) -> None:
    async with engines(4) as served:
        gateway = await gateway_of(serve, served, twins(4, slots=8))

        async def die() -> None:
            for engine in served[1:]:
                await asyncio.sleep(0.03)
                await engine.stop()

        async def caller(number: int) -> list[int]:
            client = await gateway.client()
            body = CHAT | {"messages": [{"role": "user", "content": f"question {number}"}]}
            statuses = []
            for _ in range(20):
                statuses.append((await client.ask(body=body)).status)
                await asyncio.sleep(0.005)
            client.leave()
            return statuses

        *statuses, _ = await asyncio.gather(*(caller(number) for number in range(12)), die())
        assert Counter(status for each in statuses for status in each) == {200: 240}
        assert served[0].calls


async def test_what_has_begun_is_not_tried_again(serve: Serve) -> None:
    async with engines(2) as (first, second):
        gateway = await gateway_of(serve, [first, second], chain("first", "second"))
        first.always = Behaviour(Fault.CUT, after_events=2)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert reply.status == 200 and "error" in reply.body.decode()
        assert (len(first.calls), len(second.calls)) == (1, 0)


async def test_one_whose_answers_all_break_off_is_set_aside(serve: Serve) -> None:
    async with engines(2) as (first, second):
        gateway = await gateway_of(serve, [first, second], chain("first", "second"))
        first.always = Behaviour(Fault.CUT, after_events=2)
        await asked(gateway, STREAM, 40)
        assert len(first.calls) <= MOST_CALLS
        assert len(second.calls) == 40 - len(first.calls)


async def test_a_request_that_is_at_fault_itself_says_nothing_of_its_target(serve: Serve) -> None:
    async with engines(2) as (first, second):
        gateway = await gateway_of(serve, [first, second], chain("first", "second"))
        first.always = Behaviour(Fault.STATUS, status=400, body={"error": {"message": "no", "code": "odd"}})
        assert {reply.status for reply in await asked(gateway, CHAT, 20)} == {400}
        assert gateway.pipeline.health.is_plain(gateway.targets[0])
        assert second.calls == []


# -- coming back ------------------------------------------------------------------------------------------------------


@pytest.mark.timed
@pytest.mark.parametrize("fault", [Fault.DROP, Fault.HANG])
async def test_one_that_has_returned_is_used_again_soon(serve: Serve, fault: Fault) -> None:
    async with engines(2) as (first, second):
        gateway = await gateway_of(serve, [first, second], chain("first", "second"), timeouts=QUICK)
        first.always = Behaviour(fault)
        client = await gateway.client()
        until = time.monotonic() + 2.5  # past the first probes
        while time.monotonic() < until:
            assert (await client.ask(body=CHAT)).status == 200
            await asyncio.sleep(0.02)
        assert len(first.calls) <= MOST_CALLS
        first.always = Behaviour()
        returned = time.monotonic()
        while (await client.ask(body=CHAT)).head["x-ringfence-target"] != "seat/first":
            await asyncio.sleep(0.05)
            assert time.monotonic() - returned < 10
        gateway.events.flush()
        assert [type(event) for event in gateway.happened if type(event) in (TargetSetAside, TargetReturned)] == [
            TargetSetAside, TargetReturned
        ]  # fmt: skip


async def test_one_call_at_a_time_finds_out_whether_it_answers_again(serve: Serve) -> None:
    async with engines(2) as (first, second):
        gateway = await gateway_of(serve, [first, second], chain("first", "second"), timeouts=QUICK)
        now = [1000.0]
        gateway.pipeline.health = Health(lambda: now[0])
        first.always = Behaviour(Fault.HANG)
        await asked(gateway, CHAT, FAILURES_IN_A_ROW)
        now[0] += OPEN_S[0]
        replies = await at_once(gateway, CHAT, 20)
        assert {reply.status for reply in replies} == {200}
        assert len(first.calls) == FAILURES_IN_A_ROW + 1


async def test_a_probe_that_is_called_off_leaves_the_place_to_another(serve: Serve) -> None:
    async with engines(2) as (first, second):
        gateway = await gateway_of(serve, [first, second], chain("first", "second"))
        now = [1000.0]
        health = gateway.pipeline.health = Health(lambda: now[0])
        for _ in range(FAILURES_IN_A_ROW):
            health.record(gateway.targets[0], "status")
        now[0] += OPEN_S[0]
        first.once(Behaviour(Fault.HANG))
        client = await gateway.client()
        leaving = asyncio.create_task(client.ask(body=CHAT))
        while not first.calls:
            await asyncio.sleep(0.01)
        assert not health.is_usable(gateway.targets[0])
        leaving.cancel()
        client.leave()
        await gateway.assert_at_rest()
        assert health.is_usable(gateway.targets[0])


# -- when it is the only one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_the_only_one_is_tried_however_often_it_fails(serve: Serve, status: int) -> None:
    async with engines(1) as served:
        gateway = await gateway_of(serve, served, chain("only"), retries=0)
        served[0].always = Behaviour(Fault.STATUS, status=status)
        await asked(gateway, CHAT, 6)
        assert len(served[0].calls) == 6
        served[0].always = Behaviour()
        assert [reply.status for reply in await asked(gateway, CHAT, 1)] == [200]


@pytest.mark.timed
async def test_nobody_waits_long_for_the_only_one_while_it_is_silent(serve: Serve) -> None:
    async with engines(1) as served:
        gateway = await gateway_of(serve, served, chain("only"), retries=0, timeouts=QUICK)
        now = [1000.0]
        gateway.pipeline.health = Health(lambda: now[0])
        served[0].always = Behaviour(Fault.HANG)
        assert [reply.status for reply in await asked(gateway, CHAT, FAILURES_IN_A_ROW)] == [504] * FAILURES_IN_A_ROW
        began = time.monotonic()
        for reply in await asked(gateway, CHAT, 5):
            assert (reply.status, reply.error["code"]) == (503, "target_unavailable")
            assert reply.head["retry-after"] == "1"
        assert time.monotonic() - began < FIRST_BYTE_S
        assert len(served[0].calls) == FAILURES_IN_A_ROW
        now[0] += OPEN_S[0]
        statuses = Counter(reply.status for reply in await at_once(gateway, CHAT, 6))
        assert statuses == {504: 1, 503: 5}, "one of them found out"


# -- how often, and how long ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("with_body", [True, False])
async def test_one_that_says_when_to_come_again_is_left_alone_until_then(
    serve: Serve, engine: FakeEngine, status: int, with_body: bool
) -> None:
    body = b'{"error": {"message": "busy"}}' if with_body else b""
    busy = b"HTTP/1.1 %d Busy\r\nRetry-After: 7\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
    async with scripted(busy) as endpoint:
        gateway = await serve(targets=chain("first", "second"))
        gateway.seats.elsewhere["seat/first"] = endpoint
        now = [1000.0]
        health = gateway.pipeline.health = Health(lambda: now[0])
        assert [r.head["x-ringfence-target"] for r in await asked(gateway, CHAT, 5)] == ["seat/second"] * 5
        assert health.set_aside_s(gateway.targets[0]) == 7.0
        assert [event.target for event in of(gateway, Retried)] == ["seat/first"], "it was asked once"
        gateway = await serve(engine=endpoint)
        [reply] = await asked(gateway, CHAT, 1)
        assert (reply.status, reply.error["code"], reply.head["retry-after"]) == (503, "overloaded", "7")
        assert len(of(gateway, Retried)) == 1, "the same one is not asked again by the same call"


@pytest.mark.timed
async def test_no_further_try_begins_after_the_time_for_tries(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve(retries=10, timeouts=QUICK)
    gateway.pipeline.settings.retry_within_s = 0.5 * FIRST_BYTE_S
    engine.always = Behaviour(Fault.HANG)
    began = time.monotonic()
    [reply] = await asked(gateway, CHAT, 1)
    assert (reply.status, len(engine.calls)) == (504, 2), "the second began in time, and the third would not have"
    assert time.monotonic() - began < 2 * FIRST_BYTE_S + 0.3


async def test_between_tries_at_the_same_target_is_a_pause(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve()
    engine.once(Behaviour(Fault.DROP), Behaviour(Fault.DROP))
    assert [reply.status for reply in await asked(gateway, CHAT, 1)] == [200]
    first, second, third = (call.began_s for call in engine.calls)
    assert second - first >= 0.025 and third - second >= 0.05


# -- balance ----------------------------------------------------------------------------------------------------------


async def test_a_conversation_stays_while_many_are_spread(serve: Serve) -> None:
    conversations, turns, served_by = 200, 10, 3
    async with engines(served_by) as served:
        gateway = await gateway_of(serve, served, twins(served_by, slots=64, window=100_000))
        places: dict[int, list[str]] = {}

        async def talk(number: int) -> None:
            client = await gateway.client()
            messages: list[dict[str, Any]] = [
                {"role": "system", "content": "You are a terse assistant."},
                {"role": "user", "content": f"Conversation {number} begins."},
            ]
            for turn in range(turns):
                reply = await client.ask(body={"model": "fast", "messages": messages})
                places.setdefault(number, []).append(reply.head["x-ringfence-target"])
                said = reply.json["choices"][0]["message"]["content"]
                messages += [{"role": "assistant", "content": said}, {"role": "user", "content": f"And turn {turn}?"}]
            client.leave()

        for begin in range(0, conversations, 25):
            await asyncio.gather(*(talk(number) for number in range(begin, begin + 25)))
        assert all(len(set(seen)) == 1 and len(seen) == turns for seen in places.values())
        share = Counter(seen[0] for seen in places.values())
        assert len(share) == served_by
        assert max(share.values()) <= 0.45 * conversations, share


async def test_a_busy_one_gives_way_to_the_least_busy(serve: Serve) -> None:
    async with engines(3) as served:
        gateway = await gateway_of(serve, served, twins(3, slots=2))
        slow = Behaviour(Fault.SLOW_HEAD, between_s=0.05)
        for engine in served:
            engine.always = slow
        replies = await at_once(gateway, CHAT, 6)  # all with the same text
        assert Counter(reply.head["x-ringfence-target"] for reply in replies) == {
            "seat/0": 2, "seat/1": 2, "seat/2": 2
        }  # fmt: skip
