"""Batches that are under way at a provider, and the holds of their lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_batches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("batch_id", sa.String(40), nullable=False, index=True),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("remote_id", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("expires_s", sa.Float, nullable=False),
    )
    op.add_column("holds", sa.Column("submission", sa.String(32), nullable=False, server_default=""))
    op.add_column("holds", sa.Column("line", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("holds", "line")
    op.drop_column("holds", "submission")
    op.drop_table("provider_batches")
