"""API keys may be bound to an agent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("agent", sa.String(100), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("api_keys", "agent")
