"""What the lines of a batch have used, and the model that they name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COUNTS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def upgrade() -> None:
    op.add_column("batches", sa.Column("model", sa.String(200), nullable=False, server_default=""))
    for name in COUNTS:
        op.add_column("batches", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    for name in (*COUNTS, "model"):
        op.drop_column("batches", name)
