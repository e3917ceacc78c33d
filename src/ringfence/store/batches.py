"""Batches on disk: who made each, how far it is, and what each of its lines was answered, once.

What a line was answered is one part of a file, and the number of the part is that of the line. So a file has them in
the order of the input however they came, and a line that is written twice is refused by the database.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from ringfence.store.db import Database
from ringfence.store.files import ENDED, File, FileRows, find_file, finish_file, insert_file, put_parts
from ringfence.store.sealing import Unreadable
from ringfence.store.tables import batches, file_parts, files

log = logging.getLogger("ringfence.batches")
VALIDATING, IN_PROGRESS, FINALIZING, CANCELLING = "validating", "in_progress", "finalizing", "cancelling"
COMPLETED, FAILED, EXPIRED, CANCELLED = ENDED
OUTPUT = "batch_output"
WORKS = (IN_PROGRESS, CANCELLING)
"""States in which lines are answered."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch. Times are UTC seconds. `boundary` is how far its text may travel, as its profile was when it was made;
    `reaches` has one figure a line where a text may travel less far, as it was read then."""

    id: str
    key_id: str
    profile: str
    boundary: int
    agent: str
    named: str
    labels: str
    endpoint: str
    input_file_id: str
    completion_window: str
    keep_s: float
    created_s: float
    expires_s: float
    output_file_id: str = ""
    error_file_id: str = ""
    state: str = VALIDATING
    times: Mapping[str, float] = field(default_factory=dict[str, float])
    """When it came to each state."""
    errors: Sequence[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    total: int = 0
    completed: int = 0
    failed: int = 0
    model: str = ""
    """That of all its lines; empty where they name several."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    number: int = 0
    metadata: Mapping[str, str] | None = field(default=None, repr=False)
    reaches: str = ""
    not_before_s: float = 0.0
    """No line is begun earlier."""

    @property
    def about(self) -> bytes:
        """What its seal is bound to: a row in which any of that was changed does not open."""
        return orjson.dumps((
            "batch", self.id, self.key_id, self.profile, self.boundary, self.agent, self.named, self.labels,
            self.endpoint, self.input_file_id,
        ))  # fmt: skip

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def terms(self) -> bytes:
        return orjson.dumps((self.metadata, self.reaches, self.not_before_s))


