"""Engines that break in the middle of a stream, and clients that leave one or are slow to read it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from composed import CHAT, EVENTS, MIB, STREAM, Gateway, event, request, scripted, target, until

from ringfence.gateway.relay import Timeouts
from ringfence.telemetry.events import Retried
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

Serve = Callable[..., Any]
SAID = "The quick brown fox jumps."


def retried(gateway: Gateway) -> list[str]:
    gateway.events.flush()
    return [event.reason for event in gateway.happened if type(event) is Retried]


MIDDLE = {
    "stall": (Behaviour(Fault.STALL), "engine_timeout"),
    "cut": (Behaviour(Fault.CUT), "engine_failed"),
    "reset": (Behaviour(Fault.RESET, between_s=0.1), "engine_failed"),
    "endless event": (Behaviour(Fault.OVERSIZED, oversized_bytes=17 * MIB), "engine_failed"),
}


@pytest.mark.parametrize("name", MIDDLE)
async def test_a_stream_that_breaks_ends_with_an_error_event(serve: Serve, engine: FakeEngine, name: str) -> None:
    behaviour, code = MIDDLE[name]
    gateway = await serve(timeouts=Timeouts(between_bytes_s=0.15 if name == "stall" else 60))
    engine.once(behaviour)
    client = await gateway.client()
    reply = await client.ask(body=STREAM)
    assert (reply.status, reply.is_whole) == (200, True)
    assert json.loads(reply.events[-1])["error"]["code"] == code
    assert "[DONE]" not in reply.events
    assert len(engine.calls) == 1  # nothing is retried any more
    assert (await client.ask(body=STREAM)).text == SAID  # the connection goes on
    outcome, usage = gateway.answered[0].kind.outcome, gateway.answered[0].usage
    assert outcome in ("stalled", "lost", "malformed")
    assert usage is not None
    assert usage.estimated


async def test_rubbish_between_events_is_not_passed_on(gateway: Gateway, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.BAD_SSE, between_s=0.2))
    client = await gateway.client()
    reply = await client.ask(body=STREAM)
    assert reply.is_whole
    assert json.loads(reply.events[-1])["error"]["code"] == "engine_failed"
    assert "no field" not in reply.body.decode()
    assert gateway.answered[0].kind.outcome == "malformed"


async def test_a_first_event_that_is_no_json_is_for_the_next_to_mend(serve: Serve) -> None:
    async with scripted(EVENTS + b"\r\ndata: {nothing\n\n") as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert (reply.status, reply.error["code"]) == (502, "engine_failed")
        assert retried(gateway) == ["malformed"] * 3


async def test_a_stream_that_just_ends_is_not_taken_for_whole(serve: Serve) -> None:
    """Without chunks the end of a connection is all there is: only [DONE] tells an end from a crash."""
    async with scripted(EVENTS + b"\r\n" + event("half"), 0.01) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert json.loads(reply.events[-1])["error"]["code"] == "engine_failed"
    async with scripted(EVENTS + b"\r\n" + event("whole") + b"data: [DONE]\n\n", 0.01) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert (reply.text, reply.events[-1]) == ("whole", "[DONE]")


async def test_an_error_event_in_the_middle_becomes_ours(serve: Serve) -> None:
    async with scripted(
        EVENTS + b"\r\n" + event("half"), 0.02, b'data: {"error": {"message": "out of memory"}}\n\n'
    ) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        error = json.loads(reply.events[1])["error"]
        assert error == {
            "message": "The engine failed with status 500. It said: out of memory", "type": "api_error", "param": None,
            "code": "engine_failed",
        }  # fmt: skip
        assert gateway.answered[0].kind.outcome == "engine_error"


@pytest.mark.parametrize("wants_usage", [False, True], ids=["no usage", "usage"])
@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(newline=b"\r\n"), Behaviour(byte_by_byte=True), Behaviour(newline=b"\r\n", byte_by_byte=True)],
    ids=["crlf", "bytes", "both"],
)
async def test_events_may_come_in_any_shape(
    gateway: Gateway, engine: FakeEngine, behaviour: Behaviour, wants_usage: bool
) -> None:
    client = await gateway.client()
    asked = STREAM | {"stream_options": {"include_usage": wants_usage}}
    plain = await client.ask(body=asked)
    engine.once(behaviour)
    shaped = await client.ask(body=asked)
    assert shaped.body == plain.body
    assert ('"usage"' in plain.body.decode()) is wants_usage
    assert {json.loads(found)["model"] for found in shaped.events[:-1]} == {"fast"}
    assert [answered.usage.completion_tokens for answered in gateway.answered if answered.usage] == [6, 6]


@pytest.mark.parametrize("wants_usage", [False, True], ids=["not asked for", "asked for"])
@pytest.mark.parametrize("done", [b"", b"data: [DONE]\n\n"], ids=["no end", "end"])
async def test_usage_that_the_engine_does_not_tell_is_estimated(serve: Serve, done: bytes, wants_usage: bool) -> None:
    last = {"index": 0, "delta": {"content": "two"}, "finish_reason": "stop"}  # which says that it is whole
    body = event("one") + event("two", choices=[last]) + done
    framed = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with scripted(EVENTS + framed) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM | {"stream_options": {"include_usage": wants_usage}})
        assert reply.events[-1] == "[DONE]"
        assert (reply.text, reply.events.count("[DONE]")) == ("onetwo", 1)
        (answered,) = gateway.answered
        assert answered.usage is not None
        assert (answered.usage.completion_tokens, answered.usage.estimated) == (2, True)
        told = [json.loads(found)["usage"] for found in reply.events[:-1] if "usage" in json.loads(found)]
        assert [each["completion_tokens"] for each in told] == ([2] if wants_usage else [])


async def test_the_engines_name_for_the_model_never_shows(serve: Serve) -> None:
    """Also where an event had to be written anew, because it carried a usage nobody asked for."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    body = event("one", model="secret/name") + event("two", model="secret/name", usage=usage) + b"data: [DONE]\n\n"
    async with scripted(EVENTS + b"\r\n" + body) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert reply.text == "onetwo"
        assert b"secret" not in reply.body
        assert b"usage" not in reply.body
        assert gateway.answered[0].usage is not None
        assert gateway.answered[0].usage.completion_tokens == 2


