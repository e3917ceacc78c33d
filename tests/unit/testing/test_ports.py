"""Ports for what tests start."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from pathlib import Path

import pytest

from ringfence.testing import ports
from ringfence.testing.fake_engine import FakeEngine

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


async def test_the_port_of_an_engine_that_was_stopped_stays_free() -> None:
    async with FakeEngine("vllm") as engine:
        port = engine.port
        await engine.stop()
        async with contextlib.AsyncExitStack() as stack:
            others = [await stack.enter_async_context(FakeEngine("vllm")) for _ in range(100)]
            assert port not in {other.port for other in others}
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = ports.free_port()
        monkeypatch.setattr(ports, "_ports", itertools.cycle((port, free)))
        assert ports.free_port() == free
        monkeypatch.setattr(ports, "_ports", itertools.repeat(port))
        with pytest.raises(OSError, match="no free port at"):
            ports.free_port()


@pytest.mark.skipif(not RANGE.exists(), reason="told by Linux")
def test_the_system_gives_them_to_nobody() -> None:
    lowest = int(RANGE.read_text().split()[0])
    assert lowest >= ports.FIRST + ports.COUNT
