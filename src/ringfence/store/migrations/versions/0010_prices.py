"""Prices, and since when each holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "prices",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("model", sa.String(300), nullable=False),
        sa.Column("since_s", sa.Float, nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("rates", sa.Text),
    )
    op.create_index("ix_prices_provider_model", "prices", ["provider", "model"])


def downgrade() -> None:
    op.drop_table("prices")
