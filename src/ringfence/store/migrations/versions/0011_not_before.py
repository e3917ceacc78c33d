"""Before when a parked request is not to be begun."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("parked", sa.Column("not_before_s", sa.Float, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("parked", "not_before_s")
