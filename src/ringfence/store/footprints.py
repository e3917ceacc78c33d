"""What was learned of how much memory models take, on disk. Names and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields

from sqlalchemy import Connection, Row, delete, select, text

from ringfence.core.footprint import Footprint, Setup
from ringfence.store.db import Database
from ringfence.store.tables import footprints

MOST_KEPT = 10_000
"""Those that were not seen for longest are forgotten first."""
KEYS = tuple(one.name for one in fields(Setup))
FIGURES = tuple(one.name for one in fields(Footprint) if one.name != "setup")
PUT = text(
    f"""INSERT INTO footprints ({', '.join(f'"{name}"' for name in KEYS + FIGURES)})"""  # noqa: S608 - constants
    f" VALUES ({', '.join(f':{name}' for name in KEYS + FIGURES)})"
    f""" ON CONFLICT ({', '.join(f'"{name}"' for name in KEYS)}) DO UPDATE SET """
    + ", ".join(f"{name} = excluded.{name}" for name in FIGURES)
)  # fmt: skip
"""In quotes: `window` is a word of PostgreSQL's own."""
LENGTHS = {name: getattr(footprints.c[name].type, "length", None) for name in KEYS}


class FootprintRows:
    """The table. Raises StoreFailed when the database cannot be used."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> list[Footprint]:
        """Everything that is kept, in no order."""
        return await self._db.run(
            lambda connection: [_footprint(row) for row in connection.execute(select(footprints))]
        )

    async def put(self, known: Iterable[Footprint]) -> None:
        """Each in the place of what was kept of the same setup; the oldest of too many go."""
        rows = [_row(one) for one in known]
        if rows:
            await self._db.run(lambda connection: _put(connection, rows))


def _put(connection: Connection, rows: list[dict[str, object]]) -> None:
    connection.execute(PUT, rows)
    seen_s = footprints.c.seen_s
    too_old_s = connection.execute(select(seen_s).order_by(seen_s.desc()).offset(MOST_KEPT).limit(1)).scalar()
    if too_old_s is not None:
        connection.execute(delete(footprints).where(seen_s <= too_old_s))


def _row(one: Footprint) -> dict[str, object]:
    """Names from engines may be of any length; the columns are not."""
    setup = {
        name: value[: LENGTHS[name]] if isinstance(value, str) else value for name, value in asdict(one.setup).items()
    }
    figures = {name: getattr(one, name) for name in FIGURES}
    return {**setup, **figures, "architecture": one.architecture[:100]}


def _footprint(row: Row[tuple[object, ...]]) -> Footprint:
    found = dict(row._mapping)
    setup = Setup(**{name: found.pop(name) for name in KEYS})
    return Footprint(setup, **found)
