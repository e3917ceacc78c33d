"""What is kept, for commands that only read it; a gateway may be running meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringfence.store.db import Database


def stored(config: Path | None) -> Database | None:
    """The database that the configuration names, brought to the present schema where no gateway runs that would have;
    None where nothing was ever kept. Raises ConfigError and StoreFailed."""
    from ringfence.cli.running import in_force, running
    from ringfence.config.load import load
    from ringfence.config.schema import state_dir
    from ringfence.runtime.database import database

    found = load(in_force(config), check_secrets=False)
    named = database(found, only_reads=True)
    if named.path is not None and not named.path.exists():
        return None
    if running(state_dir(found)) is None:
        with closing(database(found)) as writer:
            writer.migrate()
    return named
