"""Engines that break in every way they can: the caller gets an answer or a clear error, and nothing stays held."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from composed import CHAT, EVENTS, MIB, STREAM, Gateway, event, scripted, target, until

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability, Endpoint
from ringfence.core.identity import Key
from ringfence.egress.pool import Line
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


async def test_a_connection_that_dies_as_it_is_made_is_a_failure_like_any_other(
    gateway: Gateway, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    dial = gateway.pool.dial
    dials: list[Endpoint] = []

    async def dying_once(endpoint: Endpoint) -> Line:
        line = await dial(endpoint)
        dials.append(endpoint)
        if len(dials) == 1:
            line.transport.abort()
            await asyncio.sleep(0)  # until it is closed
        return line

    monkeypatch.setattr(gateway.pool, "dial", dying_once)
    client = await gateway.client()
    assert (await client.ask(body=CHAT)).status == 200
    assert (len(dials), len(engine.calls), retried(gateway)) == (2, 1, ["connect"])
    dials.clear()
    assert (await gateway.pool.fetch(engine.endpoint, "/v1/models")).status == 0
    assert (await gateway.pool.fetch(engine.endpoint, "/v1/models")).status == 200


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
    assert [answered.kind.status for answered in gateway.answered] == [code[0], 200]


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
@pytest.mark.parametrize(
    "behaviour", [Behaviour(Fault.HANG), Behaviour(Fault.SLOW_HEAD, between_s=0.1)], ids=["hang", "slow"]
)
@pytest.mark.timed
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
    async with asyncio.timeout(25):
        assert (await client.ask(body=STREAM)).status == 504
    thinking = (EVENTS + b"\r\n", 0.2, event("late"), b"data: [DONE]\n\n")
    async with scripted(*thinking) as endpoint:
        gateway = await serve(engine=endpoint, timeouts=Timeouts(first_byte_s=5, between_bytes_s=0.1), retries=0)
        client = await gateway.client()
        assert (await client.ask(body=STREAM)).text == "late"


async def test_the_next_target_answers(serve: Serve, engine: FakeEngine) -> None:
    targets = (target("seat/a"), target("seat/b", model="next"))
    async with FakeEngine("llamacpp") as other:
        gateway = await serve(targets=targets, retries=0)
        gateway.seats.elsewhere["seat/b"] = other.endpoint
        engine.always = Behaviour(Fault.DROP)
        client = await gateway.client()
        for _ in range(4):
            reply = await client.ask(body=CHAT)
            assert (reply.status, reply.head["x-ringfence-target"]) == (200, "seat/b")
        assert len(engine.calls) == 3  # after three failures in a row it is set aside


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


@pytest.mark.parametrize(
    "first", [b'data: {"error": {"message": "out of memory"}}\n\n', b'error: {"message": "oom"}\n\n']
)
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
        async with asyncio.timeout(25):
            reply = await client.ask(body=CHAT)
        assert (reply.status, reply.error["code"]) == (502, "engine_failed")


async def test_a_reminder_to_go_on_and_early_hints_are_skipped(serve: Serve) -> None:
    before = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    answer = before + b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"choices":[]}'
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


# -- odd, but allowed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [4096, None])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
async def test_null_is_as_good_as_absent(serve: Serve, path: str, window: int | None) -> None:
    gateway = await serve(targets=(target(window=window),), key=Key("key_1", "tests", tokens_per_minute=100_000))
    client = await gateway.client()
    nulls = dict.fromkeys(
        ("max_tokens", "max_completion_tokens", "stream_options", "stream", "temperature", "tools", "n")
    )
    asked: dict[str, Any] = CHAT if "chat" in path else {"model": "fast", "prompt": "hi", "input": "hi"}
    reply = await client.ask(path, asked | nulls)
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
