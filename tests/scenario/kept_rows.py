"""What a gateway keeps, read past it: the same for a file and for a server."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from ringfence.store.db import Database
from ringfence.store.tables import metadata


def rows(file: Path, statement: str) -> list[tuple[Any, ...]]:
    """What is found by `statement` in the database of this name."""
    with closing(Database(file, only_reads=True)) as database:
        return database.call(lambda c: [tuple(row) for row in c.exec_driver_sql(statement)])


def is_intact(file: Path) -> bool:
    """A file that was not damaged; a server looks after itself."""

    def look(connection: Connection) -> bool:
        if connection.dialect.name != "sqlite":
            return True
        return connection.exec_driver_sql("PRAGMA integrity_check").fetchall() == [("ok",)]

    with closing(Database(file, only_reads=True)) as database:
        return database.call(look)


def dump(file: Path) -> str:
    """Every row of every table."""
    with closing(Database(file, only_reads=True)) as database:
        tables = metadata.tables.values()
        return database.call(lambda c: "\n".join(repr(row) for each in tables for row in c.execute(select(each))))
