"""Run by Alembic for every migration; the connection is handed in by `ringfence.store.migrate`."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite can undo changes of the schema because we begin transactions ourselves: all or nothing.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
