"""What was found, kept: runs, candidates, evaluations, events, and the artifacts beside them."""

from __future__ import annotations

__all__ = [
    "ALL_WORKLOADS",
    "ArtifactError",
    "Artifacts",
    "Candidate",
    "Evaluation",
    "Event",
    "EventKind",
    "Lesson",
    "Lessons",
    "Memory",
    "Outline",
    "Run",
    "SchemaError",
    "Standing",
    "Store",
    "StoreError",
    "WorkloadTimes",
    "default_url",
    "home",
    "sqlite_url",
]

from kernelevolve.store.artifacts import Artifacts
from kernelevolve.store.errors import ArtifactError, SchemaError, StoreError
from kernelevolve.store.lessons import Lessons
from kernelevolve.store.location import default_url, home, sqlite_url
from kernelevolve.store.records import (
    ALL_WORKLOADS,
    Candidate,
    Evaluation,
    Event,
    EventKind,
    Lesson,
    Memory,
    Outline,
    Run,
    Standing,
    WorkloadTimes,
)
from kernelevolve.store.store import Store
