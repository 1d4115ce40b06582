"""Runs, kernels, candidates, evaluations and events."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TABLES: Final = ("runs", "kernels", "candidates", "evaluations", "events")


def upgrade() -> None:
    """Create the tables; on SQLite, also triggers that refuse to change or delete what was recorded."""
    _create_runs()
    op.create_table(
        "kernels",
        sa.Column("digest", sa.String(16), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    _create_candidates()
    _create_evaluations()
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.String(16), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
    )
    op.create_index("events_by_run", "events", ["run", "kind", "id"])
    if op.get_bind().dialect.name == "sqlite":
        for table in _TABLES:
            _refuse(table, "UPDATE")
            _refuse(table, "DELETE")


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("accelerator", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("proposer", sa.Text, nullable=False),
        sa.Column("seed", sa.Text, nullable=False),
        sa.Column("description", sa.JSON, nullable=False),
        sa.Column("budget", sa.JSON, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("toolchain", sa.JSON, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
    )
    op.create_index("runs_by_problem", "runs", ["problem", "accelerator"])


def _create_candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("run", sa.String(16), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kernel", sa.String(16), sa.ForeignKey("kernels.digest"), nullable=False),
        sa.Column("normal_form", sa.String(64), nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("parents", sa.JSON, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("memory", sa.String(16), nullable=False),
        sa.Column("island", sa.Integer, nullable=False),
        sa.Column("descriptor", sa.JSON, nullable=True),
        sa.Column("created", sa.Float(53), nullable=False),
    )
    op.create_index("candidates_by_normal_form", "candidates", ["run", "normal_form"])


def _create_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.String(16), nullable=False),
        sa.Column("candidate", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("stage", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("configuration", sa.JSON, nullable=False),
        sa.Column("configuration_label", sa.Text, nullable=False),
        sa.Column("workload", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("times", sa.JSON, nullable=False),
        sa.Column("source", sa.String(32), nullable=True),
        sa.Column("fitness", sa.Float(53), nullable=True),
        sa.Column("descriptor", sa.JSON, nullable=True),
        sa.Column("profile", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("artifacts", sa.JSON, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.ForeignKeyConstraint(["run", "candidate"], ["candidates.run", "candidates.number"]),
        sa.UniqueConstraint("run", "key", name="evaluations_once"),
    )
    op.create_index("evaluations_by_candidate", "evaluations", ["run", "candidate", "id"])


def _refuse(table: str, verb: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )
