"""Engines that break in every way they can: the caller gets an answer or a clear error, and nothing stays held."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from composed import CHAT, MIB, STREAM, Gateway, request, target, until

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint
from ringfence.core.identity import Key
from ringfence.gateway.relay import Timeouts
from ringfence.telemetry.events import Retried
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault
from ringfence.testing.fault_proxy import FaultProxy, Trouble

Serve = Callable[..., Any]
QUICK = Timeouts(first_byte_s=0.15, between_bytes_s=0.15, answer_s=0.15)
SAID = "The quick brown fox jumps."


def retried(gateway: Gateway) -> list[str]:
    gateway.events.flush()
    return [event.reason for event in gateway.happened if type(event) is Retried]


@asynccontextmanager
async def scripted(*pieces: bytes | float, then_close: bool = True) -> AsyncIterator[Endpoint]:
    """An engine that reads a request and says exactly these bytes; a number is a pause in seconds."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
                for piece in pieces:
                    if isinstance(piece, bytes):
                        writer.write(piece)
                    else:
                        await asyncio.sleep(piece)
                if then_close:
                    break
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], Boundary.HOST)
    finally:
        server.close()


def event(text: str, **more: Any) -> bytes:
    return b"data: " + json.dumps({"model": "m", "choices": [{"index": 0, "delta": {"content": text}}]} | more).encode() + b"\n\n"


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


# -- before the first byte --------------------------------------------------------------------------------------


BREAKS = {
    "reset": Behaviour(Fault.RESET, after_events=0),
    "drop": Behaviour(Fault.DROP),
    "garbage": Behaviour(Fault.GARBAGE),
    "500": Behaviour(Fault.STATUS, status=500),
    "503": Behaviour(Fault.STATUS, status=503),
    "429": Behaviour(Fault.STATUS, status=429),
}


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("name", BREAKS)
async def test_one_failure_is_retried_without_a_trace(
    gateway: Gateway, engine: FakeEngine, name: str, body: dict[str, Any]
) -> None:
    engine.once(BREAKS[name])
    client = await gateway.client()
    reply = await client.ask(body=body)
    assert reply.status == 200
    assert (reply.text if body is STREAM else reply.json["choices"][0]["message"]["content"]) == SAID
    assert len(engine.calls) == 2
    assert len(retried(gateway)) == 1


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("name", BREAKS)
async def test_when_every_try_fails_the_error_is_clean(
    gateway: Gateway, engine: FakeEngine, name: str, body: dict[str, Any]
) -> None:
    engine.always = BREAKS[name]
    client = await gateway.client()
    reply = await client.ask(body=body)
    code = {"429": (503, "overloaded"), "503": (503, "overloaded")}.get(name, (502, "engine_failed"))
    assert (reply.status, reply.error["code"]) == code
    assert len(engine.calls) == 3
    if name in ("429", "503", "reset", "drop"):
        assert int(reply.head["retry-after"]) >= 1
    engine.always = Behaviour()
    assert (await client.ask(body=body)).status == 200  # on the same connection
    assert [answered.status for answered in gateway.answered] == [code[0], 200]


@pytest.mark.parametrize("fault", [Fault.BAD_JSON, Fault.CUT, Fault.RESET])
async def test_an_answer_that_is_not_whole_is_retried(gateway: Gateway, engine: FakeEngine, fault: Fault) -> None:
    engine.once(Behaviour(fault))
    client = await gateway.client()
    reply = await client.ask(body=CHAT)
    assert reply.json["choices"][0]["message"]["content"] == SAID
    engine.always = Behaviour(fault)
    reply = await client.ask(body=CHAT)
    assert (reply.status, reply.error["code"]) == (502, "engine_failed")


async def test_nothing_listens(serve: Serve) -> None:
    gateway = await serve(engine=Endpoint("127.0.0.1", 9, Boundary.HOST))
    client = await gateway.client()
    reply = await client.ask(body=CHAT)
    assert (reply.status, reply.error["code"], reply.head["retry-after"]) == (502, "engine_failed", "2")
    assert gateway.seats.failures == [("seat/fast", "connect")] * 3


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("behaviour", [Behaviour(Fault.HANG), Behaviour(Fault.SLOW_HEAD, between_s=0.1)], ids=["hang", "slow"])
async def test_an_engine_that_says_nothing_is_given_up(
    serve: Serve, engine: FakeEngine, behaviour: Behaviour, body: dict[str, Any]
) -> None:
    gateway = await serve(timeouts=QUICK, retries=0)
    engine.always = behaviour
    client = await gateway.client()
    began = time.monotonic()
    reply = await client.ask(body=body)
    assert (reply.status, reply.error["code"]) == (504, "engine_timeout")
    assert time.monotonic() - began < 0.15 + 0.2
    await until(lambda: engine.calls[0].client_left_s is not None)