# -- clients that leave or are slow -----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("behaviour", [Behaviour(Fault.HANG), Behaviour(Fault.STALL)], ids=["hang", "stall"])
@pytest.mark.timed
async def test_a_client_that_leaves_stops_the_engine(
    gateway: Gateway, engine: FakeEngine, behaviour: Behaviour, body: dict[str, Any]
) -> None:
    engine.once(behaviour)
    client = await gateway.client()
    await client.send(request(body=body))
    if body is STREAM and behaviour.fault is Fault.STALL:
        await client.head()
    await until(lambda: engine.calls)
    left = time.monotonic()
    client.leave()
    await until(lambda: engine.calls[0].client_left_s is not None)
    assert engine.calls[0].client_left_s is not None
    assert engine.calls[0].client_left_s - left < 0.1
    await gateway.assert_at_rest()
    assert [(answered.kind.status, answered.kind.outcome) for answered in gateway.answered] == [(499, "client_gone")]


async def test_a_client_that_leaves_the_queue_gives_its_turn_to_the_next(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(slots=1),))
    engine.once(Behaviour(Fault.HANG))
    clients = [await gateway.client() for _ in range(4)]
    for number, client in enumerate(clients):
        await client.send(request(body=CHAT, head=b"x-request-id: call-%d\r\n" % number))
        await until(lambda number=number: len(gateway.pipeline.running) == number + 1)
    lane = gateway.admission.lanes["seat/fast"]
    assert (lane.running, len(lane.waiting)) == (1, 3)
    clients[1].leave()
    await until(lambda: len(lane.waiting) == 2)
    clients[0].leave()
    for number in (2, 3):
        assert (await clients[number].answer()).head["x-request-id"] == f"call-{number}"
    assert len(engine.calls) == 3
    assert (lane.running, lane.free) == (0, 1)


async def test_the_queue_is_bounded_in_length_and_in_time(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(slots=1),), queue=1, wait_s=1.0)
    engine.always = Behaviour(Fault.HANG)
    first, second, third = [await gateway.client() for _ in range(3)]
    await first.send(request(body=CHAT))
    await until(lambda: engine.calls)
    await second.send(request(body=CHAT))
    await until(lambda: len(gateway.pipeline.running) == 2)
    reply = await third.ask(body=CHAT)
    assert (reply.status, reply.error["code"], reply.head["retry-after"]) == (503, "overloaded", "2")
    reply = await second.answer()
    assert (reply.status, reply.error["code"], reply.head["retry-after"]) == (503, "queue_timeout", "5")
    first.leave()


async def test_a_client_that_leaves_while_a_model_loads(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve()
    gateway.seats.ready = asyncio.Event()
    client = await gateway.client()
    await client.send(request(body=CHAT))
    await until(lambda: gateway.pipeline.running)
    client.leave()
    await gateway.assert_at_rest()
    gateway.seats.ready.set()
    assert (await (await gateway.client()).ask(body=CHAT)).status == 200
    assert len(engine.calls) == 1


async def test_leaving_in_the_moment_the_lease_is_there_gives_it_back(serve: Serve) -> None:
    """The task that made the lease is done, but its call has not been resumed yet."""
    gateway = await serve()
    gateway.seats.ready = asyncio.Event()
    for turns in range(6):
        client = await gateway.client()
        await client.send(request(body=CHAT))
        await until(lambda: gateway.pipeline.running)
        (connection,) = gateway.server.connections
        assert connection.current is not None
        assert connection.current.on_gone is not None
        gateway.seats.ready.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        connection.current.on_gone()
        client.leave()
        await until(lambda: not gateway.server.connections)
        await gateway.assert_at_rest()
        gateway.seats.ready.clear()
    gateway.seats.ready.set()


async def test_a_slow_client_slows_the_engine_and_nobody_is_blamed(serve: Serve) -> None:
    """Longer than an engine may be silent, the client reads nothing: the stream is whole all the same."""
    async with FakeEngine(words=("word" * 4000,) * 2000) as engine:
        gateway = await serve(engine=engine.endpoint, timeouts=Timeouts(between_bytes_s=0.3))
        client = await gateway.client()
        await client.send(request(body=STREAM | {"max_tokens": 1500}))
        client.writer.transport.pause_reading()
        await until(lambda: gateway.server.connections and next(iter(gateway.server.connections))._writing_since < 1e9)
        (connection,) = gateway.server.connections
        until_s = time.monotonic() + 0.5
        await until(lambda: time.monotonic() > until_s)
        assert connection.transport.get_write_buffer_size() < MIB
        assert engine.calls[0].ended_s is None
        client.writer.transport.resume_reading()
        reply = await client.answer()
        assert (len(reply.text), reply.events[-1]) == (1500 * 16_000, "[DONE]")
        assert gateway.answered[0].kind.outcome == "ok"
