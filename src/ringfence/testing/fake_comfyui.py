"""ComfyUI's HTTP API on loopback, over real sockets, as its server answers: a queue, memory, and what frees it.

async with FakeComfyUi() as comfy:
    comfy.submit()          # a job runs, and takes memory
    comfy.finish()          # it is done; the memory stays with torch
    ...
    assert comfy.freed == [{"unload_models": True, "free_memory": True}]

What is asked for by /free is done between two jobs, as by the real one's worker. Answers are shaped after a server of
version 0.3: numbers, names and order of the fields.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Endpoint
from ringfence.testing.ports import listen

GIB = 1 << 30
MIB = 1 << 20
IDLE_BYTES = 32 * MIB
"""What torch keeps reserved when no model is loaded."""
SECRET_PROMPT = "a castle nobody may know of"  # noqa: S105


class FakeComfyUi:
    """`holds_bytes` is what a job makes torch reserve. While `answers` is not set, nothing is answered."""

    def __init__(self, holds_bytes: int = 9 * GIB, device_type: str = "cuda") -> None:
        self.holds_bytes = holds_bytes
        self.device_type = device_type
        self.answers = asyncio.Event()
        self.answers.set()
        self.keeps = False
        """A custom node that holds on to its memory, whatever is asked."""
        self.paths: list[str] = []
        self.freed: list[Any] = []
        self.torch_bytes = IDLE_BYTES
        self._flags: dict[str, Any] = {}
        self._running: list[Any] = []
        self._pending: list[Any] = []
        self._count = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    # -- what its users do --------------------------------------------------------------------------------------

    def submit(self) -> None:
        """A job; it runs at once where none does."""
        self._count += 1
        job = [self._count, f"prompt-{self._count}", {"1": {"inputs": {"text": SECRET_PROMPT}}}, {}, ["1"]]
        self._pending.append(job)
        self._next()

    def finish(self) -> None:
        """The job that runs is done, and the next begins."""
        self._running.clear()
        self._work()
        self._next()

    def _next(self) -> None:
        if self._pending and not self._running:
            self._running.append(self._pending.pop(0))
            self.torch_bytes = max(self.torch_bytes, self.holds_bytes)

    def _work(self) -> None:
        """What the worker does between two jobs."""
        flags, self._flags = self._flags, {}
        if flags.get("unload_models", flags.get("free_memory", False)) and not self.keeps:
            self.torch_bytes = IDLE_BYTES

    # -- the server ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> FakeComfyUi:
        self._server = await listen(self._serve)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """As a program that was ended."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self.answers.set()
            for writer in self._writers:
                writer.close()
            await server.wait_closed()

    @property
    def endpoint(self) -> Endpoint:
        assert self._server is not None
        return Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1], Boundary.HOST)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                sizes = [line.partition(":")[2] for line in head.lower().split("\r\n") if line.startswith("content-le")]
                data = await reader.readexactly(int(sizes[0]) if sizes else 0)
                self.paths.append(f"{method} {path}")
                await self.answers.wait()
                status, body = self._answer(method, path, data)
                length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                kind = "Content-Type: application/json; charset=utf-8\r\n" if body else ""
                writer.write(f"HTTP/1.1 {status}\r\n{kind}{length}".encode() + body)
                await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, method: str, path: str, data: bytes) -> tuple[str, bytes]:
        if (method, path) == ("POST", "/free"):
            asked = json.loads(data)
            self.freed.append(asked)
            self._flags |= {name: True for name in ("unload_models", "free_memory") if asked.get(name)}
            if not self._running and not self._pending:
                self._work()
            return "200 OK", b""
        told = {
            ("GET", "/prompt"): {"exec_info": {"queue_remaining": len(self._running) + len(self._pending)}},
            ("GET", "/queue"): {"queue_running": self._running, "queue_pending": self._pending},
            ("GET", "/system_stats"): self._stats(),
        }.get((method, path))
        return ("404 Not Found", b"") if told is None else ("200 OK", json.dumps(told).encode())

    def _stats(self) -> dict[str, Any]:
        system = {
            "os": "posix", "ram_total": 67_353_968_640, "ram_free": 41_214_435_328, "comfyui_version": "0.3.40",
            "python_version": "3.12.3 (main) [GCC 13.3.0]", "pytorch_version": "2.7.1+cu128", "embedded_python": False,
            "argv": ["main.py", "--port", "8188"],
        }  # fmt: skip
        card = {
            "name": "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync", "type": self.device_type, "index": 0,
            "vram_total": 24 * GIB, "vram_free": 23 * GIB - self.torch_bytes, "torch_vram_total": self.torch_bytes,
            "torch_vram_free": MIB,
        }  # fmt: skip
        return {"system": system, "devices": [card]}
