"""A real egress process on a real socket, and what a gateway says to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.core.boundary import Boundary
from ringfence.core.catalog import Ability
from ringfence.egress.child import EgressProcess, Pace
from ringfence.egress.client import call_head, egress_endpoint, permit_line
from ringfence.egress.journal_chain import Entry, read
from ringfence.egress.permit import Permit
from ringfence.egress.pool import HeadedLine, Line, Pool
from ringfence.testing.fake_cloud import Certificate

KEY = "sk-cloud-key-that-nobody-else-may-see"
CANARY = "canary-5150-in-the-prompt"
CLOUD = Permit("call-1", Boundary.CLOUD, Boundary.CLOUD)
WORKS: dict[str, Any] = {
    "model": "fake-large", "max_tokens": 50, "messages": [{"role": "user", "content": CANARY}],
}  # fmt: skip


def provider(url: str, name: str = "rented", **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "dialect": "openai", "url": url, "key": KEY, "calls_per_day": 1000, "max_tokens": 100,
    } | changes  # fmt: skip


@dataclass
class Taken:
    """What came back. `how` is end, or why it was lost."""

    line: Line
    pieces: list[bytes] = field(default_factory=list)
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    began: asyncio.Event = field(default_factory=asyncio.Event)

    def on_piece(self, data: bytes) -> None:
        self.pieces.append(data)
        self.began.set()

    def on_end(self) -> None:
        self.ended.set_result("end")

    def on_lost(self, reason: str) -> None:
        self.ended.set_result(reason)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def status(self) -> int:
        return self.line.status()

    @property
    def refused(self) -> str | None:
        assert isinstance(self.line, HeadedLine)
        code = self.line.header(b"x-egress-refused")
        return code.decode() if code is not None else None

    def header(self, name: bytes) -> bytes | None:
        assert isinstance(self.line, HeadedLine)
        return self.line.header(name)


class Away:
    """The gateway's side: a pool of its own, and the folder in which egress keeps its journal."""

    def __init__(self, folder: Path, process: EgressProcess) -> None:
        self.folder = folder
        self.process = process
        self.pool = Pool()
        self.endpoint = egress_endpoint(folder / "egress.sock")

    async def begin(self, body: Any = WORKS, permit: bytes | None = None, *, keep: bool = True, **told: Any) -> Taken:
        """Ask; returns before the answer. `permit`: the whole header line; `told`: what it says otherwise."""
        line = self.pool.take(self.endpoint) or await self.pool.dial(self.endpoint)
        said: dict[str, Any] = {
            "hold": "hold_1", "key": "key_1", "profile": "personal", "provider": "rented", "model": "fake-large",
            "max_tokens": 50, "ability": Ability.CHAT,
        }  # fmt: skip
        head = call_head(self.endpoint, permit_line(CLOUD, **(said | told)) if permit is None else permit)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        taken = Taken(line)
        line.ask(taken, CLOUD, b"%b%d\r\n\r\n" % (head, len(data)), data, 10.0, 10.0, keep)
        return taken

    async def ask(self, body: Any = WORKS, permit: bytes | None = None, **told: Any) -> Taken:
        taken = await self.begin(body, permit, **told)
        async with asyncio.timeout(15):
            await taken.ended
        return taken

    def journalled(self) -> list[Entry]:
        return list(read(self.folder / "journal"))

    async def until(self, holds: Callable[[], object]) -> None:
        """Waits for what another process or task is about to do."""
        async with asyncio.timeout(25):
            while not holds():
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def away(
    folder: Path,
    *providers: dict[str, Any],
    certificate: Certificate | None = None,
    pace: Pace | None = None,
    **told: Any,
) -> AsyncIterator[Away]:
    """A running egress process for these providers."""
    settings: dict[str, Any] = {
        "socket": str(folder / "egress.sock"), "journal": str(folder / "journal"), "providers": list(providers),
        "allow_insecure_loopback": True, "log_file": str(folder / "egress.log"),
    }  # fmt: skip
    if certificate is not None:
        settings["ca_file"] = str(certificate.cert_path)
    process = EgressProcess(settings | told, pace=pace)
    await asyncio.to_thread(process.start)
    outside = Away(folder, process)
    try:
        yield outside
    finally:
        outside.pool.close()
        await asyncio.to_thread(process.stop)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def rude_cloud(certificate: Certificate, talk: Talk) -> AsyncIterator[str]:
    """A server with TLS that answers whatever `talk` writes; its address."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert_path, certificate.key_path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
