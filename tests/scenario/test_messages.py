"""Anthropic's dialect through the whole gateway: the same fences, errors in its own shape, tokens that are counted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from composed import EVENTS, Gateway, Reply, event, request, scripted, target
from parked_inside import ASYNC, Waiting

from ringfence.core.boundary import Boundary
from ringfence.core.identity import Key
from ringfence.core.route import Profile
from ringfence.testing.fake_engine import FakeEngine

ASKED: dict[str, Any] = {"model": "fast", "max_tokens": 16, "messages": [{"role": "user", "content": "hello there"}]}
COUNT = "/v1/messages/count_tokens"
RENTED = target("rented/far", provider="far", boundary=Boundary.CLOUD, engine="")


async def asked(gateway: Gateway, body: Any = None, path: str = "/v1/messages", **more: Any) -> Reply:
    client = await gateway.client()
    reply = await client.ask(path, ASKED if body is None else body, **more)
    client.leave()
    return reply


def refused(reply: Reply) -> tuple[int, str, str]:
    """Status, type and code, in Anthropic's shape."""
    told = reply.json
    assert (told["type"], set(told)) == ("error", {"type", "error", "request_id"})
    assert reply.head["request-id"] == told["request_id"]
    return reply.status, told["error"]["type"], told["error"]["details"]["error_code"]


@pytest.mark.parametrize("path", ["/v1/messages", "/messages", "/anthropic/v1/messages", "/v1/messages?beta=true"])
async def test_every_path(gateway: Gateway, engine: FakeEngine, path: str) -> None:
    reply = await asked(gateway, path=path)
    assert (reply.status, reply.json["content"][0]["text"]) == (200, "The quick brown fox jumps.")
    assert (engine.requests[-1].path, reply.head["x-ringfence-window"]) == ("/v1/chat/completions", "fit")
    (answered,) = gateway.answered
    assert (answered.kind.dialect, answered.kind.outcome) == ("messages", "ok")


async def test_errors_have_its_shape_with_no_header_that_says_so(gateway: Gateway) -> None:
    assert refused(await asked(gateway, ASKED | {"model": "none"})) == (404, "not_found_error", "model_not_found")
    assert refused(await asked(gateway, ASKED | {"messages": []})) == (400, "invalid_request_error", "invalid_type")
    assert refused(await asked(gateway, b"{", COUNT)) == (400, "invalid_request_error", "invalid_json")
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    assert (await asked(gateway, ASKED | {"metadata": {"user_id": deep}})).status == 400
    wrong = await asked(gateway, secret=b"sk-wrong")
    assert (wrong.status, wrong.json["error"]["type"]) == (401, "authentication_error")
    assert (await asked(gateway, path=COUNT, method="GET")).head["allow"] == "POST"
    batches = await asked(gateway, {"requests": []}, "/v1/messages/batches")
    assert (batches.status, batches.json["error"]["type"]) == (404, "not_found_error")
    assert "/v1/batches" in batches.json["error"]["message"]


async def test_a_text_that_may_not_leave_is_not_permitted(serve: Any) -> None:
    gateway = await serve(targets=(RENTED,), profile=Profile("default", Boundary.HOST))
    for path in ("/v1/messages", COUNT):
        assert refused(await asked(gateway, path=path)) == (403, "permission_error", "boundary_refused")


async def test_it_is_fitted_as_a_chat_is(serve: Any, engine: FakeEngine) -> None:
    gateway = await serve(targets=(target(window=512),))
    turns = [{"role": role, "content": f"line {n}. " * 60} for n in range(4) for role in ("user", "assistant")]
    body = ASKED | {"system": [{"type": "text", "text": "Be kind."}], "messages": [*turns, ASKED["messages"][0]]}
    reply = await asked(gateway, body | {"max_tokens": 4000})
    assert reply.status == 200 and reply.head["x-ringfence-window"] != "fit"
    sent = engine.requests[-1].body
    assert sent["messages"][-1] == ASKED["messages"][0] and len(sent["messages"]) < len(turns)


