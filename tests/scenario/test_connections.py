"""The state of a client connection: order, ends, upgrades, limits, and what is left when the client is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from composed import CHAT, MIB, PATH, STREAM, Client, Gateway, Reply, refused, request, until

from ringfence.core.identity import Key
from ringfence.gateway.http import Limits
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

Serve = Callable[..., Any]


@pytest.mark.parametrize("count", [1, 15, 16, 17, 2000])
async def test_pipelined_requests_are_answered_in_order(gateway: Gateway, count: int) -> None:
    client = await gateway.client()
    paths = [("/health", "/v1/models", f"/nothing/{number}")[number % 3] for number in range(count)]
    writing = asyncio.create_task(client.send(b"".join(request(path, method="GET") for path in paths)))
    for path in paths:
        reply = await client.answer()
        if path.startswith("/nothing"):
            assert path + "." in reply.error["message"]
        else:
            assert ("status" if path == "/health" else "data") in reply.json
    await writing


async def test_pipelined_calls_are_answered_in_order(gateway: Gateway, engine: FakeEngine) -> None:
    engine.once(Behaviour(between_s=0.01))
    client = await gateway.client()
    asked = b""
    for number in range(40):
        kind = STREAM if number % 4 == 0 else CHAT
        asked += request(body=kind, head=b"x-request-id: call-%d\r\n" % number) + request("/health", method="GET")
    writing = asyncio.create_task(client.send(asked))
    for number in range(40):
        reply = await client.answer()
        assert (reply.status, reply.head["x-request-id"]) == (200, f"call-{number}")
        assert (await client.answer()).json == {"status": "ok"}
    await writing


@pytest.mark.parametrize("cuts", [(), (None,), (None, 30), (10,), (10, None, 30)])
async def test_the_same_head_again_is_the_same_request_however_it_is_cut(
    gateway: Gateway, engine: FakeEngine, cuts: tuple[int | None, ...]
) -> None:
    """None: between head and body. What follows the body at once is the next request."""
    client = await gateway.client()
    for number in range(4):
        words = "word " * (number + 1)
        asked = request(body=CHAT | {"messages": [{"role": "user", "content": words}]})
        end = asked.index(b"\r\n\r\n") + 4
        places = [0, *(end if cut is None else cut if cut < 20 else end + cut for cut in cuts), len(asked)]
        for begin, until_ in pairwise(places):
            is_last = until_ == len(asked)
            await client.send(
                asked[begin:until_] + (request("/health", method="GET") if is_last and number % 2 else b"")
            )
            await asyncio.sleep(0.005)
        assert (await client.answer()).status == 200
        if number % 2:
            assert (await client.answer()).json == {"status": "ok"}
        assert engine.calls[-1].body["messages"][0]["content"] == words
    assert gateway.server.body_bytes == 0


async def test_a_body_too_large_is_refused_after_the_same_head_with_a_small_one(serve: Serve) -> None:
    gateway = await serve(limits=Limits(max_body_bytes=1000))
    client = await gateway.client()
    assert (await client.ask(body=CHAT)).status == 200
    reply = await client.ask(body=CHAT | {"user": "x" * 1000})
    assert (reply.status, gateway.server.body_bytes) == (413, 0)
    assert (await client.ask(body=CHAT)).status == 200


async def test_a_request_that_arrives_between_two_others_does_not_overtake(
    gateway: Gateway, engine: FakeEngine
) -> None:
    """One is running and one waits; in the moment the first ends, before the second begins, a third arrives."""
    engine.once(Behaviour(fault=Fault.HANG))
    client = await gateway.client()
    await client.send(request(body=STREAM) + request("/v1/models", method="GET"))
    await until(lambda: engine.calls)
    (connection,) = gateway.server.connections
    running = connection.current
    assert running is not None
    assert running.on_gone is not None
    running.on_gone()
    running.answer(200, b"", b"first")
    connection.data_received(request("/health", method="GET"))
    assert (await client.answer()).body == b"first"
    assert "data" in (await client.answer()).json
    assert (await client.answer()).json == {"status": "ok"}


async def test_rubbish_after_good_requests_is_answered_after_them(gateway: Gateway) -> None:
    client = await gateway.client()
    await client.send(request(body=CHAT) + request(body=CHAT) + b"rubbish\r\n\r\n")
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 200
    await refused(client, 400, "malformed_http")


async def test_a_large_body_and_the_beginning_of_the_next_head(gateway: Gateway) -> None:
    """What counts against a head is the head alone."""
    client = await gateway.client()
    many = request("/health", method="GET") * 2000 + request("/v1/models", method="GET")
    cut = len(many) - 20
    reading = asyncio.create_task(_answers(client, 2001))
    await client.send(many[:cut])
    await asyncio.sleep(0.05)
    await client.send(many[cut:])
    assert [reply.status for reply in await reading] == [200] * 2001


async def _answers(client: Client, count: int) -> list[Reply]:
    return [await client.answer() for _ in range(count)]


async def test_bytes_after_the_last_request_are_ignored(gateway: Gateway) -> None:
    for after in (b"rubbish", request("/health", method="GET")):
        client = await gateway.client()
        await client.send(request("/health", method="GET", head=b"connection: close\r\n") + after)
        reply = await client.answer()
        assert (reply.status, reply.head["connection"]) == (200, "close")
        assert await client.is_closed()


async def test_draining_answers_what_came_and_then_closes(gateway: Gateway) -> None:
    client = await gateway.client()
    assert await client.is_served()
    gateway.server.is_draining = True
    await client.send(request("/health", method="GET") * 3)
    assert (await client.answer()).status == 200
    assert await client.is_closed()


async def test_who_does_not_read_answers_gets_no_more_of_them(gateway: Gateway) -> None:
    """Requests are read only as fast as their answers are."""
    client = await gateway.client()
    client.writer.transport.pause_reading()
    sending = asyncio.create_task(client.send(request("/v1/models", method="GET") * 300_000))
    (connection,) = gateway.server.connections
    largest = 0
    for _ in range(40):
        await asyncio.sleep(0.02)
        largest = max(largest, connection.transport.get_write_buffer_size())
    assert not sending.done()
    assert largest < 2 * MIB
    client.writer.transport.resume_reading()
    for reply in await _answers(client, 5000):
        assert reply.status == 200
    sending.cancel()
    client.leave()


async def test_http10_ends_with_the_connection(gateway: Gateway) -> None:
    for head in (b"", b"connection: keep-alive\r\n"):
        client = await gateway.client()
        reply = await client.ask(body=CHAT, version="1.0", head=head)
        assert (reply.status, reply.head["connection"]) == (200, "close")
        assert await client.is_closed()
        client = await gateway.client()
        reply = await client.ask(body=STREAM, version="1.0", head=head)
        assert "transfer-encoding" not in reply.head
        assert (reply.text, reply.events[-1]) == ("The quick brown fox jumps.", "[DONE]")


async def test_head_has_the_headers_of_get_and_no_body(gateway: Gateway) -> None:
    client = await gateway.client()
    for path in ("/health", "/v1/models", "/metrics", "/nothing"):
        got = await client.ask(path, method="GET")
        await client.send(request(path, method="HEAD"))
        head = await client.answer(is_head=True)
        assert (head.status, head.head["content-length"]) == (got.status, str(len(got.body)))
    assert await client.is_served()


async def test_wrong_methods(gateway: Gateway) -> None:
    client = await gateway.client()
    for method, path, allowed in (
        ("GET", PATH, "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/health", "GET, HEAD"),
    ):
        reply = await client.ask(path, method=method)
        assert (reply.status, reply.error["code"], reply.head["allow"]) == (405, "method_not_allowed", allowed)
    assert (await client.ask("*", method="OPTIONS")).status == 404


@pytest.mark.parametrize("offer", [b"websocket", b"h2c"])
async def test_an_offered_upgrade_is_not_taken(gateway: Gateway, offer: bytes) -> None:
    head = b"connection: upgrade\r\nupgrade: %b\r\n" % offer
    client = await gateway.client()
    reply = await client.ask("/health", method="GET", head=head)
    assert (reply.status, "upgrade" in reply.head) == (200, False)
    assert await client.is_served()
    reply = await client.ask(body=CHAT, head=head)
    assert reply.status == 200
    if reply.head.get("connection") != "close":
        assert await client.is_served()


async def test_hanging_up_half_way_ends_the_call(gateway: Gateway, engine: FakeEngine) -> None:
    """A closed sending side is how a client that left looks; what is answered at once still arrives."""
    client = await gateway.client()
    client.writer.write(request("/health", method="GET"))
    client.writer.write_eof()
    assert (await client.answer()).status == 200
    assert await client.is_closed()
    engine.once(Behaviour(fault=Fault.HANG))
    client = await gateway.client()
    client.writer.write(request(body=CHAT))
    await until(lambda: engine.calls)
    client.writer.write_eof()
    assert await client.is_closed()
    await until(lambda: engine.calls[0].client_left_s is not None)


async def test_leaving_at_any_point_leaves_nothing_behind(gateway: Gateway, engine: FakeEngine) -> None:
    engine.always = Behaviour(between_s=0.01)
    whole = request(body=STREAM)
    for size in (0, 1, 20, 60, len(whole) - 20, len(whole) - 1, len(whole)):
        client = await gateway.client()
        client.writer.write(whole[:size])
        await asyncio.sleep(0.01)
        client.leave()
    client = await gateway.client()
    await client.send(whole)
    await client.head()
    await client.chunk()
    client.leave()
    await gateway.assert_at_rest()
    assert {event.kind.outcome for event in gateway.answered} == {"client_gone"}


async def test_no_key_and_a_wrong_key(gateway: Gateway, engine: FakeEngine) -> None:
    client = await gateway.client()
    for secret in (b"", b"sk-wrong", b"\xff\xfe"):
        reply = await client.ask(body=CHAT, secret=secret)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert engine.calls == []
    assert (await client.ask(body=CHAT)).status == 200  # the same connection


async def test_a_revoked_key_ends_with_the_next_request_of_an_open_connection(gateway: Gateway) -> None:
    client = await gateway.client()
    assert (await client.ask(body=CHAT)).status == 200
    assert gateway.keys is not None
    gateway.keys.known.clear()
    gateway.keys.version += 1
    assert (await client.ask(body=CHAT)).status == 401


async def test_an_expired_key_too(serve: Serve) -> None:
    gateway = await serve(key=Key("key_1", "tests", expires_s=int(time.time()) + 1))
    client = await gateway.client()
    assert (await client.ask(body=CHAT)).status == 200
    gateway.keys.known[b"sk-test"] = None
    (connection,) = gateway.server.connections
    object.__setattr__(connection._head.grant.key, "expires_s", 1)
    assert (await client.ask(body=CHAT)).status == 401


async def test_shapes_of_bodies_are_not_remembered_without_bound(process: Callable[..., Any]) -> None:
    """Field names come from callers: large ones must not stay."""
    server = await process()
    client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
    assert (await client.ask(body=CHAT)).status == 200
    before = server.bytes()
    for number in range(100):
        reply = await client.ask(body=CHAT | {f"{number}" + "k" * MIB: 1})
        assert reply.status == 200
    assert server.bytes() - before < 40 * MIB
    client.leave()


@pytest.mark.timed
async def test_ten_thousand_idle_connections(process: Callable[..., Any]) -> None:
    server = await process()
    before = server.bytes("VmRSS")
    idle: list[Client] = []
    for _ in range(100):
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)))
        idle += [Client(*each) for each in opened]
    began = time.monotonic()
    client = Client(*await asyncio.open_connection("127.0.0.1", server.port))
    assert (await client.ask(body=CHAT)).status == 200
    assert time.monotonic() - began < 1.0
    grown = server.bytes("VmRSS") - before
    assert grown < 100 * MIB, f"{grown // 10_000} bytes a connection"
    for each in (*idle, client):
        each.leave()


async def test_more_connections_than_allowed_are_told_so(serve: Serve) -> None:
    gateway = await serve(limits=Limits(max_connections=2))
    first, second = await gateway.client(), await gateway.client()
    assert await first.is_served()
    third = await gateway.client()
    reply = await refused(third, 503, "overloaded")
    assert reply.head["retry-after"] == "5"
    third.leave()
    assert await second.is_served()
    await until(lambda: len(gateway.server.connections) == 2)
