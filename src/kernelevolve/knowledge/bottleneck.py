"""What stands between a kernel and a better one: one closed enum, the word that diagnoses, pages and lessons share."""

from __future__ import annotations

__all__ = ["Bottleneck"]

import enum


class Bottleneck(enum.StrEnum):
    """What limits a right kernel, or in which way a kernel failed."""

    # --- right kernels
    MEMORY_BOUND = "memory-bound"
    COMPUTE_BOUND = "compute-bound"
    LATENCY_BOUND = "latency-bound"
    """Neither memory nor arithmetic is near its peak: the device waits."""
    LAUNCH_BOUND = "launch-bound"
    OCCUPANCY_LIMITED = "occupancy-limited"
    """Too little of the device has work at a time."""
    SPILLING = "spilling"
    CORRECT = "correct"
    """Right, and nothing more is known: no time, or no peaks to compare it with."""

    # --- wrong results
    WRONG_NAN = "wrong-nan"
    WRONG_EVERYWHERE = "wrong-everywhere"
    WRONG_EDGES = "wrong-edges"
    WRONG_DTYPE = "wrong-dtype"
    WRONG_MAGNITUDE = "wrong-magnitude"
    NONDETERMINISTIC = "nondeterministic"
    OUT_OF_BOUNDS = "out-of-bounds"
    INPUT_MODIFIED = "input-modified"
    IMPLAUSIBLE = "implausible"

    # --- nothing was computed
    REJECTED = "rejected"
    COMPILE_SYNTAX = "compile-syntax"
    COMPILE_NAME = "compile-name"
    COMPILE_TYPE = "compile-type"
    COMPILE_UNSUPPORTED = "compile-unsupported"
    COMPILE_OTHER = "compile-other"
    TOOLCHAIN = "toolchain"
    RESOURCE_EXCEEDED = "resource-exceeded"
    CONSTRAINT = "constraint"
    LAUNCH_ERROR = "launch-error"
    FAULT = "fault"
    OUT_OF_MEMORY = "out-of-memory"
    TIMEOUT = "timeout"
    UNSTABLE = "unstable"
    UNKNOWN = "unknown"

    @property
    def right(self) -> bool:
        """Whether it speaks of a kernel that computes the right result."""
        return self in _RIGHT


_RIGHT = frozenset(
    {
        Bottleneck.MEMORY_BOUND,
        Bottleneck.COMPUTE_BOUND,
        Bottleneck.LATENCY_BOUND,
        Bottleneck.LAUNCH_BOUND,
        Bottleneck.OCCUPANCY_LIMITED,
        Bottleneck.SPILLING,
        Bottleneck.CORRECT,
    }
)
