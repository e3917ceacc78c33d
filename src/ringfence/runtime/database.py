"""The database that the configuration names."""

from __future__ import annotations

from ringfence.config.schema import Config, state_dir
from ringfence.store.db import Database


def database(config: Config, *, is_gateway: bool = False, only_reads: bool = False) -> Database:
    """Not opened yet. Raises ConfigError where its password cannot be read."""
    settings = config.database
    if settings.url is None:
        return Database(state_dir(config) / "ringfence.db", only_reads=only_reads)
    password = settings.password.resolve() if settings.password is not None else None
    return Database(settings.url, password, is_gateway=is_gateway, only_reads=only_reads)
