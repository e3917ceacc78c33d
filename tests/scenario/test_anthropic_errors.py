"""Refusals over real sockets to callers that say `anthropic-version`: from the head, from the path, mid-stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from composed import CHAT, EVENTS, STREAM, Client, Reply, event, scripted, target

from ringfence.core.boundary import Boundary
from ringfence.testing.fake_engine import FakeEngine

Serve = Callable[..., Any]
VERSION = b"anthropic-version: 2023-06-01\r\n"


async def asked(client: Client, *words: Any, **more: Any) -> Reply:
    reply = await client.ask(*words, **{"body": CHAT, "head": VERSION} | more)
    assert set(reply.json) == {"type", "error", "request_id"}
    assert reply.json["type"] == "error"
    return reply


def told(reply: Reply) -> tuple[int, str, str]:
    error = reply.json["error"]
    return reply.status, error["type"], error["details"]["error_code"]


async def test_a_refusal_for_the_boundary_says_what_would_have_been_needed(serve: Serve) -> None:
    gateway = await serve(targets=(target(boundary=Boundary.MESH),))
    reply = await asked(await gateway.client())
    assert told(reply) == (403, "permission_error", "boundary_refused")
    assert "would have to reach MESH" in reply.json["error"]["message"]
    assert reply.json["request_id"] == reply.head["request-id"] == reply.head["x-request-id"]
    openai = await (await gateway.client()).ask(body=CHAT)  # and whoever does not ask for it gets OpenAI's
    assert (openai.status, openai.error["type"], openai.error["code"]) == (403, "permission_error", "boundary_refused")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"secret": b""}, (401, "authentication_error", "invalid_api_key")),
        ({"secret": b"wrong"}, (401, "authentication_error", "invalid_api_key")),
        ({"path": "/v1/nothing"}, (404, "not_found_error", "not_found")),
        ({"body": CHAT | {"model": "other"}}, (404, "not_found_error", "model_not_found")),
        ({"body": b"{"}, (400, "invalid_request_error", "invalid_json")),
        ({"head": VERSION + b"x-ringfence-agent: x\r\n"}, (403, "permission_error", "agent_unknown")),
    ],
    ids=lambda value: str(value[1]) if isinstance(value, tuple) else "",
)
async def test_each_kind_of_refusal(serve: Serve, how: dict[str, Any], expected: tuple[int, str, str]) -> None:
    gateway = await serve()
    client = await gateway.client()
    assert told(await asked(client, **how)) == expected
    assert await client.is_served()


async def test_where_nothing_can_serve_it_is_overloaded(serve: Serve) -> None:
    gateway = await serve(engine=None, targets=())
    reply = await asked(await gateway.client())
    assert told(reply) == (529, "overloaded_error", "target_unavailable")
    assert int(reply.head["retry-after"]) >= 1


async def test_a_stream_that_breaks_ends_with_their_event(serve: Serve, engine: FakeEngine) -> None:
    head = b"transfer-encoding: chunked\r\n\r\n"
    piece = event("hello")
    async with scripted(EVENTS + head + b"%x\r\n%b\r\n" % (len(piece), piece)) as broken:
        gateway = await serve(engine=broken, retries=0)
        client = await gateway.client()
        reply = await client.ask(body=STREAM, head=VERSION)
    assert reply.status == 200
    *_, last, end = reply.body.decode().split("\n\n")
    name, data = last.split("\n")
    assert (name, end) == ("event: error", "")
    assert json.loads(data.removeprefix("data: "))["error"]["type"] == "api_error"


async def test_what_is_refused_before_it_is_a_call_has_an_id_too(serve: Serve) -> None:
    client = await (await serve()).client()
    replies = [
        await asked(client, "/v1/messages", secret=b"sk-nobody"), await asked(client, "/v1/messages/none"),
        await asked(client, "/v1/messages", body=b"{"), await asked(client, "/v1/messages", method="GET", body=None),
    ]  # fmt: skip
    assert [reply.status for reply in replies] == [401, 404, 400, 405]
    ids = [reply.json["request_id"] for reply in replies]
    assert all(ids) and len(set(ids)) == len(ids)
    assert ids == [reply.head["request-id"] for reply in replies] == [reply.head["x-request-id"] for reply in replies]
    named = await asked(client, "/v1/messages", secret=b"sk-nobody", head=VERSION + b"x-request-id: mine-1\r\n")
    assert named.json["request_id"] == "mine-1"
