"""Clients that are slow, broken, greedy or malicious: each gets a defined answer, and everybody else is served."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from composed import CHAT, MIB, PATH, STREAM, Client, Gateway, refused, request, target, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.gateway.http import Limits
from ringfence.testing.fake_engine import Behaviour, FakeEngine

Serve = Callable[..., Any]
SHORT = Limits(header_timeout_s=0.1, body_timeout_s=0.1, idle_timeout_s=0.1, write_timeout_s=0.1)
QUICKLY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


# -- what is not HTTP -------------------------------------------------------------------------------------------


NOT_HTTP = {
    "http/0.9": b"GET /v1/models\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "tls hello": bytes.fromhex("16030100c8010000c40303") + bytes(190),
    "bare line feeds": b"GET /health HTTP/1.1\nhost: a\n\n",
    "folded header": b"GET /health HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
    "nul in a header": b"GET /health HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
    "nul in the path": b"GET /hea\x00lth HTTP/1.1\r\nhost: a\r\n\r\n",
    "space before the colon": b"GET /health HTTP/1.1\r\nhost : a\r\n\r\n",
    "two content-lengths": b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"
    % PATH.encode(),
    "two equal content-lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    "length and chunks": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0",
    "chunks and length": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0",
    "unknown encoding": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunks in http/1.0": b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two encodings": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: x\r\ntransfer-encoding: chunked\r\n\r\n0",
    "negative length": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    "length in hex": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x10\r\n\r\n",
    "empty length": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: \r\n\r\n",
    "length beyond all bounds": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n",
    "bad chunk size": b"POST %b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" % PATH.encode(),
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "host with a space": b"GET /health HTTP/1.1\r\nhost: a b\r\n\r\n",
    "host with a user": b"GET /health HTTP/1.1\r\nhost: root@localhost\r\n\r\n",
    "host with a path": b"GET /health HTTP/1.1\r\nhost: localhost/x\r\n\r\n",
    "empty host": b"GET /health HTTP/1.1\r\nhost:\r\n\r\n",
    "two keys": b"GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: x\r\nauthorization: Bearer sk-test\r\n\r\n",
    "a proxy's target": b"GET http://example.com/v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
    "connect": b"CONNECT example.com:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "no path": b"GET health HTTP/1.1\r\nhost: a\r\n\r\n",
    "path not in utf-8": b"GET /%ff%fe HTTP/1.1\r\nhost: a\r\n\r\n",
    "a thousand headers": b"GET /health HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
    "a huge header": b"GET /health HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    "a huge path": b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    "an endless header": b"GET /health HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 600_000,
}


@pytest.mark.parametrize("name", NOT_HTTP)
async def test_what_is_not_plain_http_is_refused_and_the_connection_closed(gateway: Gateway, name: str) -> None:
    client, other = await gateway.client(), await gateway.client()
    client.writer.write(NOT_HTTP[name])
    await refused(client, 400, "malformed_http")
    assert await other.is_served()


@pytest.mark.parametrize("name", ["a huge header", "a thousand headers", "no host", "length and chunks"])
async def test_it_is_refused_all_the_same_in_small_pieces(gateway: Gateway, name: str) -> None:
    client = await gateway.client()
    data = NOT_HTTP[name]
    for start in range(0, len(data), 4096):
        client.writer.write(data[start : start + 4096])
        await asyncio.sleep(0)
    await refused(client, 400, "malformed_http")


@QUICKLY
@given(pieces=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4))
async def test_random_bytes_never_hurt(serve: Serve, pieces: list[bytes]) -> None:
    gateway = await _same(serve)
    client = await gateway.client()
    for piece in pieces:
        client.writer.write(piece)
        await asyncio.sleep(0)
    client.writer.write_eof()
    said = await client.reader.read()
    assert said == b"" or said.startswith((b"HTTP/1.1 4", b"HTTP/1.1 2"))
    client.leave()
    assert gateway.faults == []


HEADER_BYTES = st.binary(max_size=40).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))


@QUICKLY
@given(
    method=st.sampled_from([b"GET", b"POST", b"OPTIONS", b"DELETE", b"PURGE"]), path=HEADER_BYTES, value=HEADER_BYTES
)
async def test_random_heads_get_an_answer(serve: Serve, method: bytes, path: bytes, value: bytes) -> None:
    gateway = await _same(serve)
    client = await gateway.client()
    client.writer.write(b"%b /v1/%b HTTP/1.1\r\nhost: localhost\r\nx-request-id: %b\r\n\r\n" % (method, path, value))
    reply = await client.answer(is_head=True)
    assert 200 <= reply.status < 500
    client.leave()
    assert gateway.faults == []


_kept: dict[str, Any] = {}


async def _same(serve: Serve, **told: Any) -> Gateway:
    """One gateway for all examples of a test: a new one each time would leave hundreds of listeners."""
    loop = asyncio.get_running_loop()
    if _kept.get("loop") is not loop:
        _kept.update(loop=loop, gateway=await serve(**told))
    return _kept["gateway"]


# -- hostile bodies ---------------------------------------------------------------------------------------------


def _deep(levels: int) -> bytes:
    return b'{"model":"fast","messages":' + b"[" * levels + b"]" * levels + b"}"


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid_json"),
    "no json": (b"hello", "invalid_json"),
    "cut": (b'{"model": "fast"', "invalid_json"),
    "not utf-8": (b'{"model": "fast", "x": "\xff\xfe"}', "invalid_json"),
    "half a surrogate": (b'{"model": "fast", "x": "\\ud800"}', "invalid_json"),
    "not a number": (b'{"model": "fast", "temperature": NaN}', "invalid_json"),
    "a list": (b"[]", "invalid_json"),
    "null": (b"null", "invalid_json"),
    "10,000 deep": (_deep(10_000), "invalid_json"),
    "1,000 deep": (_deep(1_000), "invalid_type"),
    "two documents": (b'{"model": "fast"}{"model": "fast"}', "invalid_json"),
    "nul": (b'{"model": "fast\x00"}', "invalid_json"),
    "no model": (b"{}", "invalid_type"),
    "model is a number": (b'{"model": 1}', "invalid_type"),
    "a million items": (b'{"model":"fast","messages":[' + b"1," * 1_000_001 + b"1]}", "too_many_values"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_body_is_a_400_and_the_connection_goes_on(gateway: Gateway, engine: FakeEngine, name: str) -> None:
    body, code = BAD_BODIES[name]
    client = await gateway.client()
    reply = await client.ask(body=body)
    assert (reply.status, reply.error["code"]) == (400, code)
    assert "hello" not in reply.error["message"]
    assert (await client.ask(body=CHAT)).status == 200
    assert len(engine.calls) == 1


async def test_a_million_small_items_are_still_answered(gateway: Gateway, engine: FakeEngine) -> None:
    client = await gateway.client()
    reply = await client.ask(body=b'{"model":"fast","messages":[' + b"1," * 999_990 + b"1]}")
    assert (reply.status, reply.error["param"]) == (400, "messages[0]")
    assert engine.calls == []


async def test_of_equal_keys_the_last_one_wins_for_us_and_for_the_engine(gateway: Gateway, engine: FakeEngine) -> None:
    client = await gateway.client()
    last = b'{"messages":[{"role":"user","content":"no"}],"model":"nope","max_tokens":1,"max_tokens":2,'
    last += b'"stream":true,"model":"fast","messages":[{"role":"system","role":"user","content":"yes"}],"stream":false}'
    assert (await client.ask(body=last)).status == 200
    seen = engine.calls[0].body
    assert seen == {
        "messages": [{"role": "user", "content": "yes"}], "model": "fake-model", "max_tokens": 2, "stream": False,
        "cache_salt": gateway.relay.salts.of("key_1"),
    }  # fmt: skip


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "messages", "prompt", "input", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "tools",
    "temperature", "response_format", "encoding_format", "model", "stop", "user",
)  # fmt: skip
GOOD = {"model": "fast", "messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "input": "hi"}


@settings(QUICKLY, max_examples=150)
@given(
    path=st.sampled_from([PATH, "/v1/completions", "/v1/embeddings"]),
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=4) | JSON,
)
async def test_no_json_gives_a_5xx(serve: Serve, path: str, changes: Any) -> None:
    gateway = await _same(serve, targets=(target(window=None),))  # nothing is clamped then
    client = await gateway.client()
    reply = await client.ask(path, GOOD | changes if isinstance(changes, dict) else changes)
    assert reply.status < 500, reply.body
    assert reply.status == 200 or reply.error
    client.leave()


async def test_a_client_cannot_choose_where_its_text_goes(gateway: Gateway, engine: FakeEngine) -> None:
    async with FakeEngine("vllm") as elsewhere:
        client = await gateway.client()
        url = f"http://127.0.0.1:{elsewhere.port}/v1"
        for field, value in {
            "api_base": url,
            "base_url": url,
            "fallbacks": [url],
            "extra_headers": {"host": url},
        }.items():
            reply = await client.ask(body=CHAT | {field: value})
            assert (reply.status, reply.error["param"]) == (400, field)
        for kind in ("image_url", "video_url", "audio_url"):
            for given_url in (f"{url}/x.png", {"url": f"{url}/x.png"}, {"url": "file:///etc/passwd"}):
                part = {"type": kind, kind: given_url}
                reply = await client.ask(body=CHAT | {"messages": [{"role": "user", "content": [part]}]})
                assert (reply.status, reply.error["code"]) == (400, "remote_media_refused")
        named = f"127.0.0.1:{elsewhere.port}".encode()
        head = b"".join(
            b"%b: %b\r\n" % (name, named)
            for name in (b"x-forwarded-host", b"x-forwarded-for", b"forwarded", b"x-upstream", b"x-original-url")
        )
        reply = await client.ask(body=CHAT, head=head)
        assert reply.status == 200
        assert elsewhere.connections == 0
        seen = engine.calls[0].headers
        assert set(seen) == {"host", "content-type", "accept", "content-length"}
        assert seen["host"] == f"127.0.0.1:{engine.port}"


async def test_a_foreign_host_name_is_refused_where_no_key_is_asked_for(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve(key=None)
    for name, status in {
        "evil.example": 403,
        "localhost": 200,
        "127.0.0.1:7464": 200,
        "[::1]": 200,
        "a.localhost": 200,
    }.items():
        client = await gateway.client()
        data = request(body=CHAT, secret=b"").replace(b"host: localhost", b"host: " + name.encode())
        await client.send(data)
        assert (await client.answer()).status == status
    assert len(engine.calls) == 4


async def test_an_engine_beyond_the_boundary_never_sees_a_byte(serve: Serve, engine: FakeEngine) -> None:
    gateway = await serve(engine=Endpoint("127.0.0.1", engine.port, Boundary.CLOUD))
    client = await gateway.client()
    reply = await client.ask(body=CHAT)
    assert (reply.status, reply.error["code"]) == (403, "boundary_refused")
    assert engine.connections == 0


# -- sizes ------------------------------------------------------------------------------------------------------


async def _pour(client: Client, size: int, *, chunked: bool) -> None:
    """A body of `size` bytes, in pieces."""
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % size
    await client.send(
        b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-test\r\n%b\r\n\r\n" % (PATH.encode(), framing)
    )
    piece = b"x" * MIB
    for _ in range(size // MIB):
        await client.send(b"%x\r\n%b\r\n" % (MIB, piece) if chunked else piece)
    if chunked:
        await client.send(b"0\r\n\r\n")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_a_body_that_is_too_large_is_read_and_then_refused(gateway: Gateway, chunked: bool) -> None:
    client = await gateway.client()
    await _pour(client, 50 * MIB, chunked=chunked)
    reply = await client.answer()
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")
    assert await client.is_served()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_ten_of_them_at_once_cost_little_memory(process: Callable[..., Any], chunked: bool) -> None:
    server = await process()
    before = server.bytes("VmRSS")
    clients = [Client(*await asyncio.open_connection("127.0.0.1", server.port)) for _ in range(10)]
    await asyncio.gather(*(_pour(client, 50 * MIB, chunked=chunked) for client in clients))
    for reply in await asyncio.gather(*(client.answer() for client in clients)):
        assert (reply.status, reply.error["code"]) in {(413, "request_too_large"), (503, "overloaded")}
    assert server.bytes("VmHWM") - before < 200 * MIB
    assert await clients[0].is_served()
    for client in clients:
        client.leave()


async def test_all_bodies_together_are_bounded(serve: Serve) -> None:
    gateway = await serve(limits=Limits(max_body_bytes=8 * MIB, body_memory_bytes=10 * MIB))
    first, second = await gateway.client(), await gateway.client()
    head = b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-test\r\ncontent-length: %d\r\n\r\n"
    await first.send(head % (PATH.encode(), 8 * MIB) + b"x")
    await until(lambda: gateway.server.body_bytes == 8 * MIB)
    await _pour(second, 4 * MIB, chunked=False)
    reply = await second.answer()
    assert (reply.status, reply.error["code"], reply.head["retry-after"]) == (503, "overloaded", "1")
    assert await second.is_served()
    first.leave()
    await until(lambda: gateway.server.body_bytes == 0)
    assert (await second.ask(body=CHAT)).status == 200


async def test_leave_to_send_is_given_and_refused(gateway: Gateway, engine: FakeEngine) -> None:
    client = await gateway.client()
    data = request(body=CHAT, head=b"expect: 100-continue\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    await client.send(head + b"\r\n\r\n")
    assert (await client.answer()).status == 100
    await client.send(body)
    assert (await client.answer()).status == 200
    huge = b"POST %b HTTP/1.1\r\nhost: a\r\n%bcontent-length: 99999999\r\nexpect: 100-continue\r\n\r\n"
    for key, status in {b"authorization: Bearer sk-test\r\n": 413, b"": 401}.items():
        client = await gateway.client()
        await client.send(huge % (PATH.encode(), key))
        reply = await client.answer()
        assert (reply.status, reply.head["connection"]) == (status, "close")
        assert reply.error
        assert await client.is_closed()
    assert len(engine.calls) == 1


async def test_leave_to_send_comes_after_the_answer_before_it(gateway: Gateway, engine: FakeEngine) -> None:
    engine.once(Behaviour(between_s=0.01))
    client = await gateway.client()
    head, _, body = request(body=CHAT, head=b"expect: 100-continue\r\n").partition(b"\r\n\r\n")
    await client.send(request(body=STREAM) + head + b"\r\n\r\n")
    assert (await client.answer()).events[-1] == "[DONE]"
    assert (await client.answer()).status == 100
    await client.send(body)
    assert (await client.answer()).status == 200


async def test_endless_trailers_are_cut_off(gateway: Gateway) -> None:
    head = b"POST %b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" % PATH.encode()
    for piece in (b"trail: " + b"x" * 1000 + b"\r\n", b"x" * 1000):
        client = await gateway.client()
        await client.send(head + b"more: ")
        for _ in range(100):
            client.writer.write(piece)
            await asyncio.sleep(0)
        await refused(client, 400, "malformed_http")


async def test_trailers_change_nothing(gateway: Gateway) -> None:
    client = await gateway.client()
    head = b"POST %b HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n" % PATH.encode()
    body = json.dumps(CHAT).encode()
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    await client.send(head + chunk + b"authorization: Bearer sk-test\r\n\r\n")
    assert (await client.answer()).status == 401
    with_key = head.replace(b"\r\n\r\n", b"\r\nauthorization: Bearer sk-test\r\n\r\n")
    await client.send(with_key + chunk + b"\r\n")
    assert (await client.answer()).status == 200


# -- time -------------------------------------------------------------------------------------------------------


@pytest.mark.timed
async def test_a_slow_head_and_a_slow_body_end_in_a_408(serve: Serve) -> None:
    gateway = await serve(limits=SHORT)
    dripping = [await gateway.client() for _ in range(3)]
    parts = (b"GET /health HTTP/1.1\r\nhost", request(body=CHAT)[:-5], request(body=CHAT).replace(b"g: ", b"g")[:-400])
    head = (
        b"POST %b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-test\r\ntransfer-encoding: chunked\r\n\r\n"
        % PATH.encode()
    )
    for client, part in zip(dripping, (parts[0], parts[1], head), strict=True):
        await client.send(part)
    began = time.monotonic()
    for client in dripping:
        await refused(client, 408, "request_timeout")
    assert time.monotonic() - began < 1.0 + 0.1 + 0.5  # the clock is looked at once a second


async def test_drops_do_not_buy_time(serve: Serve) -> None:
    gateway = await serve(limits=SHORT)
    head_client, body_client = await gateway.client(), await gateway.client()
    await head_client.send(b"GET /health HTTP/1.1\r\nx: ")
    await body_client.send(request(body=CHAT)[:-40])

    async def drip(client: Client) -> None:
        while not client.writer.is_closing():
            client.writer.write(b"a")
            await asyncio.sleep(0.02)

    drips = [asyncio.create_task(drip(client)) for client in (head_client, body_client)]
    try:
        async with asyncio.timeout(25):
            assert (await head_client.answer()).status == 408
            assert (await body_client.answer()).status in (408, 400)
    finally:
        for task in drips:
            task.cancel()


async def test_an_idle_connection_is_closed_without_a_word(serve: Serve) -> None:
    gateway = await serve(limits=SHORT)
    fresh, used = await gateway.client(), await gateway.client()
    assert await used.is_served()
    assert await fresh.is_closed()
    assert await used.is_closed()


async def test_a_client_that_never_reads_its_stream_is_dropped(serve: Serve) -> None:
    async with FakeEngine("vllm", words=("word" * 5000,) * 2000) as engine:
        gateway = await serve(engine=engine.endpoint, limits=SHORT)
        client = await gateway.client()
        await client.send(request(body=STREAM | {"max_tokens": 2000}))
        client.writer.transport.pause_reading()
        await until(lambda: gateway.answered, 25)
        assert gateway.answered[0].kind.outcome == "client_gone"
        await until(lambda: engine.calls[0].client_left_s is not None)


async def test_a_slow_reader_gets_all_of_an_answer_that_ends_the_connection(serve: Serve) -> None:
    """The last bytes are still on their way when the server has nothing more to do with the connection."""
    async with FakeEngine("vllm", words=("word" * 1000,) * 3000) as engine:
        gateway = await serve(engine=engine.endpoint)
        client = await gateway.client()
        client.writer.transport.set_write_buffer_limits()
        await client.send(request(body=CHAT | {"max_tokens": 2400}, head=b"connection: close\r\n"))
        client.writer.transport.pause_reading()
        await asyncio.sleep(0)
        await until(lambda: gateway.answered, 25)
        for connection in gateway.server.connections:
            connection.deadline = time.monotonic() - 0.01  # its moment of grace is over
        gateway.server._tick()
        client.writer.transport.resume_reading()
        reply = await client.answer()
        assert reply.is_whole and len(reply.body) > 9_000_000
