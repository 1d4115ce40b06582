"""Faults of a store that a person can mend."""

from __future__ import annotations

__all__ = ["ArtifactError", "SchemaError", "StoreError"]

from kernelevolve.errors import KernelEvolveError


class StoreError(KernelEvolveError):
    """A store that cannot be opened, or a record that does not fit it."""


class SchemaError(StoreError):
    """A store written by a version of kernelevolve that this one does not know."""


class ArtifactError(StoreError):
    """An artifact that is missing, or whose bytes are no longer those that were stored."""
