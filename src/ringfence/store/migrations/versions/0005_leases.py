"""Memory of devices that other programs hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("tenant", sa.String(100), nullable=False),
        sa.Column("device", sa.String(200), nullable=False),
        sa.Column("leased_bytes", sa.BigInteger, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("is_recalled", sa.Boolean, nullable=False),
        sa.Column("ttl_s", sa.Float, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("started", sa.String(64), nullable=False),
        sa.Column("is_watched", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("leases")