async def test_a_head_is_not_the_first_byte(serve: Serve, engine: FakeEngine) -> None:
    """Some engines send their head at once and then think: they have `first_byte_s` for it, no less and no more."""
    engine.always = Behaviour(Fault.STALL, after_events=0)
    gateway = await serve(timeouts=Timeouts(first_byte_s=0.15, between_bytes_s=30), retries=0)
    client = await gateway.client()
    async with asyncio.timeout(2):
        assert (await client.ask(body=STREAM)).status == 504
    thinking = (EVENTS + b"\r\n", 0.2, event("late"), b"data: [DONE]\n\n")
    async with scripted(*thinking) as endpoint:
        gateway = await serve(engine=endpoint, timeouts=Timeouts(first_byte_s=5, between_bytes_s=0.1), retries=0)
        client = await gateway.client()
        assert (await client.ask(body=STREAM)).text == "late"


async def test_the_next_target_answers(serve: Serve, engine: FakeEngine) -> None:
    targets = (target("seat/a"), target("seat/b"))
    async with FakeEngine("llamacpp") as other:
        gateway = await serve(targets=targets, retries=0)
        gateway.seats.elsewhere["seat/b"] = other.endpoint
        engine.always = Behaviour(Fault.DROP)
        client = await gateway.client()
        for _ in range(4):
            reply = await client.ask(body=CHAT)
            assert (reply.status, reply.head["x-ringfence-target"]) == (200, "seat/b")
        assert len(engine.calls) == 3  # after three failures in a row it cools down


async def test_tries_within_do_not_count_against_the_caller(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve(key=Key("key_1", "tests", requests_per_minute=2, tokens_per_minute=100_000))
    engine.once(Behaviour(Fault.DROP), Behaviour(Fault.DROP))
    client = await gateway.client()
    reply = await client.ask(body=CHAT)
    assert (reply.status, reply.head["x-ratelimit-remaining-requests"]) == (200, "1")
    assert (await client.ask(body=CHAT)).status == 200
    reply = await client.ask(body=CHAT)
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
    assert int(reply.head["retry-after"]) >= 1
    assert reply.head["x-ratelimit-limit-requests"] == "2"


async def test_an_idle_connection_that_died_is_replaced_unseen(gateway: Gateway, engine: FakeEngine) -> None:
    client = await gateway.client()
    assert (await client.ask(body=CHAT)).status == 200
    port = engine.port
    await engine.stop()
    await engine.start(port)
    assert (await client.ask(body=CHAT)).status == 200
    engine.once(Behaviour(Fault.DROP))  # as if it had closed in the very moment of the request
    assert (await client.ask(body=CHAT)).status == 200
    assert retried(gateway) == []


@pytest.mark.parametrize("trouble", [Trouble.REFUSE, Trouble.RESET, Trouble.CUT])
async def test_a_broken_network_is_retried(serve: Serve, engine: FakeEngine, trouble: Trouble) -> None:
    async with FaultProxy(engine.port) as proxy:
        gateway = await serve(engine=Endpoint("127.0.0.1", proxy.port, Boundary.HOST))
        client = await gateway.client()
        assert (await client.ask(body=CHAT)).status == 200
        for after in (0, 40):
            proxy.make(trouble, after_bytes=after)
            reply = await client.ask(body=CHAT)
            assert (reply.status, reply.error["code"]) == (502, "engine_failed")
        proxy.make(Trouble.NONE)
        assert (await client.ask(body=CHAT)).status == 200


# -- answers that are errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["llamacpp", "vllm"])
async def test_an_overflow_is_told_in_words_that_clients_know(serve: Serve, kind: str, body: dict[str, Any]) -> None:
    async with FakeEngine(kind, (FakeModel(window=16),)) as engine:
        gateway = await serve(engine=engine.endpoint, targets=(target(engine=kind, window=None),))
        client = await gateway.client()
        long = [{"role": "user", "content": "word " * 40}]
        reply = await client.ask(body=body | {"messages": long})
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        assert "maximum context length is 16 tokens" in reply.error["message"]
        assert len(engine.calls) == 1


@pytest.mark.parametrize(("status", "told"), [(400, 400), (404, 404), (422, 400)])
async def test_the_engines_own_refusal_is_passed_on_and_not_retried(
    gateway: Gateway, engine: FakeEngine, status: int, told: int
) -> None:
    engine.once(Behaviour(Fault.STATUS, status=status, body={"error": {"message": "no such thing", "code": "odd"}}))
    client = await gateway.client()
    reply = await client.ask(body=CHAT)
    assert (reply.status, reply.error["message"], reply.error["code"]) == (told, "no such thing", "odd")
    assert len(engine.calls) == 1


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_redirect_is_never_followed(serve: Serve, status: int) -> None:
    async with FakeEngine() as elsewhere:
        where = f"location: http://127.0.0.1:{elsewhere.port}/\r\n".encode()
        async with scripted(b"HTTP/1.1 %d Moved\r\n%bcontent-length: 0\r\n\r\n" % (status, where)) as endpoint:
            gateway = await serve(engine=endpoint)
            client = await gateway.client()
            assert (await client.ask(body=CHAT)).status == 502
            assert elsewhere.connections == 0


@pytest.mark.parametrize("first", [b'data: {"error": {"message": "out of memory"}}\n\n', b'error: {"message": "oom"}\n\n'])
async def test_an_error_as_the_first_event_is_an_error(serve: Serve, first: bytes) -> None:
    async with scripted(EVENTS + b"\r\n" + first + b"data: [DONE]\n\n") as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert (reply.status, reply.error["code"]) == (502, "engine_failed")
        assert len(retried(gateway)) == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nxxxxx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n[1]",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_an_answer_is_a_502(serve: Serve, answer: bytes) -> None:
    async with scripted(answer, then_close=False) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        async with asyncio.timeout(3):
            reply = await client.ask(body=CHAT)
        assert (reply.status, reply.error["code"]) == (502, "engine_failed")


async def test_a_reminder_to_go_on_and_early_hints_are_skipped(serve: Serve) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    async with scripted(answer) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=CHAT)
        assert (reply.status, reply.json["model"]) == (200, "fast")
        assert gateway.answered[0].usage is not None
        assert gateway.answered[0].usage.estimated


