"""Debian's PostgreSQL for tests: a server of their own in a folder, on a port of loopback, which they may kill."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringfence.testing.ports import free_port

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
USER = "ringfence"
PASSWORD = "of-the-tests"
UNSAFE = ("fsync=off", "full_page_writes=off", "max_wal_size=128MB", "max_connections=200")
"""Nobody pulls the plug of this machine; a server that is killed loses nothing by it."""


class Server:
    """One server; each `database` is empty."""

    def __init__(self, folder: Path, by_socket: str) -> None:
        self.folder = folder
        self._by_socket = by_socket
        self.data = folder / "data"
        self.port = free_port()
        self._made = 0

    def make(self) -> None:
        """Files that belong to a user without privileges: it refuses to run as root."""
        if not PROGRAMS.exists():
            raise RuntimeError("PostgreSQL 15 is not installed: apt-get install --no-install-recommends postgresql-15")
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.folder, password):
                shutil.chown(path, "postgres", "postgres")
        self._run(
            "initdb", "--pgdata", self.data, "--username", USER, "--pwfile", password, "--auth-host", "scram-sha-256",
            "--auth-local", self._by_socket, "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
        )  # fmt: skip
        options = [f"port={self.port}", f"unix_socket_directories={self.folder}", "listen_addresses=127.0.0.1", *UNSAFE]
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in (one.split("=") for one in options))

    def start(self) -> None:
        self._run("pg_ctl", "--pgdata", self.data, "--log", self.folder / "log", "--wait", "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is as if it were killed."""
        self._run("pg_ctl", "--pgdata", self.data, "--mode", mode, "--wait", "stop")

    def is_running(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It keeps its lines, and says nothing on them."""
        pids = self._pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The address of a new, empty one, with the password."""
        self._made += 1
        name = f"test_{self._made}"
        self.ask(f"CREATE DATABASE {name}", database="postgres")
        try:
            yield f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"
        finally:
            self.ask(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")

    def ask(self, statement: str, *told: object, database: str) -> list[Any]:
        """By a connection of its own."""
        import pg8000.dbapi  # an environment without it has tests as well, of which none comes here

        connection = pg8000.dbapi.connect(
            USER,
            host="127.0.0.1",
            port=self.port,
            database=database.rpartition("/")[2],
            password=PASSWORD,
            timeout=20,
            ssl_context=False,
        )
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement, told)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def _pids(self) -> list[int]:
        first = int((self.data / "postmaster.pid").read_text().split()[0])
        found = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, found)]

    def _run(self, program: str, *words: object) -> None:
        known: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        )
        done = subprocess.run(
            [PROGRAMS / program, *map(str, words)], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, cwd="/", **known,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stdout}")


@contextlib.contextmanager
def serving(by_socket: str = "scram-sha-256") -> Iterator[Server]:
    """Started, and gone with all of its files afterwards. `by_socket`: how it knows who comes that way."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="ringfence-pg-", dir=memory if memory.is_dir() else None) as name:
        Path(name).chmod(0o711)  # a gateway may run as nobody
        server = Server(Path(name), by_socket)
        server.make()
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.stop()
