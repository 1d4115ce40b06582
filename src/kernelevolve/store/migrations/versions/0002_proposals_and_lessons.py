"""How a candidate was proposed, and what runs have learnt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and the table. Lessons, unlike what was measured, may be changed by the user."""
    op.add_column("candidates", sa.Column("proposal", sa.JSON, nullable=False, server_default="{}"))
    op.create_table(
        "lessons",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("accelerator", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("bottleneck", sa.String(32), nullable=False),
        sa.Column("run", sa.String(16), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
    )
    op.create_index("lessons_by_problem", "lessons", ["problem", "accelerator"])
