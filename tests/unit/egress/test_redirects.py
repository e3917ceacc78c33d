"""An engine that answers with a redirect is not followed: where it points to hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.egress.permit import Permit
from ringfence.egress.pool import Line, Pool

STATUSES = (300, 301, 302, 303, 305, 307, 308)
HERE = Permit("call", Boundary.HOST, Boundary.HOST)
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\n"


class Taken:
    """A receiver that remembers."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.body = b""
        self.ended: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()

    def on_piece(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.ended.set_result(("end", self.line.status()))

    def on_lost(self, reason: str) -> None:
        self.ended.set_result((reason, 0))


class Listening:
    """A real server that answers every request alike and counts who came."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0
        self.received = b""
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Listening]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while data := await reader.read(65536):
            self.received += data
            writer.write(self.answer)
        writer.close()


def redirect(status: int, port: int, extra: str = "") -> bytes:
    there = f"http://127.0.0.1:{port}/v1/chat/completions"
    head = f"HTTP/1.1 {status} Elsewhere\r\nlocation: {there}\r\nrefresh: 0;url={there}\r\n{extra}content-length: 4\r\n"
    return head.encode() + b"\r\ngone"


@pytest.mark.parametrize("status", STATUSES)
async def test_a_call_is_not_carried_on(status: int) -> None:
    async with Listening(b"").serving() as there, Listening(redirect(status, there.port)).serving() as engine:
        pool = Pool()
        line = await pool.dial(Endpoint("127.0.0.1", engine.port, Boundary.HOST))
        line.ask(taken := Taken(line), HERE, ASK, b"private", 1, 1, True)
        assert await asyncio.wait_for(taken.ended, 25) == ("end", status)
        again = pool.take(line.endpoint)
        assert again is line
        line.ask(taken := Taken(line), HERE, ASK, b"private", 1, 1, False)
        assert await asyncio.wait_for(taken.ended, 25) == ("end", status)
        async with asyncio.timeout(25):
            while engine.received.count(b"private") < 2:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert engine.received.count(b"private") == 2
        assert (engine.connections, there.connections, taken.body) == (1, 0, b"gone")
        pool.close()


@pytest.mark.parametrize("status", STATUSES)
async def test_a_look_at_an_engine_is_not_carried_on(status: int) -> None:
    async with Listening(b"").serving() as there, Listening(redirect(status, there.port)).serving() as engine:
        found = await Pool().fetch(Endpoint("127.0.0.1", engine.port, Boundary.HOST), "/v1/models")
        await asyncio.sleep(0.05)
        assert (found.status, found.body, there.connections) == (status, None, 0)


async def test_an_offer_of_another_place_is_not_taken() -> None:
    """`alt-svc` names where else the same is served, as a redirect that asks nobody."""
    async with Listening(b"").serving() as there:
        extra = f'alt-svc: h2="127.0.0.1:{there.port}"\r\ncontent-location: http://127.0.0.1:{there.port}/\r\n'
        async with Listening(redirect(200, there.port, extra)).serving() as engine:
            pool = Pool()
            at = Endpoint("127.0.0.1", engine.port, Boundary.HOST)
            for _ in range(2):
                line = pool.take(at) or await pool.dial(at)
                line.ask(taken := Taken(line), HERE, ASK, b"private", 1, 1, True)
                await asyncio.wait_for(taken.ended, 25)
            await asyncio.sleep(0.05)
            assert (engine.connections, there.connections) == (1, 0)
            pool.close()


async def test_the_second_server_would_have_seen_a_connection() -> None:
    async with Listening(b"").serving() as there:
        (await Pool().dial(Endpoint("127.0.0.1", there.port, Boundary.HOST))).cancel()
        async with asyncio.timeout(25):
            while not there.connections:
                await asyncio.sleep(0.01)
        assert there.connections == 1
