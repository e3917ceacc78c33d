"""PostgreSQL as the database: one gateway, servers that go away, that say nothing, and that break off in a commit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from postgres_server import PASSWORD, Server
from sqlalchemy import Connection, text

from ringfence.core.ledger import CallRow, HoldRow
from ringfence.store import postgres
from ringfence.store.db import HEAD, Database, changed
from ringfence.store.failure import StoreFailed, StoreGone
from ringfence.store.ledger import Ledger, totals

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres_server: Server) -> Iterator[str]:
    if not postgres_server.is_running():
        postgres_server.start()
    with postgres_server.database() as made:
        yield made


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = Database(url)
    database.migrate()
    yield database
    database.close()


def row(number: int, hold_id: str | None = None, **changes: Any) -> CallRow:
    made = CallRow(
        f"call_{number}", 1_700_000_000.0 + number / 7, "key_1", "default", "", "chat", "m", "t/m", "cloud", 200, "ok",
        False, 10, 1, 0, 5, 0, False, 7, None, 0.1, 0.2, hold_id,
    )  # fmt: skip
    return made._replace(**changes)


def hold(number: int) -> HoldRow:
    return HoldRow(f"hold_{number}", f"call_{number}", 1.0, "key_1", "default", "", "chat", "m", "t/m", "cloud", 9)


async def answering(db: Database) -> None:
    """Until it is asked again, and answers."""
    async with asyncio.timeout(25):
        while True:
            with contextlib.suppress(StoreFailed):
                await db.run(counts)
                return
            await asyncio.sleep(0.05)


def counts(connection: Connection) -> tuple[int, int, int, int]:
    """Rows, what they cost, what the days say that they cost, and holds."""
    return tuple(  # type: ignore[return-value]
        int(connection.execute(text(query)).scalar_one())
        for query in (
            "SELECT count(*) FROM calls", "SELECT coalesce(sum(cost_usd_micros), 0) FROM calls",
            "SELECT coalesce(sum(cost_usd_micros), 0) FROM usage", "SELECT count(*) FROM holds",
        )
    )  # fmt: skip


class TestSchema:
    def test_two_processes_at_once(self, url: str) -> None:
        several = [Database(url) for _ in range(3)]
        threads = [threading.Thread(target=one.migrate) for one in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.call(postgres.revision) for one in several] == [HEAD] * 3
        for one in several:
            one.close()

    def test_a_migration_may_take_longer_than_a_statement(self, db: Database) -> None:
        def slow(connection: Connection) -> None:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 50")
            postgres.unhurried(lambda c: c.exec_driver_sql("SELECT pg_sleep(0.2)").close(), 5)(connection)

        db.call(slow)

    def test_changed_keys_are_seen(self, db: Database, url: str) -> None:
        assert db.call(changed)
        assert not db.call(changed)
        other = Database(url)
        keys = (
            "INSERT INTO api_keys (id, name, hint, digest, profile, created_s) VALUES ('k', 'n', 'h', '\\x00', 'p', 1)"
        )
        other.call(lambda connection: connection.execute(text(keys)).close())
        assert db.call(changed)
        other.call(lambda connection: connection.execute(text("UPDATE api_keys SET revoked_s = 2")).close())
        assert db.call(changed)
        assert not db.call(changed)
        other.close()


class TestReaching:
    @pytest.mark.parametrize(
        ("old", "new", "what"),
        [
            (PASSWORD, "wrong", "refuses the password"),
            ("/test_", "/none_", "does not exist"),
            ("@127.0.0.1", "@127.9.9.9", "cannot be reached"),
        ],
    )
    def test_what_is_wrong_is_said_without_the_password(self, url: str, old: str, new: str, what: str) -> None:
        database = Database(url.replace(old, new))
        with pytest.raises(StoreFailed, match=what) as caught:
            database.migrate()
        assert PASSWORD not in f"{caught.value}{database!r}{caught.value.__cause__!r}"
        database.close()

    def test_by_a_socket(self, url: str, postgres_server: Server) -> None:
        name = url.rpartition("/")[2]
        database = Database(
            f"postgresql://ringfence@:{postgres_server.port}/{name}?host={postgres_server.folder}", PASSWORD
        )
        database.migrate()
        assert database.call(counts) == (0, 0, 0, 0)
        database.close()

    def test_beyond_this_machine_lines_are_sealed(self, url: str) -> None:
        far = postgres.Postgres(Database("postgresql://u@db.example/x")._url, None, is_gateway=False)._way()
        assert far["ssl_context"].check_hostname
        near = Database(f"{url}?sslmode=require")
        with pytest.raises(StoreFailed, match="cannot be reached"):  # this server has no certificate
            near.migrate()
        near.close()


class TestOneGateway:
    def test_a_second_one_is_refused_until_the_first_is_gone(
        self, db: Database, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres, "LOCK_WAIT_S", 0.2)
        first, second = Database(url, is_gateway=True), Database(url, is_gateway=True)
        first.migrate()
        with pytest.raises(StoreFailed, match=r"is in use by another gateway \('ringfence .*stop that one"):
            second.migrate()
        assert db.call(counts) == (0, 0, 0, 0)  # a command beside it is no gateway
        first.close()
        second.migrate()
        second.close()

    def test_the_lock_comes_back_with_the_connection(
        self, url: str, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = Database(url, is_gateway=True), Database(url, is_gateway=True)
        first.migrate()
        # It is waited for: until it has ended, it answers, and afterwards nobody has the lock until it is asked again.
        own = "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = %s"
        assert postgres_server.ask(own, url.rpartition("/")[2], database="postgres") == [[True]]
        assert first.call(counts) == (0, 0, 0, 0)
        monkeypatch.setattr(postgres, "LOCK_WAIT_S", 0.2)
        with pytest.raises(StoreFailed, match="in use by another gateway"):
            second.call(counts)
        first.close()
        second.close()

    def test_what_it_left_behind_itself_is_ended(self, url: str) -> None:
        """The line broke, and the server has not seen it: the old session still has the lock."""
        gateway = Database(url, is_gateway=True)
        gateway.migrate()
        engine = gateway._engine
        assert engine is not None
        kept = engine.pool.connect()
        kept.detach()  # nobody closes it
        assert gateway.call(counts) == (0, 0, 0, 0)
        with pytest.raises(Exception, match=r"network error|terminat"):
            kept.cursor().execute("SELECT 1")
        gateway.close()


class TestGone:
    def test_a_server_that_was_started_anew_is_not_noticed(self, db: Database, postgres_server: Server) -> None:
        db.call(counts)
        postgres_server.stop()
        with pytest.raises(StoreGone, match="cannot be reached"):
            db.call(counts)
        postgres_server.start()
        db.call(counts)
        postgres_server.stop()
        postgres_server.start()
        assert db.call(counts) == (0, 0, 0, 0)

    async def test_one_that_says_nothing_holds_nobody_up_for_long(
        self, db: Database, url: str, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(postgres, "ANSWER_S", 1.0)
        monkeypatch.setattr(postgres, "CONNECT_S", 1.0)
        db = Database(url)
        db.call(counts)
        with postgres_server.frozen():
            began = time.monotonic()
            tries = await asyncio.gather(*(db.run(counts) for _ in range(20)), return_exceptions=True)
            assert all(isinstance(one, StoreFailed) for one in tries)
            assert time.monotonic() - began < 4
        await answering(db)
        assert await db.run(counts) == (0, 0, 0, 0)
        db.close()


class CuttingLine:
    """Passes everything on, until `is_cut`: then the next commit is done, and nobody is told."""

    def __init__(self, port: int) -> None:
        self.is_cut = False
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                called = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pass, args=(caller, called), daemon=True).start()
                threading.Thread(target=self._back, args=(called, caller), daemon=True).start()

    def _pass(self, caller: socket.socket, called: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := caller.recv(65536):
                called.sendall(data)
        called.close()

    def _back(self, called: socket.socket, caller: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := called.recv(65536):
                if self.is_cut and b"COMMIT\0" in data:
                    self.is_cut = False
                    break
                caller.sendall(data)
        caller.shutdown(socket.SHUT_RDWR)
        caller.close()

    def close(self) -> None:
        self._server.close()


class TestLedger:
    async def test_what_was_committed_without_an_answer_is_not_written_twice(
        self, url: str, db: Database, postgres_server: Server
    ) -> None:
        line = CuttingLine(postgres_server.port)
        gateway = Database(url.replace(f":{postgres_server.port}/", f":{line.port}/"), is_gateway=True)
        told: list[StoreFailed] = []
        ledger = Ledger(gateway, told.append)
        await ledger.hold(hold(1))
        line.is_cut = True
        ledger.record(row(1, "hold_1"))
        ledger.record(row(2))
        await ledger.flush()
        assert ledger.pending == 2 and isinstance(told[0], StoreGone) and told[0].in_doubt
        assert db.call(counts) == (2, 14, 14, 0)  # it was written
        ledger.record(row(3))
        await asyncio.sleep(1.05)
        await ledger.flush()
        assert ledger.pending == 0
        assert db.call(counts) == (3, 21, 21, 0)
        line.is_cut = True
        with pytest.raises(StoreFailed):
            await ledger.hold(hold(4))
        assert db.call(counts)[3] == 1  # it stands, and its call never left
        await asyncio.sleep(1.05)
        await ledger.flush()
        assert db.call(counts) == (3, 21, 21, 0)
        gateway.close()
        line.close()

    async def test_nothing_is_lost_while_the_server_is_away(self, db: Database, postgres_server: Server) -> None:
        ledger = Ledger(db)
        await ledger.hold(hold(1))
        for number in range(10, 20):
            ledger.record(row(number))
        postgres_server.stop()
        for number in range(20, 40):
            ledger.record(row(number))
            await asyncio.sleep(0.01)
        ledger.record(row(1, "hold_1"))
        began = time.monotonic()
        with pytest.raises(StoreFailed):
            await ledger.hold(hold(2))
        assert time.monotonic() - began < 1
        assert ledger.pending == 31
        postgres_server.start()
        async with asyncio.timeout(25):
            while ledger.pending:
                await asyncio.sleep(0.05)
        assert db.call(counts) == (31, 217, 217, 0)
        await ledger.hold(hold(2))
        assert [one.id for one in await ledger.holds()] == ["hold_2"]

    async def test_a_hold_does_not_wait_for_a_server_that_says_nothing(
        self, db: Database, postgres_server: Server
    ) -> None:
        ledger = Ledger(db)
        await ledger.hold(hold(1))
        with postgres_server.frozen():
            began = time.monotonic()
            with pytest.raises(StoreFailed, match="does not answer within 3 s"):
                await ledger.hold(hold(2))
            assert time.monotonic() - began < 4
            began = time.monotonic()
            with pytest.raises(StoreFailed, match=r"does not answer"):
                await ledger.hold(hold(3))
            assert time.monotonic() - began < 1
        await answering(db)
        await ledger.hold(hold(4))
        assert sorted(one.id for one in await ledger.holds()) == ["hold_1", "hold_4"]

    async def test_names_that_do_not_fit_keep_no_others_from_being_written(self, db: Database) -> None:
        ledger = Ledger(db)
        ledger.record(row(1, model="m" * 300, agent="a\0b", target="t" * 400))
        ledger.record(row(2, output_tokens=10**12))
        await ledger.flush()
        assert db.call(counts) == (2, 14, 14, 0)
        assert [len(one.model) for one in db.call(lambda c: totals(c, ""))] == [1, 200]

    async def test_thousands_of_rows_are_written_with_one_flush(self, db: Database) -> None:
        ledger = Ledger(db)
        for number in range(2000):
            ledger.record(row(number))
        await ledger.flush()
        assert db.call(counts)[0] == 2000
