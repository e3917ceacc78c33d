"""PostgreSQL as the database: how it is reached, what its errors mean, and the lock of the one gateway that uses it.

pg8000 is the driver: BSD, nothing to compile, and its socket has a time limit. With libpq a server that is stopped,
and whose machine still acknowledges every packet, holds a statement up for ever.
"""

from __future__ import annotations

import importlib
import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import QueuePool

from ringfence.store.failure import StoreFailed, StoreGone

CONNECT_S = 3.0
ANSWER_S = 10.0
"""So long the server may say nothing in the middle of a statement."""
LOCK_WAIT_S = 3.0
"""A gateway that was killed a moment ago may still be there for the server."""
GATEWAY_LOCK = 0x52696E67
MIGRATION_LOCK = 0x52696E68
SESSION = {
    "statement_timeout": "9000",
    "idle_in_transaction_session_timeout": "60000",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""The server lets go of who is gone within half a minute, and with it of the lock."""
READING = {"default_transaction_read_only": "on", "default_transaction_isolation": "repeatable read"}

ASK = "wait until it is back: it is tried again by itself; paid calls are refused meanwhile"
FAILURES = {
    "28P01": ("refuses the password", "check database.url and database.password"),
    "28000": ("refuses this user", "check database.url, and pg_hba.conf of the server"),
    "3D000": ("does not exist", "create it: createdb --encoding=UTF8 --template=template0 NAME"),
    "42501": ("does not allow this user to write", "make the user the owner of the database"),
    "25006": ("can only be read", "name the server that writes, and not a standby of it"),
    "53100": ("cannot grow: the disk of its server is full", "free some space on that disk"),
    "57014": ("took too long to answer", "look at what else the server does"),
    "53300": ("has no connection left", "raise max_connections of the server, or end other programs"),
}
NOT_TOGETHER = "23"
"""What the driver has no name of its own for."""
GONE = {
    "57P01": "was shut down",
    "57P02": "broke down",
    "57P03": "is starting up or shutting down",
    "57P05": "has ended the connection",
    "25P03": "has ended the connection",
}
HELD = """
SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = %s
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Postgres:
    """One database of one server. With `is_gateway`, each connection holds the lock of the gateway: what is written
    is written by whoever holds it, and by nobody else."""

    def __init__(self, url: URL, password: str | None, *, is_gateway: bool, only_reads: bool = False) -> None:
        self._url = url
        self._password = password or url.password
        self._is_gateway = is_gateway
        self._session = SESSION | READING if only_reads else SESSION
        self.name = url.set(password=None, query={}).render_as_string()
        self._me = f"ringfence {socket.gethostname()[:30]} {os.getpid()} {secrets.token_hex(4)}"

    def engine(self) -> Engine:
        """With one connection, which is not opened before it is needed. Raises StoreFailed."""
        if find_spec("pg8000") is None:
            raise StoreFailed(
                self.name, "needs a driver that is not installed", "install it: pip install 'ringfence[postgres]'"
            )
        engine = create_engine(
            "postgresql+pg8000://", creator=self._connect, poolclass=QueuePool, pool_size=1, max_overflow=0,
            hide_parameters=True,
        )  # fmt: skip
        engine.dialect.use_insertmanyvalues_wo_returning = True  # the driver sends row after row, and waits for each
        event.listen(engine, "handle_error", self._seen)
        return engine

    def failed(self, error: object) -> StoreFailed:
        """What the driver says, in words."""
        code = sqlstate(error)
        if code in GONE:
            return StoreGone(self.name, GONE[code], ASK, may_be_back=code in ("57P01", "57P05", "25P03"))
        unknown = (f"answered {type(error).__name__} {code}".strip(), "see the log, and run: ringfence doctor")
        return StoreFailed(self.name, *FAILURES.get(code, unknown))

    def _seen(self, context: ExceptionContext) -> Exception | None:
        """A line that broke is not used again. Rows that may not stand together are told of as SQLite does."""
        error = context.original_exception
        if sqlstate(error):
            error.args[0].pop("D", None)  # the details: they quote what is in the row
        if sqlstate(error).startswith(NOT_TOGETHER):
            return IntegrityError(context.statement, None, error, hide_parameters=True)
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            context.is_disconnect = True
            return StoreGone(self.name, "does not answer", ASK)
        if context.is_disconnect or isinstance(error, ConnectionError):
            context.is_disconnect = True
            return StoreGone(self.name, "has broken the connection", ASK, may_be_back=True)
        if sqlstate(error) in GONE:
            context.is_disconnect = True
            return self.failed(error)
        return None

    def _connect(self) -> Any:
        driver: Any = importlib.import_module("pg8000.dbapi")
        try:
            connection = driver.connect(
                database=self._url.database or self._url.username, password=self._password, timeout=CONNECT_S,
                user=self._url.username or os.environ.get("USER", "ringfence"), application_name=self._me,
                startup_params=self._session, **self._way(),
            )  # fmt: skip
        except (OSError, driver.InterfaceError) as error:
            raise StoreGone(self.name, "cannot be reached", ASK) from error
        except driver.Error as error:
            raise self.failed(error) from error
        try:
            self._prepare(connection)
        except (OSError, driver.InterfaceError) as error:
            connection.close()
            raise StoreGone(self.name, "does not answer", ASK) from error
        except BaseException:
            connection.close()
            raise
        connection._usock.settimeout(ANSWER_S)
        return connection

    def _way(self) -> dict[str, Any]:
        """As libpq understands an address: a folder in the place of a host is that of a socket."""
        asked = {name: str(value) for name, value in self._url.query.items()}
        host, port = asked.get("host") or self._url.host or "/var/run/postgresql", self._url.port or 5432
        if host.startswith("/"):
            return {"unix_sock": f"{host}/.s.PGSQL.{port}", "ssl_context": False}
        mode = asked.get("sslmode", "disable" if _is_loopback(host) else "verify-full")
        if mode == "disable":
            return {"host": host, "port": port, "ssl_context": False}
        context = ssl.create_default_context(cafile=asked.get("sslrootcert"))
        if mode != "verify-full":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED if mode == "verify-ca" else ssl.CERT_NONE
        return {"host": host, "port": port, "ssl_context": context}

    def _prepare(self, connection: Any) -> None:
        cursor = connection.cursor()
        if _one(cursor, "SHOW server_encoding") != "UTF8":
            raise StoreFailed(
                self.name, "is not in UTF-8", "create it anew: createdb --encoding=UTF8 --template=template0 NAME"
            )
        if _one(cursor, "SHOW synchronous_commit") == "off":
            cursor.execute("SET synchronous_commit = on")  # what is said to be written has to be
        if self._is_gateway:
            self._take(cursor)
        connection.commit()

    def _take(self, cursor: Any) -> None:
        """The lock of the gateway. Our own former connection, which the server may not have missed yet, is ended."""
        until = time.monotonic() + LOCK_WAIT_S
        while not _one(cursor, "SELECT pg_try_advisory_lock(%s)", GATEWAY_LOCK):
            cursor.execute(HELD, (GATEWAY_LOCK,))
            for pid, name in cursor.fetchall():
                if name == self._me:
                    cursor.execute("SELECT pg_terminate_backend(%s)", (pid,))
                elif time.monotonic() > until:
                    raise StoreFailed(
                        self.name, f"is in use by another gateway ('{name}')",
                        "stop that one, or give this one a database of its own",
                    )  # fmt: skip
            if time.monotonic() > until + 1:
                raise StoreGone(self.name, "has not let go of the last connection", ASK)
            time.sleep(0.05)


def sqlstate(error: object) -> str:
    """The code of an error of the server, empty for any other."""
    told = getattr(error, "args", ())
    return str(told[0].get("C", "")) if told and isinstance(told[0], dict) else ""


def revision(connection: Connection) -> str | None:
    """The revision that the database says it has, None when it is empty."""
    if connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar() is None:
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def changed(connection: Connection) -> bool:
    """Whether keys were changed since the last call."""
    version = tuple(
        connection.exec_driver_sql("SELECT count(*), coalesce(sum(xmin::text::bigint), 0) FROM api_keys").one()
    )
    before = connection.info.get("version_of_keys")
    connection.info["version_of_keys"] = version
    return version != before


def try_migration_lock(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (MIGRATION_LOCK,)).scalar())


def end_migration_lock(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))


def unhurried(fn: Callable[[Connection], None], answer_s: float) -> Callable[[Connection], None]:
    """`fn`, which may rebuild whole tables, with more time."""

    def run(connection: Connection) -> None:
        line = connection.connection.dbapi_connection
        assert line is not None
        line._usock.settimeout(answer_s)
        try:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(answer_s * 1000)}")
            fn(connection)
        finally:
            line._usock.settimeout(ANSWER_S)

    return run


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _one(cursor: Any, statement: str, *told: object) -> Any:
    cursor.execute(statement, told)
    return cursor.fetchone()[0]
