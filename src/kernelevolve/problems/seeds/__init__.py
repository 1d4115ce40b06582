"""Seed kernels: what a textbook would write, right for every size, and the start of an evolution."""

from __future__ import annotations

__all__ = ["seed"]

from importlib import resources


def seed(file: str) -> str:
    """The text of the kernel file called `file` in this package, such as ``softmax.cl``."""
    return (resources.files(__name__) / file).read_text(encoding="utf-8")