async def test_an_answer_may_end_with_the_connection(serve: Serve) -> None:
    """As engines that speak HTTP/1.0 do; half of one is not JSON, and so is not taken for whole."""
    head = b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n"
    for body, status in ((b'{"choices": []}', 200), (b'{"choices": [', 502)):
        async with scripted(head + body) as endpoint:
            gateway = await serve(engine=endpoint)
            client = await gateway.client()
            assert (await client.ask(body=CHAT)).status == status


async def test_an_endless_answer_is_cut_off(serve: Serve) -> None:
    async with FakeEngine() as engine:
        engine.always = Behaviour(Fault.OVERSIZED, oversized_bytes=65 * MIB)
        gateway = await serve(engine=engine.endpoint, retries=0)
        client = await gateway.client()
        reply = await client.ask(body=CHAT)
        assert (reply.status, reply.error["code"]) == (502, "engine_failed")


# -- in the middle of a stream ----------------------------------------------------------------------------------


MIDDLE = {
    "stall": (Behaviour(Fault.STALL), "engine_timeout"),
    "cut": (Behaviour(Fault.CUT), "engine_failed"),
    "reset": (Behaviour(Fault.RESET), "engine_failed"),
    "endless event": (Behaviour(Fault.OVERSIZED, oversized_bytes=17 * MIB), "engine_failed"),
}


@pytest.mark.parametrize("name", MIDDLE)
async def test_a_stream_that_breaks_ends_with_an_error_event(serve: Serve, engine: FakeEngine, name: str) -> None:
    behaviour, code = MIDDLE[name]
    gateway = await serve(timeouts=QUICK if name == "stall" else Timeouts())
    engine.once(behaviour)
    client = await gateway.client()
    reply = await client.ask(body=STREAM)
    assert (reply.status, reply.is_whole) == (200, True)
    assert json.loads(reply.events[-1])["error"]["code"] == code
    assert "[DONE]" not in reply.events
    assert len(engine.calls) == 1  # nothing is retried any more
    assert (await client.ask(body=STREAM)).text == SAID  # the connection goes on
    outcome, usage = gateway.answered[0].outcome, gateway.answered[0].usage
    assert outcome in ("stalled", "lost", "malformed")
    assert usage is not None
    assert usage.estimated


