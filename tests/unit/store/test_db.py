"""The database as a file: modes, pragmas, transactions, and what is said when the disk does not play along."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from kept_rows import rows
from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import QueuePool

from ringfence.store import db as db_module
from ringfence.store import keys
from ringfence.store.db import HEAD, REVISIONS, Database, changed
from ringfence.store.failure import StoreFailed
from ringfence.store.migrate import config, upgrade
from ringfence.store.tables import metadata
from ringfence.store.tables import usage as usage_table

NOBODY = 65534


def row(key_id: str = "key_1", requests: int = 1) -> dict[str, object]:
    counts = {"errors": 0, "prompt_tokens": 0, "completion_tokens": 0, "cached_tokens": 0}
    return {"key_id": key_id, "model": "m", "day": "2027-01-15", "requests": requests, **counts}


def add(connection: Connection, key_id: str) -> None:
    connection.execute(insert(usage_table).values(row(key_id)))


def count(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM usage")).scalar_one()


def differences(connection: Connection) -> object:
    return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)


def shape(connection: Connection) -> dict[str, object]:
    """Of each table its columns, keys and indexes, in any order."""
    seen = inspect(connection)

    def told(found: Iterable[Any]) -> list[str]:
        return sorted(str({name: str(value) for name, value in dict(each).items()}) for each in found)

    return {
        table: (
            told(seen.get_columns(table)), seen.get_pk_constraint(table)["constrained_columns"],
            told(seen.get_indexes(table)), told(seen.get_unique_constraints(table)),
        )
        for table in sorted(seen.get_table_names())
    }  # fmt: skip


def revision(connection: Connection) -> str | None:
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def migrate_in_child(path: str, start: Barrier, answers: multiprocessing.Queue[str]) -> None:
    database = Database(path)
    try:
        start.wait(30)
        database.migrate()
        database.call(lambda connection: add(connection, f"key_{os.getpid()}"))
        answers.put("ok")
    except BaseException as error:
        answers.put(repr(error))
    finally:
        database.close()


def migrate_as_nobody(path: Path, answers: multiprocessing.Queue[str]) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    database = Database(path)
    try:
        database.migrate()
        answers.put("ok")
    except BaseException as error:
        answers.put(f"{type(error).__name__} {error}")
    finally:
        database.close()


@pytest.mark.sqlite("its file, its side files and its settings")
class TestFile:
    def test_only_the_owner_can_read_it_and_its_side_files(self, db: Database, state_dir: Path) -> None:
        db.call(lambda connection: add(connection, "key_1"))
        names = {path.name for path in state_dir.iterdir()}
        assert {"ringfence.db", "ringfence.db-wal", "ringfence.db-shm", "ringfence.db.lock"} == names
        assert {mode(path) for path in state_dir.iterdir()} == {0o600}
        assert mode(state_dir) == 0o700

    def test_a_file_that_others_could_read_is_closed_to_them(self, state_dir: Path) -> None:
        state_dir.mkdir()
        path = state_dir / "ringfence.db"
        path.touch(0o644)
        path.chmod(0o644)
        database = Database(path)
        database.migrate()
        database.close()
        assert mode(path) == 0o600

    def test_pragmas_hold(self, db: Database) -> None:
        def read(connection: Connection) -> list[object]:
            names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

        assert db.call(read) == ["wal", 2, 5000, 1]

    def test_a_path_with_url_characters_is_a_path(self, tmp_path: Path) -> None:
        database = Database(tmp_path / "50%?x=1#" / "a b.db")
        database.migrate()
        database.close()
        assert (tmp_path / "50%?x=1#" / "a b.db").exists()

    def test_nothing_is_opened_before_the_first_call(self, state_dir: Path) -> None:
        Database(state_dir / "ringfence.db").close()
        assert not state_dir.exists()

    def test_a_password_in_a_url_stays_out_of_its_name(self) -> None:
        database = Database("sqlite://user:hunter2@/:memory:")
        assert "hunter2" not in repr(database)
        database.close()


class TestTransactions:
    async def test_run_gives_back_what_the_function_returns(self, db: Database) -> None:
        await db.run(lambda connection: add(connection, "key_1"))
        assert await db.run(count) == 1

    async def test_nothing_remains_of_a_function_that_raises(self, db: Database) -> None:
        def half(connection: Connection) -> None:
            add(connection, "key_1")
            raise KeyError("on purpose")

        with pytest.raises(KeyError, match="on purpose"):
            await db.run(half)
        assert await db.run(count) == 0

    async def test_all_run_on_one_thread_that_is_not_the_loop(self, db: Database) -> None:
        threads = await asyncio.gather(*(db.run(lambda _: threading.current_thread().name) for _ in range(8)))
        assert len(set(threads)) == 1
        assert threads[0] != threading.current_thread().name

    def test_the_functions_own_errors_pass_through(self, db: Database) -> None:
        db.call(lambda connection: add(connection, "key_1"))
        with pytest.raises(IntegrityError) as caught:
            db.call(lambda connection: add(connection, "key_1"))
        assert "key_1" not in str(caught.value)

        def unreachable(_: Connection) -> None:
            raise ConnectionRefusedError("of the function")

        with pytest.raises(ConnectionRefusedError):
            db.call(unreachable)

    def test_close_twice(self, db: Database) -> None:
        db.close()
        db.close()

    async def test_what_only_reads_keeps_nothing_from_being_written(self, db: Database) -> None:
        has_begun, may_end = threading.Event(), threading.Event()

        def slowly(connection: Connection) -> list[int]:
            before = count(connection)
            has_begun.set()
            assert may_end.wait(20)
            return [before, count(connection)]

        reading = asyncio.create_task(db.read(slowly))
        assert await asyncio.to_thread(has_begun.wait, 20)
        await db.run(lambda connection: add(connection, "key_1"))
        assert not reading.done()
        may_end.set()
        assert await reading == [0, 0], "it sees what there was when it began"
        assert await db.read(count) == 1

    @pytest.mark.sqlite("PRAGMA data_version; test_postgres.py has the same for the server")
    def test_changed_sees_other_connections_only(self, db: Database, state_dir: Path) -> None:
        assert db.call(changed)
        assert not db.call(changed)
        db.call(lambda connection: add(connection, "key_own"))
        assert not db.call(changed)
        other = Database(state_dir / "ringfence.db")
        other.call(lambda connection: add(connection, "key_other"))
        other.close()
        assert db.call(changed)
        assert not db.call(changed)


class TestMigration:
    def test_the_constants_name_the_revisions_in_the_folder(self) -> None:
        script = ScriptDirectory.from_config(config())
        assert tuple(reversed([found.revision for found in script.walk_revisions()])) == REVISIONS
        assert script.get_current_head() == HEAD

    def test_migrations_lead_to_the_tables_of_the_code(self, db: Database, tmp_path: Path) -> None:
        migrated = Database(tmp_path / "migrated" / "ringfence.db")
        migrated.call(upgrade)
        assert migrated.call(differences) == []
        assert migrated.call(shape) == db.call(shape)
        assert migrated.call(revision) == db.call(revision) == HEAD
        migrated.close()

    @pytest.mark.sqlite("its former schemas")
    def test_keys_of_the_first_schema_are_bound_to_no_agent(self, db: Database) -> None:
        key, _ = db.call(lambda c: keys.create(c, bytes(32), name="laptop", created_s=1))

        def back(connection: Connection) -> None:
            settings = config()
            settings.attributes["connection"] = connection
            command.downgrade(settings, "0001")

        db.call(back)
        columns = "SELECT name FROM pragma_table_info('api_keys')"
        assert "agent" not in db.call(lambda c: c.execute(text(columns)).scalars().all())
        db.migrate()
        assert db.call(keys.all_keys) == [key]
        assert key.agent == ""

    def test_a_migrated_database_is_opened_without_alembic(self, db: Database, state_dir: Path) -> None:
        program = (
            "import sys; from ringfence.store.db import Database; import ringfence.store.keys, ringfence.store.ledger\n"
            f"db = Database({str(state_dir / 'ringfence.db')!r}); db.migrate(); db.close()\n"
            "sys.exit('alembic' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False, timeout=30).returncode == 0

    def test_a_newer_database_is_refused_and_left_alone(self, db: Database) -> None:
        db.call(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
        with pytest.raises(StoreFailed, match=r"newer Ringfence \(schema 9999.*upgrade Ringfence"):
            db.migrate()
        assert db.call(revision) == "9999"

    @pytest.mark.sqlite("each migration begins with a file that is not there")
    def test_a_failed_migration_leaves_nothing(self, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail_halfway(connection: Connection) -> None:
            create(connection)
            raise RuntimeError("power cut")

        create = db_module._create
        monkeypatch.setattr(db_module, "_create", fail_halfway)
        database = Database(state_dir / "ringfence.db")
        with pytest.raises(RuntimeError, match="power cut"):
            database.migrate()
        names = database.call(lambda c: c.execute(text("SELECT count(*) FROM sqlite_master")).scalar())
        assert names == 0
        monkeypatch.undo()
        database.migrate()
        assert database.call(count) == 0
        database.close()

    def test_two_processes_at_once(self, state_dir: Path) -> None:
        path = state_dir / "ringfence.db"
        spawn = multiprocessing.get_context("spawn")
        answers = spawn.Queue()
        start = spawn.Barrier(2)
        children = [spawn.Process(target=migrate_in_child, args=(str(path), start, answers)) for _ in range(2)]
        for child in children:
            child.start()
        try:
            assert [answers.get(timeout=30) for _ in children] == ["ok", "ok"]
        finally:
            for child in children:
                child.join(10)
        assert rows(path, "SELECT count(*) FROM usage") == [(2,)]
        assert rows(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]

    @pytest.mark.sqlite("the lock beside its file")
    def test_waits_for_another_process_only_so_long(
        self, db: Database, state_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(db_module, "MIGRATION_TIMEOUT_S", 0.1)
        other = Database(state_dir / "ringfence.db")
        with db._migration_lock(), pytest.raises(StoreFailed, match="being upgraded by another process"):
            other.migrate()
        other.migrate()
        other.close()


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a tiny disk is not permitted here")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    return filler


@pytest.mark.sqlite("disks that its file lies on")
class TestBadDisks:
    def test_a_full_disk_is_said_and_survived(self, tiny_disk: Path) -> None:
        database = Database(tiny_disk / "ringfence.db")
        database.migrate()
        filler = fill(tiny_disk)
        written = 0
        with pytest.raises(StoreFailed, match="the disk is full; free some space"):
            for written in range(2000):
                database.call(lambda connection, key=f"key_{written}": add(connection, key))
        filler.unlink()
        assert database.call(count) == written
        database.call(lambda connection: add(connection, "after"))
        assert database.call(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar()) == "ok"
        database.close()

    def test_a_disk_that_is_full_from_the_start(self, tiny_disk: Path) -> None:
        fill(tiny_disk)
        database = Database(tiny_disk / "ringfence.db")
        with pytest.raises(StoreFailed) as caught:
            database.migrate()
        assert "disk" in str(caught.value)
        database.close()

    def test_a_database_that_may_not_grow(self, db: Database) -> None:
        def limit(connection: Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

        def many(connection: Connection) -> None:
            for number in range(2000):
                add(connection, f"key_{number}")

        db.call(limit)
        with pytest.raises(StoreFailed, match="the disk is full"):
            db.call(many)
        assert db.call(count) == 0

    @pytest.mark.parametrize("exists", [False, True])
    def test_a_folder_that_may_not_be_written(self, exists: bool) -> None:
        """In a child without privileges: root may write anywhere."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "ringfence.db")
            if exists:
                database = Database(path)
                database.migrate()
                database.close()
            for file in Path(folder).iterdir():
                file.chmod(0o444)
            Path(folder).chmod(0o555)
            # Forked, not spawned: the user may not be allowed to read this interpreter's files.
            fork = multiprocessing.get_context("fork")
            answers = fork.Queue()
            child = fork.Process(target=migrate_as_nobody, args=(path, answers))
            child.start()
            try:
                answer = answers.get(timeout=30)
            finally:
                child.join(10)
            Path(folder).chmod(0o755)
        assert answer.startswith(f"StoreFailed {folder}")
        assert "belong to the user that runs Ringfence" in answer

    def test_a_disk_that_is_mounted_for_reading(self, tiny_disk: Path) -> None:
        database = Database(tiny_disk / "ringfence.db")
        database.migrate()
        database.close()
        subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
        database = Database(tiny_disk / "ringfence.db")
        with pytest.raises(StoreFailed, match="mount that disk for writing"):
            database.migrate()
        with pytest.raises(StoreFailed, match="cannot be"):
            database.call(count)
        database.close()

    def test_a_file_in_the_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("not a folder")
        database = Database(tmp_path / "state" / "ringfence.db")
        with pytest.raises(StoreFailed, match="cannot be used"):
            database.migrate()
        database.close()

    def test_a_file_that_is_no_database(self, state_dir: Path) -> None:
        state_dir.mkdir()
        (state_dir / "ringfence.db").write_text("Dear diary, " * 400)
        database = Database(state_dir / "ringfence.db")
        with pytest.raises(StoreFailed, match="is not a database; move it away"):
            database.migrate()
        database.close()

    def test_a_damaged_database(self, db: Database, state_dir: Path) -> None:
        def many(connection: Connection) -> None:
            for number in range(2000):
                add(connection, f"key_{number}")

        db.call(many)
        db.close()
        path = state_dir / "ringfence.db"
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        database = Database(path)
        with pytest.raises(StoreFailed, match="is damaged; move it away"):
            database.migrate()
            database.call(count)
        database.close()

    def test_a_database_that_another_program_holds(
        self, db: Database, state_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        holder = sqlite3.connect(state_dir / "ringfence.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(db_module, "PRAGMAS", ("PRAGMA busy_timeout=50",))
        other = Database(state_dir / "ringfence.db")
        with pytest.raises(StoreFailed, match="is locked by another program"):
            other.call(count)
        holder.close()
        assert other.call(count) == 0
        other.close()


def test_one_connection_is_kept(db: Database) -> None:
    db.call(count)
    assert db._engine is not None
    pool = db._engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.size() == 1
