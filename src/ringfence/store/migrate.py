"""The only module that imports Alembic. Loaded by `Database.migrate` when there is something to migrate."""

from __future__ import annotations

import logging

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

MIGRATIONS = "ringfence.store:migrations"


def config() -> Config:
    """Alembic's settings without an .ini file."""
    settings = Config()
    settings.set_main_option("script_location", MIGRATIONS)
    return settings


def upgrade(connection: Connection) -> None:
    """Brings the database to the newest revision, inside the transaction of `connection`."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # that all is well is no news
    settings = config()
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
