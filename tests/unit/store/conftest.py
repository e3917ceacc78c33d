"""A real database: a file in a folder of its own, or in a second run one of a PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringfence.store.db import Database


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes a database in a folder, new and empty, by copying one: a migration takes a third of a second."""
    path = tmp_path_factory.mktemp("migrated") / "ringfence.db"
    database = Database(path)
    database.migrate()
    database.close()

    def empty(folder: Path) -> Path:
        found = folder / "ringfence.db"
        return shutil.copy(path, found) if path.exists() else found

    return empty


@pytest.fixture
def db_path(empty: Callable[[Path], Path], state_dir: Path) -> Path:
    """Of the database, for whoever opens it once more."""
    state_dir.mkdir(mode=0o700)
    return empty(state_dir)


@pytest.fixture
def db(db_path: Path) -> Iterator[Database]:
    database = Database(db_path)
    database.migrate()
    yield database
    database.close()
