"""A real database: a file in a folder of its own, or one of a PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.store.db import Database


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def address(request: pytest.FixtureRequest, state_dir: Path) -> Iterator[str | Path]:
    """Of the database, for whoever opens it once more."""
    if request.param == "sqlite":
        yield state_dir / "ringfence.db"
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
