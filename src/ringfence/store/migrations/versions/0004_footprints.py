"""What models take of devices, as it was predicted and as it was seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "footprints",
        sa.Column("engine", sa.String(32), primary_key=True),
        sa.Column("build", sa.String(100), primary_key=True),
        sa.Column("model", sa.String(200), primary_key=True),
        sa.Column("window", sa.Integer, primary_key=True),
        sa.Column("parallel", sa.Integer, primary_key=True),
        sa.Column("quantisation", sa.String(64), primary_key=True),
        sa.Column("kv_type", sa.String(64), primary_key=True),
        sa.Column("device", sa.String(200), primary_key=True),
        sa.Column("architecture", sa.String(100), nullable=False),
        sa.Column("predicted_bytes", sa.BigInteger),
        sa.Column("peak_bytes", sa.BigInteger, nullable=False),
        sa.Column("before_bytes", sa.BigInteger, nullable=False),
        sa.Column("loads", sa.Integer, nullable=False),
        sa.Column("seen_s", sa.Float, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("footprints")
