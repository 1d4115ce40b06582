"""Short tables for a terminal: the reply of a remote call carries the end of its output and little else."""

from __future__ import annotations

__all__ = ["microseconds", "ratio", "table"]

from collections.abc import Mapping, Sequence
from typing import Any


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def microseconds(seconds: float) -> str:
    """``97.3 µs``."""
    return f"{seconds * 1e6:.4g} µs" if seconds < 0.01 else f"{seconds * 1e3:.4g} ms"


def ratio(comparison: Mapping[str, Any]) -> str:
    """``1.52× [1.50, 1.54]``."""
    return f"{comparison['ratio']:.3g}× [{comparison['low']:.3g}, {comparison['high']:.3g}]"
