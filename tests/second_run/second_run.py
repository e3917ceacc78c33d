"""`pytest --database postgresql`: the same tests, on a PostgreSQL that the run starts itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import second_database
from postgres_server import Server, serving

HERE = str(Path(__file__).parent)
WHOSE = "SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname LIKE 'of#_%' ESCAPE '#'"
IDLE = "SELECT d.datname FROM pg_database d LEFT JOIN pg_stat_activity a ON a.datid = d.oid WHERE a.pid IS NULL"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=("sqlite", "postgresql"), default="sqlite", help="what state is kept in")


def is_second(config: pytest.Config) -> bool:
    return bool(config.getoption("--database") == "postgresql")


def pytest_configure(config: pytest.Config) -> None:
    if not is_second(config):
        return
    kept = contextlib.ExitStack()
    config.add_cleanup(kept.close)
    begin(kept.enter_context(serving(by_socket="trust")))


def begin(server: Server) -> None:
    """From now on, this process and those that it starts keep their state there."""
    server.ask(f"CREATE DATABASE {second_database.TEMPLATE}", database="postgres")
    os.environ[second_database.SERVER] = f"{server.folder}:{server.port}"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (HERE, os.environ.get("PYTHONPATH"))))
    second_database.install()
    from ringfence.store.db import Database

    template = Database(f"postgresql://{second_database.USER}@:{server.port}/made?host={server.folder}")
    template.migrate()
    template.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not is_second(config):
        return
    for item in items:
        if (mark := item.get_closest_marker("sqlite")) is not None:
            item.add_marker(pytest.mark.skip(reason=f"SQLite: {mark.args[0]}"))


@pytest.fixture(autouse=True)
def second_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """Those of a test go with it. A file of SQLite means that something of it did not run where it should have."""
    is_wanted = is_second(request.config) and "tmp_path" in request.fixturenames
    folder: Path | None = request.getfixturevalue("tmp_path") if is_wanted else None
    yield
    if folder is not None:
        _drop(folder)
        assert not list(folder.rglob("ringfence.db")), "state was kept in SQLite"


@pytest.fixture(autouse=True, scope="module")
def second_databases_of_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """What nobody is connected to any more when the last test of a file has ended."""
    yield
    if is_second(request.config):
        idle = {row[0] for row in second_database.ask(IDLE)}
        for name, _ in second_database.ask(WHOSE):
            if name in idle:
                _drop_one(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not is_second(session.config):
        return
    factory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    left = [str(path) for path in factory.getbasetemp().rglob("ringfence.db")]
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\nFAILED state was kept in SQLite:", *left, sep="\n  ")


def _drop(folder: Path) -> None:
    for name, path in second_database.ask(WHOSE):
        if path is not None and Path(path).is_relative_to(folder):
            _drop_one(name)


def _drop_one(name: str) -> None:
    second_database.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    second_database.known.discard(name)
