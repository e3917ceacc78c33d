"""A real database, new and empty: a file in a folder of its own, or in a second run one of a PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.store.db import Database


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def db_path(state_dir: Path) -> Path:
    """Of the database, for whoever opens it once more. Its folder is there also where the database is elsewhere."""
    state_dir.mkdir(mode=0o700)
    database = Database(state_dir / "ringfence.db")
    database.migrate()
    database.close()
    return state_dir / "ringfence.db"


@pytest.fixture
def db(db_path: Path) -> Iterator[Database]:
    database = Database(db_path)
    yield database
    database.close()
