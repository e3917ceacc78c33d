"""A real database: a file in a folder of its own, or one of a PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.store.db import Database


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that is new and empty, for copies: a migration takes a third of a second."""
    path = tmp_path_factory.mktemp("migrated") / "ringfence.db"
    database = Database(path)
    database.migrate()
    database.close()
    return path


@pytest.fixture
def db_path(migrated: Path, state_dir: Path) -> Path:
    state_dir.mkdir(mode=0o700)
    return shutil.copy(migrated, state_dir / "ringfence.db")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def address(request: pytest.FixtureRequest, state_dir: Path) -> Iterator[str | Path]:
    """Of the database, for whoever opens it once more."""
    if request.param == "sqlite":
        yield request.getfixturevalue("db_path")
        return
    state_dir.mkdir(mode=0o700)
    with request.getfixturevalue("postgres_server").database() as url:
        yield url


@pytest.fixture
def db(address: str | Path) -> Iterator[Database]:
    database = Database(address)
    database.migrate()
    yield database
    database.close()