async def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_look_for(serve: Any) -> None:
    gateway = await serve(targets=(target(window=512),))
    tools = [{"name": "t", "description": "word " * 4000, "input_schema": {"type": "object"}}]
    reply = await asked(gateway, ASKED | {"tools": tools})
    assert refused(reply)[1:] == ("invalid_request_error", "context_length_exceeded")
    assert reply.json["error"]["message"].startswith("prompt is too long")


async def test_a_stream_that_breaks_ends_with_an_error(serve: Any) -> None:
    pieces = (EVENTS + b"connection: close\r\n\r\n", event("He"), b": working\n\n", event("llo"))
    async with scripted(*pieces) as endpoint:
        gateway = await serve(engine=endpoint)
        reply = await asked(gateway, ASKED | {"stream": True})
    told = [json.loads(block.partition("\ndata: ")[2]) for block in reply.body.decode().split("\n\n")[:-1]]
    assert [one["type"] for one in told] == [
        "message_start", "content_block_start", "content_block_delta", "ping", "content_block_delta", "error",
    ]  # fmt: skip
    assert told[-1]["error"]["type"] == "api_error"


ODD = {"index": 0, "delta": {"tool_calls": [None], "content": ["x"]}, "finish_reason": None}


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses", "/api/chat"])
async def test_what_has_no_shape_of_an_answer_is_the_engines_fault_and_holds_nothing(serve: Any, path: str) -> None:
    """`serve` sees to it that everything was given back."""
    body = {"model": "fast", "input": "hello there"} if path == "/v1/responses" else ASKED
    data = json.dumps({"choices": [{"message": {"content": "x", "tool_calls": [None]}}]}).encode()
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)
    async with scripted(whole) as endpoint:
        gateway = await serve(engine=endpoint)
        assert (await asked(gateway, body | {"stream": False}, path)).status == 502
        await gateway.assert_at_rest()
    end = b"data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": ["stop"]}]}).encode() + b"\n\n"
    for odd in (b"data: " + json.dumps({"choices": [ODD]}).encode() + b"\n\n", end):
        async with scripted(EVENTS + b"connection: close\r\n\r\n", event("He"), 0.01, odd) as endpoint:
            gateway = await serve(engine=endpoint)
            async with asyncio.timeout(25):
                reply = await asked(gateway, body | {"stream": True}, path)
            assert b"He" in reply.body and reply.is_whole
            await gateway.assert_at_rest()


@pytest.mark.parametrize(
    ("path", "odd"),
    [("/api/chat", {"tools": [5, ["x"]], "stream": False}), ("/v1/responses", {"reasoning": {"effort": {"a": 1}}})],
)
async def test_what_no_engine_could_mean_is_for_the_engine_to_refuse(
    gateway: Gateway, path: str, odd: dict[str, Any]
) -> None:
    body = {"model": "fast", "input": "hi"} if path == "/v1/responses" else ASKED
    assert (await asked(gateway, body | odd, path)).status == 200, "the double takes anything"


async def test_events_with_other_lines_beside_their_data_are_told(serve: Any) -> None:
    pieces = (EVENTS + b"connection: close\r\n\r\n", b"id: 1\n" + event("He"), b"event: message\n" + event("llo"))
    async with scripted(*pieces, b"data: [DONE]\n\n") as endpoint:
        gateway = await serve(engine=endpoint)
        reply = await asked(gateway, ASKED | {"stream": True})
    assert b'"text":"He"' in reply.body and b'"text":"llo"' in reply.body and b"message_stop" in reply.body


