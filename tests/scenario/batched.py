"""A composed gateway with files and batches, whose callers speak plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import forms
from composed import Client, Gateway, Reply, request, until

from ringfence.gateway.batches.batches import Batches
from ringfence.gateway.batches.files import Files
from ringfence.gateway.batches.running import Running
from ringfence.store.batches import BatchRows
from ringfence.store.db import Database
from ringfence.store.files import FileRows

CHAT = "/v1/chat/completions"
TICK_S = 0.02


class Desk:
    """The batches of one gateway, and a caller of them. `clock` is added to the time of the day."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway = gateway
        self.db = Database(folder / "ringfence.db")
        self.db.migrate()
        self.clock_s = 0.0
        self.running = Running(
            gateway.pipeline, BatchRows(self.db, FileRows(self.db, folder)), gateway.front.routes, self._key_of,
            wall=self.wall,
        )  # fmt: skip
        files = Files(gateway.pipeline, self.running.rows.files, lambda: self.running.settings, self.wall)
        gateway.front.desks += [files, Batches(gateway.pipeline, self.running, gateway.front.routes, self.wall)]
        self.client: Client
        self._ticking: asyncio.Task[None] | None = None

    def wall(self) -> float:
        return 1_790_000_000.0 + asyncio.get_running_loop().time() + self.clock_s

    def _key_of(self, key_id: str) -> Any:
        return next((key for key in self.gateway.keys.known.values() if key.id == key_id), None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.running.tick()

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        return await self.client.ask(path, body, method=method, **more)

    async def upload(self, text: bytes, purpose: str = "batch", **fields: str) -> Reply:
        head, body = form(text, purpose=purpose, **fields)
        return await self.client.ask("/v1/files", body, head=head)

    async def begin(self, lines: Iterable[dict[str, Any]], window: str = "24h", **more: Any) -> str:
        """The id of a batch."""
        file = await self.upload(jsonl(lines))
        asked = {"input_file_id": file.json["id"], "endpoint": CHAT, "completion_window": window} | more
        reply = await self.ask("POST", "/v1/batches", asked)
        assert reply.status == 200, reply.body
        return str(reply.json["id"])

    async def look(self, batch_id: str) -> dict[str, Any]:
        return (await self.ask("GET", f"/v1/batches/{batch_id}")).json

    async def ended(self, batch_id: str) -> dict[str, Any]:
        """The batch, once nothing more becomes of it."""
        await until(lambda: batch_id not in self.running.live, 25)
        return await self.look(batch_id)

    async def content(self, file_id: str | None) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        reply = await self.ask("GET", f"/v1/files/{file_id}/content")
        assert reply.status == 200
        return [json.loads(line) for line in reply.body.splitlines()]


@asynccontextmanager
async def batched(gateway: Gateway, folder: Path) -> AsyncIterator[Desk]:
    """Served as long as one likes; what has not ended goes on when it is opened again."""
    desk = Desk(gateway, folder)
    desk.client = await gateway.client()
    await desk.running.restore()
    ticking = asyncio.create_task(desk._tick())
    try:
        yield desk
    finally:
        ticking.cancel()
        await desk.running.close()
        desk.client.leave()
        desk.db.close()


def form(text: bytes, **fields: str) -> tuple[bytes, bytes]:
    """Header line and body of an upload."""
    told = [(name, value.encode()) for name, value in fields.items()]
    return f"content-type: {forms.FORM}\r\n".encode(), forms.form(*told, file=text, filename="in.jsonl")


def line(number: int, text: str = "", **more: Any) -> dict[str, Any]:
    body = {"model": "fast", "messages": [{"role": "user", "content": text or f"line {number}"}]} | more
    return {"custom_id": f"ask-{number}", "method": "POST", "url": CHAT, "body": body}


def jsonl(lines: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


__all__ = ["CHAT", "Desk", "batched", "form", "jsonl", "line", "request"]
