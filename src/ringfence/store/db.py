"""The database: one engine and one thread that owns its one connection, so that writes never wait for each other, and
another such pair for what is only read and may take long.

SQLite in WAL mode, unless a URL names a PostgreSQL (`postgres.py`). On SQLite every transaction begins as a writer
(BEGIN IMMEDIATE): one that read first and wrote later could otherwise fail for no reason the caller could mend. Only
what is opened to be read alone begins as a reader. Costs of the import, measured in a process that has pydantic and
asyncio: SQLAlchemy 125 ms and 15 MB, its SQLite dialect 10 ms and 3 MB, Alembic 140 ms and 11 MB (hence only when there
is something to migrate: a new database is made as it is now). Any part of SQLAlchemy loads all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from ringfence.store import postgres
from ringfence.store.failure import StoreFailed, StoreGone
from ringfence.store.private_file import OTHERS, make_private_folder
from ringfence.store.tables import metadata

T = TypeVar("T")

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012")
"""All revisions of `migrations/versions`, oldest first; a test holds the two together."""
HEAD = REVISIONS[-1]

BUSY_TIMEOUT_S = 5.0
MIGRATION_TIMEOUT_S = 60.0
MIGRATING_S = 600.0
PAUSE_S = 1.0
"""After the database was found gone, or locked, whoever asks is told so at once."""
PRAGMAS = (
    f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}",
    "PRAGMA journal_mode=wal",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=on",
)
LOCKED = "is locked by another program"
SQLITE_FAILURES = {
    sqlite3.SQLITE_BUSY: (LOCKED, "end the program that holds it, then try again"),
    sqlite3.SQLITE_LOCKED: (LOCKED, "end the program that holds it, then try again"),
    sqlite3.SQLITE_READONLY: ("cannot be written", "check the owner and the mode of the file and of its folder"),
    sqlite3.SQLITE_PERM: ("cannot be written", "check the owner and the mode of the file and of its folder"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "check the owner and the mode of the file and of its folder"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "check the disk, and that it is not full"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "free some space on that disk"),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "move it away, or restore it from a backup"),
    sqlite3.SQLITE_NOTADB: ("is not a database", "move it away, or restore it from a backup"),
}


class Database:
    """State on disk. Nothing is opened before the first call; close it with `close()`.

    `run` and `call` raise StoreFailed when the database cannot be used; IntegrityError and whatever the function
    raises pass through. Either way nothing of the transaction remains. With `only_reads`, nobody waits for it.
    """

    def __init__(
        self, url_or_path: str | Path, password: str | None = None, *, is_gateway: bool = False,
        only_reads: bool = False,
    ) -> None:  # fmt: skip
        """`is_gateway`: of a PostgreSQL, the only one that may be; a folder of state has a lock of its own. One that
        only reads keeps no writer waiting, and sees what was written before each transaction began."""
        text = str(url_or_path)
        is_url = "://" in text
        text = f"postgresql://{text[11:]}" if text.startswith("postgres://") else text
        self._url = make_url(text) if is_url else URL.create("sqlite", database=str(Path(text).absolute()))
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        in_file = self._is_sqlite and self._url.database not in (None, "", ":memory:")
        self.path: Path | None = Path(str(self._url.database)) if in_file else None
        """The file, None for a database that is not one."""
        self._postgres = (
            None
            if self._is_sqlite
            else postgres.Postgres(self._url, password, is_gateway=is_gateway, only_reads=only_reads)
        )
        self._only_reads = only_reads
        self._password = password
        self._reader: Database | None = None
        self._engine: Engine | None = None
        self._file: tuple[int, int] | None = None
        self._failure: StoreFailed | None = None
        self._pause_until = 0.0
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringfence-store")

    def __repr__(self) -> str:
        return f"<Database {self.name}>"

    @property
    def name(self) -> str:
        """The path, or the URL without its password."""
        if self._postgres is not None:
            return self._postgres.name
        return str(self.path) if self.path else self._url.render_as_string(hide_password=True)

    async def run(self, fn: Callable[[Connection], T]) -> T:
        """Runs `fn` in a transaction on the writer thread. One that has begun is not undone by cancelling."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._try, fn)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """As `run`, for what only reads and may take long: by a connection and a thread of their own, so that nothing
        that is to be written waits for it. What was written before is seen."""
        if self._only_reads or (self._is_sqlite and self.path is None):
            return await self.run(fn)
        if self._reader is None:
            address = self.path or self._url.render_as_string(hide_password=False)
            self._reader = Database(address, self._password, only_reads=True)
        return await self._reader.run(fn)

    def call(self, fn: Callable[[Connection], T]) -> T:
        """As `run`, for code without an event loop. Not to be called from inside such a function."""
        return self._writer.submit(self._transact, fn).result()

    def migrate(self) -> None:
        """Brings the schema to HEAD; to be called once at start. Safe with several processes at once.

        Raises StoreFailed, also when the database was written by a newer program.
        """
        with self._migration_lock():
            revision = self.call(_revision if self._is_sqlite else postgres.revision)
            if revision == HEAD:
                return
            if revision is not None and revision not in REVISIONS:
                raise StoreFailed(
                    self.name,
                    f"was written by a newer Ringfence (schema {revision}; this one knows {HEAD})",
                    "upgrade Ringfence, or restore the backup made before the upgrade",
                )
            if revision is None:
                change: Callable[[Connection], None] = _create
            else:
                # The one import that waits until it is needed outside the composition root: Alembic takes longer to
                # load than the rest of the start, and is idle at every start but the first after an upgrade.
                change = importlib.import_module("ringfence.store.migrate").upgrade
            self.call(change if self._is_sqlite else postgres.unhurried(change, MIGRATING_S))

    def close(self) -> None:
        """Waits for what was handed in, then lets go of the file. May be called twice."""
        if self._reader is not None:
            self._reader.close()
        with contextlib.suppress(RuntimeError):
            self._writer.submit(self._dispose).result()
        self._writer.shutdown()

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = self._file = None

    def _try(self, fn: Callable[[Connection], T]) -> T:
        """As `_transact`. Where the database is gone each try takes seconds: those that wait in line do not try too."""
        if self._failure is not None and time.monotonic() < self._pause_until:
            raise StoreFailed(self.name, self._failure.what, self._failure.what_to_do)
        self._failure = None
        try:
            return self._transact(fn)
        except StoreFailed as failed:
            if isinstance(failed, StoreGone) or failed.what == LOCKED:
                self._failure, self._pause_until = failed, time.monotonic() + PAUSE_S
            raise

    def _transact(self, fn: Callable[[Connection], T]) -> T:
        try:
            return self._once(fn)
        except StoreGone as gone:
            if gone.in_doubt or not gone.may_be_back:
                raise
        return self._once(fn)  # the server was started anew since the last time, and nothing was done yet

    def _once(self, fn: Callable[[Connection], T]) -> T:
        is_ending = False
        with self._failures():
            engine = self._engine = self._engine or self._open()
            self._look_at_file()
            try:
                with engine.begin() as connection:
                    found = fn(connection)
                    is_ending = True
                return found
            except StoreGone as gone:
                gone.in_doubt = is_ending
                raise

    def _look_at_file(self) -> None:
        """One that was moved would still be written to, and nobody would find it at the next start."""
        if self.path is None:
            return
        try:
            found = self.path.stat()
        except OSError as error:
            raise StoreFailed(self.path, "is gone, while it is in use", "put it back, or start anew") from error
        if self._file is None:
            self._file = (found.st_dev, found.st_ino)
        elif self._file != (found.st_dev, found.st_ino):
            raise StoreFailed(
                self.path, "was replaced while it is in use", "put back the one that was there, or start anew"
            )

    def _open(self) -> Engine:
        if self.path is not None and not self._only_reads:
            _make_private_database(self.path)
        if self._postgres is not None:
            return self._postgres.engine()
        # One connection, kept: `PRAGMA data_version` compares over one connection only. Parameters stay out of
        # error messages: they hold digests.
        engine = create_engine(self._url, poolclass=QueuePool, pool_size=1, max_overflow=0, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_reading if self._only_reads else _begin_sqlite)
        return engine

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """What the driver and the system say, as StoreFailed."""
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise self._failed(error.orig) from error
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: object) -> StoreFailed:
        if self._postgres is not None:
            return self._postgres.failed(error)
        code = getattr(error, "sqlite_errorcode", None) or 0
        unknown = (f"answered {type(error).__name__}", "see the log, and run: ringfence doctor")
        what, what_to_do = SQLITE_FAILURES.get(code & 0xFF, unknown)
        return StoreFailed(self.name, what, what_to_do)

    @contextlib.contextmanager
    def _migration_lock(self) -> Iterator[None]:
        """One process at a time; the system frees it when its holder dies."""
        if self._postgres is not None:
            self._wait_for(lambda: self.call(postgres.try_migration_lock))
            try:
                yield
            finally:
                self.call(postgres.end_migration_lock)
            return
        if self.path is None:
            yield
            return
        make_private_folder(self.path.parent)
        path = self.path.with_name(self.path.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailed.of(path, error) from error
        try:
            self._wait_for(lambda: _locked(descriptor))
            yield
        finally:
            os.close(descriptor)

    def _wait_for(self, lock: Callable[[], bool]) -> None:
        deadline = time.monotonic() + MIGRATION_TIMEOUT_S
        while not lock():
            if time.monotonic() > deadline:
                raise StoreFailed(self.name, "is being upgraded by another process", "wait for it, or end it")
            time.sleep(0.02)


def changed(connection: Connection) -> bool:
    """True when another process has changed the database since the last call (and at the first call).

    Changes made through the same Database do not count. A PostgreSQL tells of keys alone, and of our own changes too.
    """
    if connection.dialect.name != "sqlite":
        return postgres.changed(connection)
    version = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
    before = connection.info.get("data_version")
    connection.info["data_version"] = version
    return version != before


def _revision(connection: Connection) -> str | None:
    """The revision that the database says it has, None when it is empty."""
    try:
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except DBAPIError as error:
        # No such table. SQLite has no code of its own for that.
        if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
            raise
        return None


def _create(connection: Connection) -> None:
    """In an empty database: the tables as they are now, and the note by which Alembic knows that it has nothing to do
    there."""
    metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver begins no transactions of its own: it would leave changes of the schema outside of them.
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(pragma).close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _make_private_database(path: Path) -> None:
    """SQLite gives its side files the mode of the main one, which therefore has to exist before."""
    make_private_folder(path.parent)
    try:
        # One that exists is not opened here: closing it would drop the locks that this process holds on it.
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        elif path.stat().st_mode & OTHERS:
            path.chmod(0o600)
    except FileExistsError:
        return  # another process was first, and made it just so
    except OSError as error:
        raise StoreFailed.of(path, error) from error


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
