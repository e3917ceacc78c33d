"""Parked requests, with their text sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "parked",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(100), nullable=False),
        sa.Column("boundary", sa.Integer, nullable=False),
        sa.Column("urgency", sa.Integer, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("dialect", sa.String(32), nullable=False),
        sa.Column("agent", sa.String(100), nullable=False),
        sa.Column("named", sa.String(100), nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("body_bytes", sa.Integer, nullable=False),
        sa.Column("ticketed", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("parked_s", sa.Float, nullable=False),
        sa.Column("deadline_s", sa.Float, nullable=False),
        sa.Column("ended_s", sa.Float),
        sa.Column("status", sa.Integer),
        sa.Column("seal_key", sa.String(16), nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("result", sa.LargeBinary),
    )


def downgrade() -> None:
    op.drop_table("parked")
