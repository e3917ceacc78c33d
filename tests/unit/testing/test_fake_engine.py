"""The fakes do what they are told, so that a test that uses them tests something."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from ringfence.testing.contract import UnderTest, ask
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault
from ringfence.testing.fault_proxy import FaultProxy, Trouble

CHAT: dict[str, Any] = {"model": "fake-model", "messages": [{"role": "user", "content": "hello"}]}
STREAM = {**CHAT, "stream": True}


def patience_s(ended: str) -> float:
    """Only where nothing comes is it waited out."""
    return 0.2 if ended == "waits" else 25.0


async def raw(port: int, body: dict[str, Any], timeout_s: float = 25.0) -> tuple[bytes, str]:
    """(what came, how it ended) of one request, as a socket sees it."""
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(data) + data
    )
    came, ended = b"", "waits"
    try:
        async with asyncio.timeout(timeout_s):
            while piece := await reader.read(65536):
                came += piece
            ended = "end"
    except TimeoutError:
        pass
    except ConnectionResetError:
        ended = "reset"
    writer.close()
    return came, ended


@pytest.mark.parametrize(
    ("behaviour", "body", "ended", "holds", "lacks"),
    [
        (Behaviour(), STREAM, "end", b"[DONE]", b"\r\n\r\n\r\n"),
        (Behaviour(newline=b"\r\n"), STREAM, "end", b"\r\n\r\n\r\n", b"\n\n"),
        (Behaviour(Fault.HANG), CHAT, "waits", b"", b"HTTP"),
        (Behaviour(Fault.STALL), STREAM, "waits", b"The", b"quick"),
        (Behaviour(Fault.CUT), STREAM, "end", b"The", b"quick"),
        (Behaviour(Fault.RESET, after_events=0), STREAM, "reset", b"", b"HTTP"),
        (Behaviour(Fault.DROP), CHAT, "end", b"", b"HTTP"),
        (Behaviour(Fault.STATUS, status=503), CHAT, "end", b"HTTP/1.1 503", b"200"),
        (Behaviour(Fault.BAD_JSON), CHAT, "end", b"}}", b'"usage"'),
        (Behaviour(Fault.BAD_SSE), STREAM, "end", b"no field at all", b"[DONE]"),
        (Behaviour(Fault.GARBAGE), CHAT, "end", b"no HTTP", b"HTTP/1.1"),
        (Behaviour(Fault.OVERSIZED, oversized_bytes=300_000), CHAT, "end", b"x" * 300_000, b"[DONE]"),
        (Behaviour(Fault.SLOW_HEAD, between_s=0.15), CHAT, "waits", b"HTTP/1.1 200", b"choices"),
    ],
    ids=lambda value: value.fault.value if isinstance(value, Behaviour) else "",
)
async def test_every_misbehaviour(
    behaviour: Behaviour, body: dict[str, Any], ended: str, holds: bytes, lacks: bytes
) -> None:
    async with FakeEngine("vllm") as engine:
        engine.once(behaviour)
        came, how = await raw(engine.port, body, patience_s(ended))
        assert how == ended
        assert holds in came
        assert lacks not in came
        assert (await raw(engine.port, CHAT))[1] == "end", "only one request is answered so"


async def test_byte_by_byte_is_the_same_stream() -> None:
    async with FakeEngine("llamacpp") as engine:
        under_test = UnderTest(engine.endpoint, "fake-model", 4096)
        whole = await ask(under_test, "chat/completions", STREAM)
        engine.once(Behaviour(byte_by_byte=True))
        assert await ask(under_test, "chat/completions", STREAM) == whole


@pytest.mark.timed
async def test_a_client_that_leaves_is_noticed_with_the_time() -> None:
    async with FakeEngine("vllm") as engine:
        engine.once(Behaviour(Fault.HANG))
        await raw(engine.port, CHAT, timeout_s=0.05)
        left = time.monotonic()
        await asyncio.sleep(0.05)
        noticed = engine.calls[0].client_left_s
        assert noticed is not None
        assert abs(noticed - left) < 0.05
        assert (engine.connections, engine.open_connections) == (1, 0)


async def test_requests_are_recorded_and_not_shown() -> None:
    async with FakeEngine("vllm", api_key="secret") as engine:
        status, _body = await ask(UnderTest(engine.endpoint, "fake-model", 1), "chat/completions", {**CHAT, "seed": 7})
        assert status == 200
        assert engine.calls[0].body["seed"] == 7
        assert "hello" not in repr(engine.calls[0])
        assert b"401" in (await raw(engine.port, CHAT))[0]


class TestFaultProxy:
    @pytest.mark.parametrize(
        ("trouble", "after_bytes", "ended"),
        [
            (Trouble.NONE, 0, "end"),
            (Trouble.CUT, 150, "end"),
            (Trouble.RESET, 0, "reset"),
            (Trouble.STALL, 150, "waits"),
        ],
    )
    async def test_it_breaks_what_passes(self, trouble: Trouble, after_bytes: int, ended: str) -> None:
        async with FakeEngine("vllm") as engine, FaultProxy(engine.port) as proxy:
            proxy.make(trouble, after_bytes)
            came, how = await raw(proxy.port, STREAM, patience_s(ended))
            assert how == ended
            assert (b"[DONE]" in came) == (trouble is Trouble.NONE)
            assert trouble is Trouble.NONE or len(came) == after_bytes

    async def test_it_refuses_and_passes_on_again(self) -> None:
        async with FakeEngine("vllm") as engine, FaultProxy(engine.port) as proxy:
            proxy.make(Trouble.REFUSE)
            assert (await raw(proxy.port, CHAT))[0] == b""
            proxy.make(Trouble.NONE)
            assert b"200" in (await raw(proxy.port, CHAT))[0]

    async def test_a_client_that_leaves_is_seen_through_it(self) -> None:
        async with FakeEngine("vllm") as engine, FaultProxy(engine.port) as proxy:
            engine.once(Behaviour(Fault.HANG))
            await raw(proxy.port, CHAT, timeout_s=0.05)
            async with asyncio.timeout(25):
                while not engine.calls or engine.calls[0].client_left_s is None:
                    await asyncio.sleep(0.01)