class Used(NamedTuple):
    """Tokens of one line; the cached ones are among the input, those of reasoning among the output."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class Written(NamedTuple):
    """What one line was answered, as a line of a file, and what that took."""

    line: int
    is_answer: bool
    text: bytes
    used: Used = Used()


SEALED = ("metadata", "reaches", "not_before_s")
NAMES = [name for name in Batch.__dataclass_fields__ if name not in SEALED]
COLUMNS = [batches.c[name] for name in (*NAMES, "terms")]


class BatchRows:
    """The table of batches; their files are those of `files`. Raises StoreFailed."""

    def __init__(self, db: Database, files: FileRows) -> None:
        self._db = db
        self.files = files

    async def add(self, batch: Batch) -> Batch:
        def write(connection: Connection) -> Batch:
            key = connection.execute(insert(batches).values(self._values(batch))).inserted_primary_key
            return replace(batch, number=key[0] if key is not None else 0)

        return await self._db.run(write)

    async def find(self, batch_id: str, key_id: str | None = None) -> Batch | None:
        """Of this key, or of any."""

        def read(connection: Connection) -> Batch | None:
            found = connection.execute(select(*COLUMNS).where(batches.c.id == batch_id)).first()
            is_theirs = found is not None and key_id in (None, found._mapping["key_id"])
            return self._row(found) if found is not None and is_theirs else None

        return await self._db.run(read)

    async def listed(self, key_id: str | None, *, most: int, after: str = "") -> list[Batch]:
        """The latest first; those that stand behind the batch `after`."""

        def read(connection: Connection) -> list[Batch]:
            query = select(*COLUMNS).order_by(batches.c.number.desc()).limit(most)
            if key_id is not None:
                query = query.where(batches.c.key_id == key_id)
            last = connection.execute(select(batches.c.number).where(batches.c.id == after)).scalar() if after else None
            if last is not None:
                query = query.where(batches.c.number < last)
            return [self._row(found) for found in connection.execute(query)]

        return await self._db.run(read)

    async def open(self, now_s: float) -> list[Batch]:
        """Those that have not ended, in the order in which they came. One that does not open has: it failed."""

        def read(connection: Connection) -> list[Batch]:
            query = select(*COLUMNS).where(batches.c.state.not_in(ENDED)).order_by(batches.c.number)
            found: list[Batch] = []
            for row in connection.execute(query).all():
                try:
                    found.append(self._opened(row))
                except Unreadable:
                    log.error("batch %s cannot be opened: its seal has another key, or it was changed", row.id)
                    values = {"state": FAILED, "times": orjson.dumps({f"{FAILED}_at": now_s}).decode()}
                    connection.execute(update(batches).where(batches.c.number == row.number).values(values))
            return found

        return await self._db.run(read)

    async def begin(self, batch: Batch, total: int, reaches: str, now_s: float, model: str = "") -> Batch:
        """It was looked through: from now on its lines are answered, unless it was cancelled meanwhile."""
        ids = [f"file-{secrets.token_hex(12)}" for _ in range(2)]

        def write(connection: Connection) -> Batch:
            now = self._now(connection, batch)
            begun = replace(
                now, state=CANCELLING if now.state == CANCELLING else IN_PROGRESS, total=total, reaches=reaches,
                model=model, times={**now.times, "in_progress_at": now_s}, output_file_id=ids[0], error_file_id=ids[1],
            )  # fmt: skip
            connection.execute(update(batches).where(batches.c.number == batch.number).values(self._values(begun)))
            for file_id, kind in zip(ids, ("output", "error"), strict=True):
                name, expires_s = f"{batch.id}_{kind}.jsonl", batch.expires_s + batch.keep_s
                file = File(file_id, batch.key_id, OUTPUT, name, 0, batch.boundary, now_s, expires_s, is_whole=False)
                insert_file(connection, file, self.files.sealing())
            return begun

        return await self._db.run(write)

    async def answered(self, batch: Batch) -> set[int]:
        """The lines that are written down."""

        def read(connection: Connection) -> set[int]:
            ours = select(files.c.number).where(files.c.id.in_((batch.output_file_id, batch.error_file_id)))
            query = select(file_parts.c.part).where(file_parts.c.file_number.in_(ours))
            return {part for (part,) in connection.execute(query)}

        return await self._db.run(read)

    async def write(self, batch: Batch, lines: Sequence[Written]) -> None:
        """In one transaction, and synced when this returns. What is written already stays as it is."""

        def write(connection: Connection) -> None:
            works = (batches.c.number == batch.number) & batches.c.state.in_(WORKS)
            if connection.execute(select(batches.c.id).where(works)).first() is None:
                return
            found = [find_file(connection, file_id) for file_id in (batch.output_file_id, batch.error_file_id)]
            numbers = [file.number for file in found if file is not None]
            here = file_parts.c.file_number.in_(numbers) & file_parts.c.part.in_([one.line for one in lines])
            known = {part for (part,) in connection.execute(select(file_parts.c.part).where(here))}
            new = [one for one in lines if one.line not in known]
            for file, is_answer in zip(found, (True, False), strict=True):
                if file is not None:
                    parts = [(one.line, one.text) for one in new if one.is_answer is is_answer]
                    put_parts(connection, file, self.files.sealing(), parts)
            completed = sum(one.is_answer for one in new)
            counts = {
                "completed": batches.c.completed + completed,
                "failed": batches.c.failed + len(new) - completed,
            }
            for place, name in enumerate(Used._fields):
                counts[name] = batches.c[name] + sum(one.used[place] for one in new)
            connection.execute(update(batches).where(batches.c.number == batch.number).values(counts))

        await self._db.run(write)

    async def cancel(self, batch: Batch, now_s: float) -> Batch:
        """It is to stop; what has ended stays as it is."""

        def write(connection: Connection) -> Batch:
            now = self._now(connection, batch)
            if now.has_ended or now.state == CANCELLING:
                return now
            now = replace(now, state=CANCELLING, times={**now.times, "cancelling_at": now_s})
            connection.execute(update(batches).where(batches.c.number == batch.number).values(self._values(now)))
            return now

        return await self._db.run(write)

    async def end(self, batch: Batch, state: str, now_s: float, errors: Sequence[Mapping[str, Any]] = ()) -> Batch:
        """Its files are whole from now on; one in which nothing stands is none."""

        def write(connection: Connection) -> Batch:
            now = self._now(connection, batch)
            if now.has_ended:
                return now
            ids = {"output_file_id": now.output_file_id, "error_file_id": now.error_file_id}
            for name, file_id in ids.items():
                file = find_file(connection, file_id) if file_id else None
                if file is None or not finish_file(connection, file, now_s + now.keep_s):
                    ids[name] = ""
            times = {**now.times, f"{state}_at": now_s}
            if state == COMPLETED:
                times[f"{FINALIZING}_at"] = now_s
            ended = replace(now, state=state, times=times, errors=list(errors), **ids)
            connection.execute(update(batches).where(batches.c.number == batch.number).values(self._values(ended)))
            return ended

        return await self._db.run(write)

    async def prune(self, before_s: float) -> None:
        """Forgets what ended, and whose files have expired, before then."""

        def forget(connection: Connection) -> None:
            gone = batches.c.state.in_(ENDED) & (batches.c.expires_s + batches.c.keep_s < before_s)
            connection.execute(delete(batches).where(gone))

        await self._db.run(forget)

    async def count_open(self, key_id: str) -> int:
        query = select(func.count()).where(batches.c.key_id == key_id, batches.c.state.not_in(ENDED))
        return await self._db.run(lambda connection: connection.execute(query).scalar_one())

    def _now(self, connection: Connection, batch: Batch) -> Batch:
        return self._row(connection.execute(select(*COLUMNS).where(batches.c.number == batch.number)).one())

    def _values(self, batch: Batch) -> dict[str, Any]:
        seal = self.files.sealing()
        values: dict[str, Any] = {name: getattr(batch, name) for name in NAMES if name != "number"}
        for name in ("times", "errors"):
            values[name] = orjson.dumps(values[name]).decode()
        return values | {"seal_key": seal.key_id, "terms": seal.close(batch.terms, batch.about)}

    def _opened(self, found: Row[Any]) -> Batch:
        """Raises Unreadable where it is not as it was written."""
        values = dict(found._mapping)
        terms = values.pop("terms")
        for name in ("times", "errors"):
            values[name] = orjson.loads(values[name])
        batch = Batch(**values)
        metadata, reaches, *more = orjson.loads(self.files.sealing().open(bytes(terms), batch.about))
        return replace(batch, metadata=metadata, reaches=reaches, not_before_s=more[0] if more else 0.0)

    def _row(self, found: Row[Any]) -> Batch:
        """To be shown; one that does not open is shown as far as can be, and nothing comes of it."""
        try:
            return self._opened(found)
        except Unreadable:
            values = {name: value for name, value in found._mapping.items() if name != "terms"}
            return Batch(**(values | {name: orjson.loads(values[name]) for name in ("times", "errors")}))
