"""Whether a warm worker times like a fresh process, and how small a difference means anything here."""

from __future__ import annotations

__all__ = ["figures"]

from benchmarks.figures import Figure
from kernelevolve.evaluation.selftest import self_test


def figures() -> list[Figure]:
    """The A/A self-test on PoCL."""
    found = self_test("opencl", batches=20)
    off = 100 * abs(found.fresh_ratio - 1)
    return [
        Figure("warm worker against fresh, |paired ratio - 1|", off, "%", "<=", 2, f"ratio {found.fresh_ratio:.4f}"),
        Figure("A/A resolution (95th percentile of paired medians)", 100 * found.resolution, "%", note=found.kernel),
    ]
