"""Parked requests on disk. Their text and their answers are sealed; what else stands there are names and times."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from ringfence.store.db import Database
from ringfence.store.failure import StoreFailed
from ringfence.store.sealing import Seal, Unreadable, find_seal
from ringfence.store.tables import parked

log = logging.getLogger("ringfence.parked")
WAITING, DONE, FAILED, EXPIRED, CANCELLED, UNREADABLE = (
    "waiting", "done", "failed", "expired", "cancelled", "unreadable"
)  # fmt: skip
KEPT_S = 86_400.0
"""How long it is kept how a request ended, and its answer with it."""
MOST_KEPT = 10_000
MOST_KEPT_BYTES = 1024**3
"""Of ended requests, and of their answers: the oldest are forgotten before their day is over."""
END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Parked:
    """One parked request without its text. Times are UTC seconds. `boundary` is how far its text may travel."""

    id: str
    key_id: str
    profile: str
    boundary: int
    urgency: int
    model: str
    dialect: str
    agent: str
    named: str
    stream: bool
    body_bytes: int
    ticketed: bool
    parked_s: float
    deadline_s: float
    number: int = 0
    """In the order of parking; given by the database."""
    state: str = WAITING
    ended_s: float | None = None
    status: int | None = None
    not_before_s: float = 0.0
    """It is not begun earlier; 0 for at once."""

    def about(self, what: str) -> bytes:
        """What a seal is bound to, all that decides where the text goes: a row in which that was changed, or that was
        put in the place of another, does not open."""
        return orjson.dumps((
            what, self.id, self.key_id, self.profile, self.boundary, self.model, self.dialect, self.agent, self.named,
            self.stream,
        ))  # fmt: skip


class Ending(NamedTuple):
    """How one ended that leaves no answer behind."""

    row: Parked
    state: str
    ended_s: float
    status: int | None = None


COLUMNS = [parked.c[name] for name in Parked.__dataclass_fields__]


class ParkedRows:
    """The table, and the seal of its texts. Raises StoreFailed when the database or the key cannot be used."""

    def __init__(self, db: Database, state_dir: Path) -> None:
        self._db = db
        self._folder = state_dir
        self._seal: Seal | None = None
        self.problem = ""
        """Why texts cannot be sealed, or that some could not be opened; empty when all is well."""

    async def add(self, row: Parked, text: bytes | None) -> Parked:
        """Written, and synced, when this returns; as it is then. `text` None where nothing is to be kept of it."""

        def write(connection: Connection) -> Parked:
            values = {name: getattr(row, name) for name in Parked.__dataclass_fields__ if name != "number"}
            values |= {"seal_key": "", "body": None}
            if text is not None:
                seal = self._sealing()
                values |= {"seal_key": seal.key_id, "body": seal.close(text, row.about("body"))}
            number = connection.execute(insert(parked).values(values)).inserted_primary_key
            return _with(row, number=number[0] if number is not None else 0)

        return await self._db.run(write)

    async def text(self, row: Parked) -> bytes:
        """What was sealed when it was parked. Raises Unreadable."""
        return await self._db.run(lambda connection: self._opened(connection, row, "body"))

    async def end(self, row: Parked, state: str, now_s: float, status: int | None = None, result: bytes = b"") -> bool:
        """How it ended, once: False when that is written already, or the row is gone. Its text goes."""

        def write(connection: Connection) -> bool:
            sealed: dict[str, Any] = {}
            if result:
                seal = self._sealing()
                sealed = {"seal_key": seal.key_id, "result": seal.close(result, row.about("result"))}
            return _end(connection, Ending(row, state, now_s, status), sealed)

        return await self._db.run(write)

    async def end_all(self, endings: list[Ending]) -> None:
        """As `end`, in one transaction."""

        def write(connection: Connection) -> None:
            for ending in endings:
                _end(connection, ending, {})

        await self._db.run(write)

    async def find(self, parked_id: str) -> Parked | None:
        """Waiting or ended; None when there is none, or none any more."""
        return await self._db.run(lambda connection: _find(connection, parked_id))

    async def ended(self, most: int) -> list[Parked]:
        """The last that ended, the latest first."""
        query = select(*COLUMNS).where(parked.c.state != WAITING).order_by(parked.c.ended_s.desc()).limit(most)
        return await self._db.run(lambda connection: [_row(found) for found in connection.execute(query)])

    async def result(self, row: Parked) -> tuple[bytes, bytes]:
        """Header lines and body of the answer. Raises Unreadable."""
        whole = await self._db.run(lambda connection: self._opened(connection, row, "result"))
        head, _, body = whole.partition(END_OF_HEAD)
        return head + b"\r\n", body

    async def restore(self, now_s: float) -> list[Parked]:
        """After a start: the tickets that still wait, in order. Who waited without one is gone: cancelled."""

        def read(connection: Connection) -> list[Parked]:
            left = (parked.c.state == WAITING) & parked.c.ticketed.is_(False)
            connection.execute(update(parked).where(left).values(state=CANCELLED, ended_s=now_s))
            open_ = parked.c.state.in_((WAITING, UNREADABLE)) & parked.c.body.is_not(None)
            if connection.execute(select(parked.c.id).where(open_).limit(1)).first() is None:
                return []
            seal_id = self._key_id()
            lost = open_ & (parked.c.seal_key != seal_id)
            since_s = func.coalesce(parked.c.ended_s, now_s)  # it is kept for a day, however often there is a start
            count = connection.execute(update(parked).where(lost).values(state=UNREADABLE, ended_s=since_s)).rowcount
            if count:
                self.problem = self.problem or (
                    f"{count} parked requests were sealed with another {self._folder / 'parking.key'}: restore that "
                    "file and start again, or let them go"
                )
                log.error("%s", self.problem)
            again = (parked.c.state == UNREADABLE) & (parked.c.seal_key == seal_id) & (parked.c.deadline_s > now_s)
            connection.execute(update(parked).where(again).values(state=WAITING, ended_s=None))
            waiting = select(*COLUMNS).where(parked.c.state == WAITING).order_by(parked.c.number)
            return [_row(found) for found in connection.execute(waiting)]

        return await self._db.run(read)

    async def prune(self, now_s: float) -> None:
        """Forgets what ended long ago, and the oldest of too many."""

        def forget(connection: Connection) -> None:
            ended = parked.c.state != WAITING
            connection.execute(delete(parked).where(ended & (parked.c.ended_s < now_s - KEPT_S)))
            size = func.coalesce(func.length(parked.c.result), 0) + func.coalesce(func.length(parked.c.body), 0)
            latest_first = parked.c.ended_s.desc()
            so_far = select(
                parked.c.id,
                func.row_number().over(order_by=latest_first).label("place"),
                func.sum(size).over(order_by=latest_first).label("size_bytes"),
            ).where(ended).subquery()  # fmt: skip
            too_many = (so_far.c.place > MOST_KEPT) | (so_far.c.size_bytes > MOST_KEPT_BYTES)
            connection.execute(delete(parked).where(parked.c.id.in_(select(so_far.c.id).where(too_many))))

        await self._db.run(forget)

    def _sealing(self) -> Seal:
        """The seal; its key is made at first use."""
        if self._seal is None:
            self._seal = find_seal(self._folder)
        return self._seal

    def _key_id(self) -> str:
        try:
            return self._sealing().key_id
        except StoreFailed as failed:
            self.problem = str(failed)
            return "none"

    def _opened(self, connection: Connection, row: Parked, what: str) -> bytes:
        found = connection.execute(select(parked.c[what]).where(parked.c.id == row.id)).scalar()
        if found is None:
            raise Unreadable
        return self._sealing().open(bytes(found), row.about(what))


def _end(connection: Connection, ending: Ending, sealed: dict[str, Any]) -> bool:
    row, state, ended_s, status = ending
    values = {"state": state, "ended_s": ended_s, "status": status, **sealed}
    if state != UNREADABLE:  # the right key may come back
        values["body"] = None
    waits = (parked.c.id == row.id) & (parked.c.state == WAITING)
    return connection.execute(update(parked).where(waits).values(values)).rowcount == 1


def _find(connection: Connection, parked_id: str) -> Parked | None:
    found = connection.execute(select(*COLUMNS).where(parked.c.id == parked_id)).first()
    return _row(found) if found is not None else None


def _row(found: Row[Any]) -> Parked:
    return Parked(**found._mapping)


def _with(row: Parked, **changes: Any) -> Parked:
    return Parked(**({name: getattr(row, name) for name in Parked.__dataclass_fields__} | changes))
