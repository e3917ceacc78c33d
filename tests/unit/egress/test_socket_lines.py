"""Lines to the egress process: on a Unix socket, at CLOUD, and with the header lines of what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.errors import BoundaryRefused
from ringfence.egress.client import call_head, egress_endpoint
from ringfence.egress.permit import Permit, issue
from ringfence.egress.pool import HeadedLine, Line, Pool

CLOUD = Permit("call", Boundary.CLOUD, Boundary.CLOUD)
HOST = Permit("call", Boundary.HOST, Boundary.HOST)


class Taken:
    """A receiver that remembers, and pauses its line when told to."""

    def __init__(self, line: Line, *, pauses: bool = False) -> None:
        self.line = line
        self.pauses = pauses
        self.body = b""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_piece(self, data: bytes) -> None:
        self.body += data
        if self.pauses:
            self.line.pause()

    def on_end(self) -> None:
        self.ended.set_result("end")

    def on_lost(self, reason: str) -> None:
        self.ended.set_result(reason)


@contextlib.asynccontextmanager
async def answering(path: Path, answer: bytes) -> AsyncIterator[list[bytes]]:
    """A Unix socket that says `answer` to everything; what it read."""
    read: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            read.append(data)
            writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield read
    finally:
        server.close()


ANSWER = b"HTTP/1.1 429 Too Many\r\nRetry-After: 5\r\nX-Egress-Refused: calls_per_day\r\ncontent-length: 2\r\n\r\n{}"


async def test_an_answer_of_egress_shows_its_header_lines(tmp_path: Path) -> None:
    async with answering(tmp_path / "s", ANSWER) as read:
        pool, endpoint = Pool(), egress_endpoint(tmp_path / "s")
        for _ in range(2):
            line = pool.take(endpoint) or await pool.dial(endpoint)
            assert isinstance(line, HeadedLine)
            taken = Taken(line)
            line.ask(taken, CLOUD, call_head(endpoint, b"x-permit: {}\r\n") + b"0\r\n\r\n", b"", 1, 1, True)
            assert await taken.ended == "end"
            assert (line.header(b"retry-after"), line.header(b"x-egress-refused")) == (b"5", b"calls_per_day")
            assert len(line.headers) == 3
        assert line.reused
        assert read[0].startswith(b"POST /v1/calls HTTP/1.1\r\nhost: egress\r\nx-permit: {}\r\n")
        pool.close()


async def test_trailers_are_no_header_lines(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\na: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-egress-refused: no\r\n\r\n"
    async with answering(tmp_path / "s", answer):
        pool = Pool()
        line = await pool.dial(egress_endpoint(tmp_path / "s"))
        assert isinstance(line, HeadedLine)
        taken = Taken(line)
        line.ask(taken, CLOUD, b"GET / HTTP/1.1\r\n\r\n", b"", 1, 1, True)
        assert await taken.ended == "end"
        assert line.header(b"x-egress-refused") is None
        assert line.header(b"a") == b"1"
        pool.close()


@pytest.mark.parametrize("claimed", [Boundary.HOST, Boundary.MESH])
async def test_a_socket_that_claims_to_be_near_is_not_dialled(tmp_path: Path, claimed: Boundary) -> None:
    """It is on this machine, but what is said there is not meant to stay."""
    async with answering(tmp_path / "s", ANSWER):
        with pytest.raises(BoundaryRefused):
            await Pool().dial(Endpoint(str(tmp_path / "s"), 0, claimed))


async def test_a_local_call_says_nothing_to_egress(tmp_path: Path) -> None:
    async with answering(tmp_path / "s", ANSWER) as read:
        endpoint = egress_endpoint(tmp_path / "s")
        with pytest.raises(BoundaryRefused):
            issue("call", Boundary.MESH, endpoint)
        line = await Pool().dial(endpoint)
        with pytest.raises(BoundaryRefused):
            line.ask(Taken(line), HOST, b"POST / HTTP/1.1\r\n\r\n", b"", 1, 1, True)
        await asyncio.sleep(0.02)
        assert read == []
        line.cancel()


async def test_nobody_there_is_a_failure_to_connect(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await Pool().dial(egress_endpoint(tmp_path / "s"))


async def test_a_line_that_is_paused_over_its_last_piece_is_fit_for_the_next_call(tmp_path: Path) -> None:
    """A slow client pauses the line with the piece that was the last: nothing would ever resume it."""
    async with answering(tmp_path / "s", ANSWER):
        pool, endpoint = Pool(), egress_endpoint(tmp_path / "s")
        for _ in range(2):
            line = pool.take(endpoint) or await pool.dial(endpoint)
            taken = Taken(line, pauses=True)
            line.ask(taken, CLOUD, b"GET / HTTP/1.1\r\n\r\n", b"", 0.5, 0.5, True)
            assert await taken.ended == "end"
        assert line.reused
        pool.close()


def test_an_endpoint_on_a_socket_names_it() -> None:
    endpoint = egress_endpoint(Path("/run/x/egress.sock"))
    assert (endpoint.is_socket, endpoint.authority, endpoint.url) == (
        True,
        "/run/x/egress.sock",
        "unix:/run/x/egress.sock",
    )
    assert endpoint.head == b"host: egress\r\n"
    assert not Endpoint("127.0.0.1", 1, Boundary.HOST).is_socket


async def test_another_users_process_is_told_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(tmp_path / "s", ANSWER) as read:
        pool = Pool()
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(PermissionError):
            await pool.dial(egress_endpoint(tmp_path / "s"))
        assert (await pool.fetch(egress_endpoint(tmp_path / "s"), "/health")).status == 0
        assert read == []
        monkeypatch.undo()
        (await pool.dial(egress_endpoint(tmp_path / "s"))).cancel()