async def test_rubbish_between_events_does_not_hurt(gateway: Gateway, engine: FakeEngine) -> None:
    engine.once(Behaviour(Fault.BAD_SSE))
    client = await gateway.client()
    reply = await client.ask(body=STREAM)
    assert reply.is_whole
    assert reply.events[-1] == "[DONE]"


async def test_a_first_event_that_is_no_json(serve: Serve) -> None:
    async with scripted(EVENTS + b"\r\ndata: {nothing\n\n") as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert reply.is_whole
        assert json.loads(reply.events[-1])["error"]["code"] == "engine_failed"


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


async def test_an_error_event_in_the_middle_is_passed_on(serve: Serve) -> None:
    middle = event("half") + b'data: {"error": {"message": "out of memory"}}\n\n'
    async with scripted(EVENTS + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(middle), middle)) as endpoint:
        gateway = await serve(engine=endpoint)
        client = await gateway.client()
        reply = await client.ask(body=STREAM)
        assert json.loads(reply.events[1])["error"]["message"] == "out of memory"
        assert gateway.answered[0].outcome == "engine_error"


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
    body = event("one") + event("two") + done
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
    assert [(answered.status, answered.outcome) for answered in gateway.answered] == [(499, "client_gone")]


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
    gateway = await serve(targets=(target(slots=1),), queue=1, wait_s=0.1)
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
        gateway = await serve(engine=engine.endpoint, timeouts=Timeouts(between_bytes_s=0.1))
        client = await gateway.client()
        await client.send(request(body=STREAM | {"max_tokens": 1500}))
        client.writer.transport.pause_reading()
        await until(lambda: gateway.server.connections and next(iter(gateway.server.connections))._writing_since < 1e9)
        (connection,) = gateway.server.connections
        await asyncio.sleep(0.2)
        await asyncio.sleep(0.2)
        assert connection.transport.get_write_buffer_size() < MIB
        assert engine.calls[0].ended_s is None
        client.writer.transport.resume_reading()
        reply = await client.answer()
        assert (len(reply.text), reply.events[-1]) == (1500 * 16_000, "[DONE]")
        assert gateway.answered[0].outcome == "ok"


# -- odd, but allowed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [4096, None])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
async def test_null_is_as_good_as_absent(serve: Serve, path: str, window: int | None) -> None:
    gateway = await serve(targets=(target(window=window),), key=Key("key_1", "tests", tokens_per_minute=100_000))
    client = await gateway.client()
    nulls = dict.fromkeys(("max_tokens", "max_completion_tokens", "stream_options", "stream", "temperature", "tools", "n"))
    reply = await client.ask(path, CHAT | {"prompt": "hi", "input": "hi"} | nulls)
    assert reply.status == 200, reply.body


async def test_a_number_that_means_nothing_does_not_move_the_callers_limits(serve: Serve) -> None:
    gateway = await serve(key=Key("key_1", "tests", tokens_per_minute=1000))
    client = await gateway.client()
    for odd in (-(10**15), 10**15):
        await client.ask("/v1/embeddings", {"model": "fast", "input": "hi", "max_tokens": odd})
    left = gateway.rate_limits._allowances["key_1"].tokens_left
    assert 900 < left <= 1000


async def test_names_of_found_models_are_fit_for_headers(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target("engine/模型\r\nx-evil: 1"),))
    client = await gateway.client()
    reply = await client.ask(body=CHAT)
    assert reply.status == 200
    assert "x-evil" not in reply.head


async def test_embeddings_without_generation_still_count(serve: Serve) -> None:
    async with FakeEngine(models=(FakeModel(embeds=True),)) as engine:
        gateway = await serve(engine=engine.endpoint, targets=(target(abilities=frozenset({Ability.EMBEDDINGS})),))
        client = await gateway.client()
        reply = await client.ask("/v1/embeddings", {"model": "fast", "input": ["one two"], "encoding_format": "base64"})
        assert isinstance(reply.json["data"][0]["embedding"], str)
        reply = await client.ask(body=CHAT)
        assert (reply.status, reply.error["code"]) == (400, "model_not_able")
