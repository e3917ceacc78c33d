"""Answers that callers may follow up on disk. What was said is sealed; what else stands there are names and times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from ringfence.store.db import Database
from ringfence.store.sealing import Seal, find_seal
from ringfence.store.tables import responses

MOST_BYTES = 1024**3
"""Of all that is kept: the oldest are forgotten before their time."""
LOOKED_UP = 64
"""Characters of an id."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One response without its text. Times are UTC seconds. `boundary` is how far its text may travel."""

    id: str
    key_id: str
    boundary: int
    model: str
    created_s: float
    expires_s: float

    @property
    def about(self) -> bytes:
        """What its seal is bound to: a row in which one of these was changed does not open."""
        return orjson.dumps(
            ("response", self.id, self.key_id, self.boundary, self.model, self.created_s, self.expires_s)
        )


COLUMNS = [responses.c[name] for name in Kept.__dataclass_fields__]


class ResponseRows:
    """The table `responses`, sealed with the key of what is parked. Everything raises StoreFailed."""

    def __init__(self, db: Database, folder: Path) -> None:
        self._db = db
        self._folder = folder
        self._seal: Seal | None = None

    async def add(self, row: Kept, text: bytes) -> None:
        def write(connection: Connection) -> None:
            values: dict[str, Any] = {name: getattr(row, name) for name in Kept.__dataclass_fields__}
            connection.execute(insert(responses).values(values | {"body": self._sealing().close(text, row.about)}))

        await self._db.run(write)

    async def replace(self, row: Kept, text: bytes) -> bool:
        """Another text for a row that is there; False where it was deleted meanwhile."""

        def write(connection: Connection) -> bool:
            body = self._sealing().close(text, row.about)
            query = update(responses).where(*_is(row.id, row.key_id)).values(body=body)
            return connection.execute(query).rowcount == 1

        return await self._db.run(write)

    async def find(self, response_id: str, key_id: str, now_s: float) -> tuple[Kept, bytes] | None:
        """Of this key; None when there is none, or none any more. Raises Unreadable."""

        def read(connection: Connection) -> tuple[Kept, bytes] | None:
            query = select(*COLUMNS, responses.c.body).where(*_is(response_id, key_id), responses.c.expires_s > now_s)
            found = connection.execute(query).first()
            if found is None:
                return None
            row = _row(found)
            return row, self._sealing().open(bytes(found.body), row.about)

        return await self._db.run(read)

    async def delete(self, response_id: str, key_id: str) -> bool:
        """Whether there was one of this key."""

        def forget(connection: Connection) -> bool:
            return connection.execute(delete(responses).where(*_is(response_id, key_id))).rowcount == 1

        return await self._db.run(forget)

    async def prune(self, now_s: float) -> None:
        """Forgets what has expired, and the oldest of too many."""

        def forget(connection: Connection) -> None:
            connection.execute(delete(responses).where(responses.c.expires_s <= now_s))
            size = func.sum(func.length(responses.c.body)).over(order_by=responses.c.created_s.desc())
            so_far = select(responses.c.id, size.label("size_bytes")).subquery()
            too_many = select(so_far.c.id).where(so_far.c.size_bytes > MOST_BYTES)
            connection.execute(delete(responses).where(responses.c.id.in_(too_many)))

        await self._db.run(forget)

    def _sealing(self) -> Seal:
        """The seal; its key is made at first use."""
        if self._seal is None:
            self._seal = find_seal(self._folder)
        return self._seal


def _is(response_id: str, key_id: str) -> tuple[Any, Any]:
    return responses.c.id == response_id[:LOOKED_UP], responses.c.key_id == key_id


def _row(found: Row[Any]) -> Kept:
    return Kept(**{name: getattr(found, name) for name in Kept.__dataclass_fields__})
