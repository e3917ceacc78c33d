"""Leases of devices' memory that are held, on disk, so that a restart of the gateway forgets none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from ringfence.store.db import Database
from ringfence.store.tables import leases


@dataclass(frozen=True, slots=True)
class KeptLease:
    """One row. `started` is when the process with this pid began, so that a later one is not taken for it."""

    id: str
    tenant: str
    device: str
    leased_bytes: int
    priority: int
    is_recalled: bool
    ttl_s: float
    pid: int | None
    started: str
    is_watched: bool


class LeaseRows:
    """The table. Raises StoreFailed when the database cannot be used."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> list[KeptLease]:
        return await self._db.run(
            lambda connection: [KeptLease(**row._mapping) for row in connection.execute(select(leases))]
        )

    async def replace(self, kept: Iterable[KeptLease]) -> None:
        """These and no others: there are few, and they change together."""
        rows = [asdict(one) for one in kept]
        await self._db.run(lambda connection: _replace(connection, rows))


def _replace(connection: Connection, rows: list[dict[str, object]]) -> None:
    connection.execute(delete(leases))
    if rows:
        connection.execute(insert(leases), rows)
