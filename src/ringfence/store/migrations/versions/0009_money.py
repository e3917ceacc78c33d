"""A row for each call, money that is held, and budgets of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
BUDGETS = ("budget_day", "budget_week", "budget_month", "budget_call")


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False, index=True),
        sa.Column("at_s", sa.Float, nullable=False, index=True),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(100), nullable=False),
        sa.Column("agent", sa.String(100), nullable=False),
        sa.Column("dialect", sa.String(32), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("is_estimated", sa.Boolean, nullable=False),
        sa.Column("cost_usd_micros", sa.BigInteger),
        sa.Column("energy_j", sa.Float),
        sa.Column("first_byte_s", sa.Float, nullable=False),
        sa.Column("total_s", sa.Float, nullable=False),
        sa.Column("hold_id", sa.String(32), unique=True),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("at_s", sa.Float, nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("profile", sa.String(100), nullable=False),
        sa.Column("agent", sa.String(100), nullable=False),
        sa.Column("dialect", sa.String(32), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("usd_micros", sa.BigInteger, nullable=False),
    )
    op.add_column("usage", sa.Column("cost_usd_micros", sa.BigInteger, nullable=False, server_default="0"))
    for name in BUDGETS:
        op.add_column("api_keys", sa.Column(name, sa.BigInteger))
    op.add_column("api_keys", sa.Column("soft_percent", sa.Integer, nullable=False, server_default="80"))


def downgrade() -> None:
    for name in ("soft_percent", *BUDGETS):
        op.drop_column("api_keys", name)
    op.drop_column("usage", "cost_usd_micros")
    op.drop_table("holds")
    op.drop_table("calls")
