"""Files that callers left here, in sealed parts. What else stands there are names, sizes and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from ringfence.store.db import Database
from ringfence.store.sealing import Seal, find_seal
from ringfence.store.tables import batches, file_parts, files

ENDED = ("completed", "failed", "expired", "cancelled")
"""States in which a batch needs its files no more."""


class FilesFull(Exception):
    """All files together would be larger than they may be."""


class InUse(Exception):
    """A batch still works with the file."""


@dataclass(frozen=True, slots=True)
class File:
    """One file without its text. Times are UTC seconds; `boundary` is how far its text may travel. One that is not
    whole is still written, and nobody sees it."""

    id: str
    key_id: str
    purpose: str
    filename: str
    size_bytes: int
    boundary: int
    created_s: float
    expires_s: float
    is_whole: bool = True
    number: int = 0

    def about(self, part: int) -> bytes:
        """What the seal of a part is bound to."""
        return orjson.dumps(("file", self.id, self.key_id, self.boundary, part))


COLUMNS = [files.c[name] for name in File.__dataclass_fields__]


class FileRows:
    """The tables of files, and the seal of their texts. Raises StoreFailed when database or key cannot be used."""

    def __init__(self, db: Database, state_dir: Path) -> None:
        self._db = db
        self._folder = state_dir
        self._seal: Seal | None = None

    def sealing(self) -> Seal:
        """The seal; its key is made at first use."""
        if self._seal is None:
            self._seal = find_seal(self._folder)
        return self._seal

    async def add(self, file: File, parts: Sequence[bytes], most_bytes: int) -> File:
        """Written, and synced, when this returns. Raises FilesFull."""

        def write(connection: Connection) -> File:
            if held_bytes(connection) + file.size_bytes > most_bytes:
                raise FilesFull
            number = insert_file(connection, file, self.sealing())
            added = _with(file, number=number)
            put_parts(connection, added, self.sealing(), enumerate(parts))
            return added

        return await self._db.run(write)

    async def find(self, file_id: str, key_id: str, now_s: float) -> File | None:
        """As long as it is there for this key."""

        def read(connection: Connection) -> File | None:
            file = find_file(connection, file_id)
            is_theirs = file is not None and file.key_id == key_id and file.is_whole
            return file if is_theirs and file is not None and file.expires_s > now_s else None

        return await self._db.run(read)

    async def listed(
        self, key_id: str, now_s: float, *, most: int, after: str = "", purpose: str = "", is_rising: bool = False
    ) -> list[File]:
        """The latest first, unless it `is_rising`; those that stand behind the file `after`."""

        def read(connection: Connection) -> list[File]:
            query = select(*COLUMNS).where(files.c.key_id == key_id, files.c.is_whole, files.c.expires_s > now_s)
            if purpose:
                query = query.where(files.c.purpose == purpose)
            last = find_file(connection, after) if after else None
            if last is not None:
                query = query.where(files.c.number > last.number if is_rising else files.c.number < last.number)
            query = query.order_by(files.c.number if is_rising else files.c.number.desc()).limit(most)
            return [_row(found) for found in connection.execute(query)]

        return await self._db.run(read)

    async def read(self, file: File, after: int, least_bytes: int) -> list[tuple[int, bytes]]:
        """The parts behind the part `after` (-1: from the first), with their numbers: as many as come to `least_bytes`,
        none at the end. Raises Unreadable."""

        def read(connection: Connection) -> list[tuple[int, bytes]]:
            query = select(file_parts.c.part, file_parts.c.sealed).order_by(file_parts.c.part)
            query = query.where(file_parts.c.file_number == file.number, file_parts.c.part > after).limit(1000)
            opened: list[tuple[int, bytes]] = []
            size = 0
            for part, sealed in connection.execute(query).yield_per(16):
                text = self.sealing().open(bytes(sealed), file.about(part))
                opened.append((part, text))
                size += len(text)
                if size >= least_bytes:
                    break
            return opened

        return await self._db.run(read)

    async def delete(self, file: File) -> None:
        """With all of its text. Raises InUse."""

        def write(connection: Connection) -> None:
            needed = (batches.c.input_file_id == file.id) & batches.c.state.not_in(ENDED)
            if connection.execute(select(batches.c.id).where(needed).limit(1)).first() is not None:
                raise InUse
            drop(connection, [file.number])

        await self._db.run(write)

    async def prune(self, now_s: float) -> None:
        """Forgets what has expired and no batch works with."""

        def forget(connection: Connection) -> None:
            busy = batches.c.state.not_in(ENDED)
            used = [
                select(batches.c[name]).where(busy) for name in ("input_file_id", "output_file_id", "error_file_id")
            ]
            query = select(files.c.number).where(files.c.expires_s <= now_s)
            for ids in used:
                query = query.where(files.c.id.not_in(ids))
            drop(connection, [number for (number,) in connection.execute(query)])

        await self._db.run(forget)


def insert_file(connection: Connection, file: File, seal: Seal) -> int:
    """Its number."""
    values = {name: getattr(file, name) for name in File.__dataclass_fields__ if name != "number"}
    key = connection.execute(insert(files).values(values | {"seal_key": seal.key_id})).inserted_primary_key
    return key[0] if key is not None else 0


def put_parts(connection: Connection, file: File, seal: Seal, parts: Any) -> None:
    """Sealed, by their numbers."""
    rows = [
        {
            "file_number": file.number,
            "part": part,
            "size_bytes": len(text),
            "sealed": seal.close(text, file.about(part)),
        }
        for part, text in parts
    ]  # fmt: skip
    if rows:
        connection.execute(insert(file_parts), rows)


def find_file(connection: Connection, file_id: str) -> File | None:
    found = connection.execute(select(*COLUMNS).where(files.c.id == file_id)).first()
    return _row(found) if found is not None else None


def finish_file(connection: Connection, file: File, expires_s: float) -> bool:
    """It is whole from now on; one without any text goes, and False is returned."""
    here = file_parts.c.file_number == file.number
    count, size = connection.execute(
        select(func.count(), func.coalesce(func.sum(file_parts.c.size_bytes), 0)).where(here)
    ).one()
    if not count:
        drop(connection, [file.number])
        return False
    values = {"is_whole": True, "size_bytes": size, "expires_s": expires_s}
    connection.execute(update(files).where(files.c.number == file.number).values(values))
    return True


def held_bytes(connection: Connection) -> int:
    """Of all files, of those too that are still written."""
    return connection.execute(select(func.coalesce(func.sum(file_parts.c.size_bytes), 0))).scalar_one()


def drop(connection: Connection, numbers: Sequence[int]) -> None:
    """Files, and what is in them."""
    connection.execute(delete(file_parts).where(file_parts.c.file_number.in_(numbers)))
    connection.execute(delete(files).where(files.c.number.in_(numbers)))


def _row(found: Row[Any]) -> File:
    return File(**found._mapping)


def _with(file: File, **changes: Any) -> File:
    return File(**({name: getattr(file, name) for name in File.__dataclass_fields__} | changes))
