"""The tables, as the newest migration leaves them. Portable types only: SQLite and PostgreSQL hold the same schema."""

from __future__ import annotations

__all__ = ["HEAD", "candidates", "evaluations", "events", "kernels", "lessons", "metadata", "runs"]

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

#: The newest schema this code knows: the number of the last file in ``migrations/versions``.
HEAD: Final = 2

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("problem", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("accelerator", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("proposer", Text, nullable=False),
    Column("seed", Text, nullable=False),
    Column("description", JSON, nullable=False),
    Column("budget", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("toolchain", JSON, nullable=False),
    Column("version", Text, nullable=False),
    Column("created", Float(53), nullable=False),
    Index("runs_by_problem", "problem", "accelerator"),
)

kernels = Table(
    "kernels",
    metadata,
    Column("digest", String(16), primary_key=True),
    Column("text", Text, nullable=False),
)

candidates = Table(
    "candidates",
    metadata,
    Column("run", String(16), ForeignKey("runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kernel", String(16), ForeignKey("kernels.digest"), nullable=False),
    Column("normal_form", String(64), nullable=False),
    Column("operator", Text, nullable=False),
    Column("parents", JSON, nullable=False),
    Column("note", Text, nullable=False),
    Column("memory", String(16), nullable=False),
    Column("island", Integer, nullable=False),
    Column("proposal", JSON, nullable=False, server_default="{}"),
    Column("descriptor", JSON(none_as_null=True), nullable=True),
    Column("created", Float(53), nullable=False),
    Index("candidates_by_normal_form", "run", "normal_form"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String(16), nullable=False),
    Column("candidate", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("stage", String(32), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("configuration", JSON, nullable=False),
    Column("configuration_label", Text, nullable=False),
    Column("workload", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("times", JSON, nullable=False),
    Column("source", String(32), nullable=True),
    Column("fitness", Float(53), nullable=True),
    Column("descriptor", JSON(none_as_null=True), nullable=True),
    Column("profile", JSON, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Column("artifacts", JSON, nullable=False),
    Column("created", Float(53), nullable=False),
    ForeignKeyConstraint(["run", "candidate"], ["candidates.run", "candidates.number"]),
    UniqueConstraint("run", "key", name="evaluations_once"),
    Index("evaluations_by_candidate", "run", "candidate", "id"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String(16), ForeignKey("runs.id"), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("data", JSON, nullable=False),
    Column("created", Float(53), nullable=False),
    Index("events_by_run", "run", "kind", "id"),
)

lessons = Table(
    "lessons",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("accelerator", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("bottleneck", String(32), nullable=False),
    Column("run", String(16), nullable=False),
    Column("data", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created", Float(53), nullable=False),
    Index("lessons_by_problem", "problem", "accelerator"),
)
