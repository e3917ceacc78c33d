"""Batches that are under way at a provider, on disk: what they are called there, and how far they are known to be.

One is written down before its first byte leaves, with the holds of its lines after it. So after a crash each of them is
either found at the provider by its id, which stands in its metadata there, or was never made.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from ringfence.store.db import Database
from ringfence.store.tables import provider_batches

SUBMITTING, SUBMITTED, CANCELLING, ENDED = "submitting", "submitted", "cancelling", "ended"


@dataclass(frozen=True, slots=True)
class ProviderBatch:
    """Of lines of the batch `batch_id`, all for one model of one provider. `remote_id` is the provider's own, empty
    while it is not known. Times are UTC seconds."""

    id: str
    batch_id: str
    provider: str
    model: str
    created_s: float
    expires_s: float
    remote_id: str = ""
    state: str = SUBMITTING


COLUMNS = [provider_batches.c[name] for name in ProviderBatch.__dataclass_fields__]


class ProviderBatchRows:
    """Raises StoreFailed."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, batch: ProviderBatch) -> None:
        """On the disk when this returns."""
        values = {name: getattr(batch, name) for name in ProviderBatch.__dataclass_fields__}
        await self._db.run(lambda connection: connection.execute(insert(provider_batches).values(values)))

    async def open(self) -> list[ProviderBatch]:
        """Those that have not ended, the oldest first."""
        query = select(*COLUMNS).where(provider_batches.c.state != ENDED).order_by(provider_batches.c.created_s)
        return await self._db.run(
            lambda connection: [ProviderBatch(**row._mapping) for row in connection.execute(query)]
        )

    async def change(self, batch_id: str, state: str, remote_id: str | None = None) -> None:
        """One that has ended stays so."""
        values = {"state": state} | ({} if remote_id is None else {"remote_id": remote_id})
        is_open = (provider_batches.c.id == batch_id) & (provider_batches.c.state != ENDED)
        query = update(provider_batches).where(is_open).values(values)
        await self._db.run(lambda connection: connection.execute(query))

    async def prune(self, before_s: float) -> None:
        """Forgets what has ended, and was begun before then."""
        gone = (provider_batches.c.state == ENDED) & (provider_batches.c.created_s < before_s)
        await self._db.run(lambda connection: connection.execute(delete(provider_batches).where(gone)))
