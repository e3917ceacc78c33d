"""What is told of batches to whoever runs the gateway: names, counts and times, never any text of them."""

from __future__ import annotations

from time import time
from typing import Any

from ringfence.core.errors import NotFound
from ringfence.gateway.batches.running import Running
from ringfence.store import keys as keystore
from ringfence.store.batches import Batch
from ringfence.store.db import Database

SHOWN = 100


class WhatIsBatched:
    """Batches of all keys."""

    def __init__(self, running: Running, db: Database) -> None:
        self._running = running
        self._db = db

    async def all(self) -> dict[str, Any]:
        """The latest first."""
        names = await self._key_names()
        found = await self._running.rows.listed(None, most=SHOWN)
        return {"batches": [_row(batch, names) for batch in found], "running": self._running.lines_going}

    async def one(self, batch_id: str) -> dict[str, Any]:
        """Raises NotFound."""
        batch = await self._find(batch_id)
        return _row(batch, await self._key_names()) | {"errors": list(batch.errors)}

    async def cancel(self, batch_id: str) -> dict[str, Any]:
        """As it is afterwards."""
        batch = await self._find(batch_id)
        if not batch.has_ended:
            await self._running.cancel(batch)
        return await self.one(batch_id)

    async def _find(self, batch_id: str) -> Batch:
        batch = await self._running.rows.find(batch_id[:64])
        if batch is None:
            raise NotFound(f"There is no batch '{batch_id[:64]}'; `ringfence batches list` shows them.")
        return batch

    async def _key_names(self) -> dict[str, str]:
        return {key.id: key.name for key in await self._db.run(keystore.all_keys)}


def _row(batch: Batch, names: dict[str, str]) -> dict[str, Any]:
    ended_s = batch.times.get(f"{batch.state}_at") if batch.has_ended else None
    now_s = time()
    return {
        "id": batch.id, "status": batch.state, "key": names.get(batch.key_id, batch.key_id), "profile": batch.profile,
        "endpoint": batch.endpoint, "model": batch.model, "total": batch.total, "completed": batch.completed,
        "failed": batch.failed,
        "age_s": round(max(0.0, (ended_s or now_s) - batch.created_s), 1),
        "not_before_s": round(batch.not_before_s - now_s, 1) if batch.not_before_s > now_s else None,
        "left_s": None if batch.has_ended else round(max(0.0, batch.expires_s - now_s), 1),
    }  # fmt: skip
