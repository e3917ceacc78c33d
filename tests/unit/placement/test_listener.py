"""Who listens at a port, told by the kernel: a real process with real arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.core.ports import Fetched
from ringfence.engines import vllm
from ringfence.placement.examine import examine
from ringfence.placement.listener import listeners

LISTEN = """
import socket, sys
with socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as one:
    print(one.getsockname()[1], flush=True)
    sys.stdin.read()
"""
Start = Callable[..., tuple[int, int]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that listens; its port and its id."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, address: str = "127.0.0.1", **variables: str) -> tuple[int, int]:
        process = subprocess.Popen(
            [sys.executable, "-c", LISTEN, address, *arguments], env=os.environ | variables, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline()), process.pid

    yield start
    for process in started:
        process.communicate()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0"])
def test_the_process_that_listens_is_found(start: Start, address: str) -> None:
    port, pid = start("--rpc", "192.0.2.7:50052", address=address, LLAMA_ARG_RPC="192.0.2.8:1")
    [found] = listeners(port)
    assert (found.pid, found.arguments[-2:]) == (pid, ("--rpc", "192.0.2.7:50052"))
    assert found.environment["LLAMA_ARG_RPC"] == "192.0.2.8:1"
    assert "192.0.2" not in repr(found)


def test_nobody_is_found_where_nobody_listens(tmp_path: Path) -> None:
    assert listeners(1) == []
    assert listeners(1, tmp_path) == []


async def test_an_engine_with_peers_keeps_nothing_here(start: Start) -> None:
    async def fetch(path: str, **_: Any) -> Fetched:
        known = {"/version": {"version": "0.11.0"}, "/v1/models": {"data": [{"id": "a", "owned_by": "vllm"}]}}
        return Fetched(200, known[path]) if path in known else Fetched(404)

    async def reaches(port: int) -> list[bool]:
        offers = await examine(vllm.ADAPTER, fetch, Endpoint("127.0.0.1", port, Boundary.HOST))
        assert offers is not None
        return [offer.reaches_cloud for offer in offers]

    assert await reaches(start()[0]) == [False]
    assert await reaches(start("--rpc", "127.0.0.1:50052")[0]) == [False]
    assert await reaches(start("--rpc", "192.0.2.7:50052")[0]) == [True]
    assert await reaches(start(LLAMA_ARG_RPC="192.0.2.7:50052")[0]) == [True]
