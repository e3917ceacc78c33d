"""A real database in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.store.db import Database


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def db(state_dir: Path) -> Iterator[Database]:
    database = Database(state_dir / "ringfence.db")
    database.migrate()
    yield database
    database.close()
