"""A real database in a folder of its own."""

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


@pytest.fixture
def db(db_path: Path) -> Iterator[Database]:
    database = Database(db_path)
    database.migrate()  # finds all done
    yield database
    database.close()