class TestParked:
    async def test_a_ticket_has_the_answer_in_its_dialect(self, waits: Waiting, engine: FakeEngine) -> None:
        reply = await waits.ask("/v1/messages", ASKED, head=ASYNC)
        assert reply.status == 202, reply.body
        await waits.parking.close()
        await waits.begin().restore()  # from the disk alone
        waits.back(engine.endpoint)
        answered = await waits.answered(str(reply.json["id"]))
        assert answered.json["content"] == [{"type": "text", "text": "The quick brown fox jumps."}]

    async def test_who_waits_on_a_stream_hears_pings(self, waits: Waiting, engine: FakeEngine) -> None:
        client = await waits.gateway.client()
        await client.send(request("/v1/messages", ASKED | {"stream": True}))
        assert (await client.head()).status == 200
        assert (await client.chunk()).startswith(b"event: ping\n")
        waits.back(engine.endpoint)
        said = b""
        while b"message_stop" not in said:
            await waits.parking.tick()
            waits.now_s += 1
            said += await client.chunk()
        client.leave()
        kinds = [line.partition(b": ")[2] for line in said.splitlines() if line.startswith(b"event: ")]
        assert [kind for kind in kinds if kind != b"ping"][:2] == [b"message_start", b"content_block_start"]


class TestCounting:
    async def test_the_engine_counts(self, gateway: Gateway, engine: FakeEngine) -> None:
        reply = await asked(gateway, path=COUNT)
        assert (reply.status, reply.head["x-ringfence-counted-by"]) == (200, "engine")
        assert reply.json == {"input_tokens": 2}
        assert [request.path for request in engine.requests if request.method == "POST"] == ["/tokenize"]
        assert gateway.answered == []

    async def test_nothing_is_loaded_for_it(self, gateway: Gateway, engine: FakeEngine) -> None:
        gateway.seats.ready = asyncio.Event()
        reply = await asked(gateway, path=COUNT)
        assert (reply.status, reply.head["x-ringfence-counted-by"], engine.requests) == (200, "bound", [])
        assert reply.json["input_tokens"] >= 2 and gateway.seats.misses == []

    async def test_no_cloud_is_asked(self, serve: Any) -> None:
        gateway = await serve(targets=(RENTED,), profile=Profile("default", Boundary.CLOUD))
        reply = await asked(gateway, path=COUNT)
        assert (reply.status, reply.head["x-ringfence-counted-by"]) == (200, "bound")

    async def test_no_engine_beyond_the_boundary_is_asked(self, serve: Any, engine: FakeEngine) -> None:
        gateway = await serve(targets=(target("seat/far", boundary=Boundary.MESH), target()))
        async with FakeEngine("vllm") as far:
            gateway.seats.elsewhere["seat/far"] = replace(far.endpoint, boundary=Boundary.MESH)
            reply = await asked(gateway, path=COUNT)
            assert (reply.status, reply.head["x-ringfence-counted-by"], far.requests) == (200, "engine", [])
        assert [request.path for request in engine.requests if request.method == "POST"] == ["/tokenize"]

    async def test_what_was_reported_of_others_is_an_estimate(self, serve: Any) -> None:
        gateway = await serve(targets=(RENTED,), profile=Profile("default", Boundary.CLOUD))
        for size in range(400, 800):
            gateway.pipeline.reported.ratios.learn("rented/far", size, size // 4)
        body = ASKED | {"messages": [{"role": "user", "content": "word " * 100}]}
        reply = await asked(gateway, body, COUNT)
        assert reply.head["x-ringfence-counted-by"] == "ratio"
        assert 100 <= reply.json["input_tokens"] <= 300

    async def test_a_long_text_is_counted_off_the_loop(self, serve: Any) -> None:
        gateway = await serve(targets=(RENTED,), profile=Profile("default", Boundary.CLOUD))
        body = ASKED | {"messages": [{"role": "user", "content": "word " * 100_000}]}
        assert (await asked(gateway, body, COUNT)).json["input_tokens"] >= 500_000

    async def test_it_is_a_request_of_its_key(self, serve: Any) -> None:
        gateway = await serve(key=Key("key_1", "tests", requests_per_minute=1))
        assert (await asked(gateway, path=COUNT)).status == 200
        assert refused(await asked(gateway, path=COUNT)) == (429, "rate_limit_error", "rate_limit_exceeded")

    async def test_a_field_that_steers_an_engine_is_refused_there_too(self, gateway: Gateway) -> None:
        assert refused(await asked(gateway, ASKED | {"kv_transfer_params": {}}, COUNT))[0] == 400
