"""The way to engines: no permit, no bytes; lines are used again only where that is safe."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network
from itertools import pairwise
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import BoundaryRefused
from ringfence.egress.permit import Permit, issue
from ringfence.egress.pool import IDLE_LINES, Line, Pool
from ringfence.testing.fake_dialects import FakeModel
from ringfence.testing.fake_engine import Behaviour, FakeEngine, Fault

ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
HERE = Permit("call", Boundary.HOST, Boundary.HOST)


class Taken:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.body = b""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_head(self, status: int, content_type: bytes) -> None:
        pass

    def on_piece(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.ended.set_result("end")

    def on_lost(self, reason: str) -> None:
        self.ended.set_result(reason)


@pytest.mark.parametrize("reached", list(Boundary))
@pytest.mark.parametrize("allowed", list(Boundary))
def test_a_permit_is_issued_only_within_what_is_allowed(allowed: Boundary, reached: Boundary) -> None:
    at = Endpoint("127.0.0.1", 1, reached)
    if reached <= allowed:
        assert issue("call", allowed, at) == Permit("call", allowed, reached)
        return
    with pytest.raises(BoundaryRefused) as refused:
        issue("call", allowed, at)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "permit",
    [
        Permit("call", Boundary.HOST, Boundary.CLOUD),
        Permit("call", Boundary.CLOUD, Boundary.MESH),
        Permit("call", Boundary.CLOUD, Boundary.CLOUD),
    ],
)
async def test_a_line_checks_the_permit_against_what_it_reaches(permit: Permit) -> None:
    async with FakeEngine() as engine:
        pool = Pool()
        line = await pool.dial(engine.endpoint)
        with pytest.raises(BoundaryRefused):
            line.ask(Taken(), permit, ASK, b"{}", 1, 1, True)
        await asyncio.sleep(0.02)
        assert engine.requests == []
        line.cancel()


@pytest.mark.parametrize("claimed", [Boundary.HOST, Boundary.MESH])
async def test_an_endpoint_that_claims_to_be_nearer_than_it_is_is_not_dialled(claimed: Boundary) -> None:
    with pytest.raises(BoundaryRefused):
        await Pool(mesh=(ip_network("10.0.0.0/8"),)).dial(Endpoint("192.0.2.1", 1, claimed))
    with pytest.raises(ValueError, match="address"):
        await Pool().dial(Endpoint("localhost", 1, claimed))


async def test_an_idle_line_is_used_again_but_not_for_another_boundary() -> None:
    async with FakeEngine() as engine:
        pool, taken = Pool(), Taken()
        assert pool.take(engine.endpoint) is None
        line = await pool.dial(engine.endpoint)
        line.ask(taken, HERE, ASK, b"{}", 1, 1, True)
        assert await taken.ended == "end"
        assert pool.take(Endpoint("127.0.0.1", engine.port, Boundary.CLOUD)) is None
        line = await pool.dial(engine.endpoint)
        line.ask(taken := Taken(), HERE, ASK, b"{}", 1, 1, True)
        await taken.ended
        assert pool.take(engine.endpoint) is line
        assert pool.take(engine.endpoint) is None
        pool.keep(line)
        pool.close()


@pytest.mark.parametrize("keep", [True, False])
async def test_a_line_that_must_not_be_used_again_is_closed(keep: bool) -> None:
    async with FakeEngine() as engine:
        pool, taken = Pool(), Taken()
        line = await pool.dial(engine.endpoint)
        line.ask(taken, HERE, ASK, b"{}", 1, 1, keep)
        await taken.ended
        assert (pool.take(engine.endpoint) is line) is keep
        line.transport.abort()


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour(Fault.HANG), "first_byte_timeout"),
        (Behaviour(Fault.STALL), "stalled"),
        (Behaviour(Fault.DROP), "lost"),
        (Behaviour(Fault.GARBAGE), "malformed"),
    ],
)
async def test_how_an_exchange_is_lost(behaviour: Behaviour, reason: str) -> None:
    async with FakeEngine() as engine:
        engine.once(behaviour)
        pool, taken = Pool(), Taken()
        line = await pool.dial(engine.endpoint)
        ask = b'{"model": "fake-model"}'
        line.ask(taken, HERE, ASK.replace(b" 2\r", b" %d\r" % len(ask)), ask, 0.1, 0.1, True)
        assert await asyncio.wait_for(taken.ended, 25) == reason
        assert not pool.active


async def test_a_used_line_that_died_is_stale() -> None:
    async with FakeEngine() as engine:
        pool = Pool()
        line = await pool.dial(engine.endpoint)
        line.ask(taken := Taken(), HERE, ASK, b"{}", 1, 1, True)
        await taken.ended
        engine.once(Behaviour(Fault.DROP))
        again = pool.take(engine.endpoint)
        assert again is not None
        again.ask(taken := Taken(), HERE, ASK, b"{}", 1, 1, True)
        assert await taken.ended == "stale"


async def test_what_nobody_asked_for_ends_the_line() -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(chatty, "127.0.0.1", 0)
    pool = Pool()
    line = await pool.dial(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], Boundary.HOST))
    async with asyncio.timeout(25):
        while not line.transport.is_closing():
            await asyncio.sleep(0.005)
    server.close()


async def test_idle_lines_are_bounded() -> None:
    async with FakeEngine() as engine:
        pool = Pool()
        lines = [await pool.dial(engine.endpoint) for _ in range(IDLE_LINES + 2)]
        for line in lines:
            pool.keep(line)
        assert [line.transport.is_closing() for line in lines[:3]] == [True, True, False]
        pool.close()


async def test_one_that_fails_to_hear_of_its_end_does_not_stop_the_clock() -> None:
    class Broken(Taken):
        def on_lost(self, reason: str) -> None:
            raise ZeroDivisionError

    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context["exception"]))
    async with FakeEngine() as engine:
        engine.always = Behaviour(Fault.HANG)
        pool, taken = Pool(), Taken()
        for receiver, patience_s in ((Broken(), 0.05), (taken, 0.15)):
            (await pool.dial(engine.endpoint)).ask(receiver, HERE, ASK, b"{}", patience_s, 1, True)
        assert await asyncio.wait_for(taken.ended, 25) == "first_byte_timeout"
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


async def test_fetching_a_document() -> None:
    async with FakeEngine("vllm") as engine:
        pool = Pool()
        found = await pool.fetch(engine.endpoint, "/v1/models")
        assert (found.status, found.body["data"][0]["id"]) == (200, "fake-model")
        assert (await pool.fetch(engine.endpoint, "/nothing")).status == 404
        engine.always = Behaviour(Fault.HANG)
        assert (await pool.fetch(engine.endpoint, "/v1/models", 0.05)).status == 0
    assert (await Pool().fetch(Endpoint("127.0.0.1", 9, Boundary.HOST), "/")).status == 0


async def test_a_question_about_a_text_needs_the_permit_of_its_call() -> None:
    async with FakeEngine("vllm", api_key="sk-engine") as engine:
        pool, asked = Pool(), {"model": "fake-model", "prompt": "one two three"}
        permit = issue("call-1", Boundary.HOST, engine.endpoint)
        told = await pool.ask(engine.endpoint, permit, "/tokenize", asked, 2.0)
        assert (told.status, told.body["count"]) == (200, 3)
        assert [request.body for request in engine.counted] == [asked]
        meshed = Endpoint("127.0.0.1", engine.port, Boundary.MESH, api_key="sk-engine")
        for far in (meshed, Endpoint("127.0.0.1", engine.port, Boundary.CLOUD)):
            with pytest.raises(BoundaryRefused):  # the permit of another endpoint covers nothing here
                await pool.ask(far, permit, "/tokenize", asked, 2.0)
        beyond = Endpoint("11.77.0.1", engine.port, Boundary.HOST)
        with pytest.raises(BoundaryRefused):
            await pool.ask(beyond, permit, "/tokenize", asked, 2.0)
        assert len(engine.counted) == 1
        engine.always = Behaviour(Fault.HANG)
        assert (await pool.ask(engine.endpoint, permit, "/tokenize", asked, 0.05)).status == 0
        assert not pool.active
    assert (await pool.ask(engine_gone(), issue("c", Boundary.HOST, engine_gone()), "/", {}, 1.0)).status == 0


def engine_gone() -> Endpoint:
    return Endpoint("127.0.0.1", 9, Boundary.HOST)


async def test_a_look_may_name_a_model() -> None:
    async with FakeEngine("ollama", (FakeModel("a", num_ctx=512),)) as engine:
        shown = await Pool().fetch(engine.endpoint, "/api/show", about={"model": "a"})
        assert "num_ctx" in shown.body["parameters"]
        assert engine.requests[-1].body == {"model": "a"}
        assert engine.calls == []


def test_a_secret_does_not_show() -> None:
    at = Endpoint("127.0.0.1", 1, Boundary.HOST, api_key="sk-secret")
    assert "sk-secret" not in repr(at)
    assert b"Bearer sk-secret" in at.head


class Still:
    """A transport that only notes whether it was told to stop reading."""

    is_reading = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _name: str) -> None:
        return None


class Slow(Taken):
    """A receiver whose own reader is slow."""

    line: Line

    def on_piece(self, data: bytes) -> None:
        super().on_piece(data)
        self.line.pause()


class SlowAtLast(Slow):
    """A receiver whose own reader is slow to take what it says at the end."""

    def on_piece(self, data: bytes) -> None:
        Taken.on_piece(self, data)

    def on_end(self) -> None:
        super().on_end()
        self.line.pause()


@pytest.mark.parametrize(("kind", "is_whole"), [(Slow, True), (Slow, False), (SlowAtLast, True)])
async def test_a_line_whose_answer_is_whole_is_not_left_unread(kind: type[Slow], is_whole: bool) -> None:
    """A pause with the last byte, or after it, would never be taken back: the next answer would not be read."""
    pool, endpoint, transport = Pool(), Endpoint("127.0.0.1", 1, Boundary.HOST), Still()
    line = Line(pool, endpoint)
    line.connection_made(transport)  # type: ignore[arg-type]
    receiver = kind()
    receiver.line = line
    line.ask(receiver, HERE, ASK, b"{}", 5, 5, keep=True)
    line.data_received(
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwhol"
        if is_whole
        else b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwh"
    )
    assert transport.is_reading is is_whole
    assert (pool.take(endpoint) is line) is is_whole
    if pool.timer is not None:
        pool.timer.cancel()


@pytest.mark.parametrize("places", [(), (30,), (30, 40), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("body", [b"busy", b""], ids=["body", "none"])
@pytest.mark.parametrize(
    ("line", "told"),
    [(b"Retry-After: 7", b"7"), (b"retry-after:\t12 ", b"12"), (b"x-retry-after: 7", None), (b"x: y", None)],
)
async def test_an_error_says_when_to_come_again(
    places: tuple[int, ...], body: bytes, line: bytes, told: bytes | None
) -> None:
    """However its head is cut into pieces, and not what an earlier answer on the same line said."""
    pool, endpoint = Pool(), Endpoint("127.0.0.1", 1, Boundary.HOST)
    used = Line(pool, endpoint)
    used.connection_made(Still())  # type: ignore[arg-type]
    earlier = b"HTTP/1.1 503 X\r\nretry-after: 99\r\ncontent-length: 0\r\n\r\n"
    answer = b"HTTP/1.1 503 Busy\r\n%b\r\ncontent-length: %d\r\n\r\n%b" % (line, len(body), body)
    for sent in (earlier, answer):
        taken = Taken()
        used.ask(taken, HERE, ASK, b"{}", 5, 5, keep=True)
        for start, end in pairwise([0, *places, len(sent)]):
            used.data_received(sent[start:end])
        assert (await taken.ended, used.status()) == ("end", 503)
    assert used.header(b"retry-after") == told
    if pool.timer is not None:
        pool.timer.cancel()
