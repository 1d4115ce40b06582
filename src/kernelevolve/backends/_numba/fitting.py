"""Whether a compiled block fits its target, and how many of them a multiprocessor holds."""

from __future__ import annotations

__all__ = ["fit"]

from collections.abc import Mapping

from kernelevolve.backends._gpu.occupancy import limits, occupancy
from kernelevolve.backends._numba.signature import Entry
from kernelevolve.errors import UnknownNameError
from kernelevolve.outcome import ResourceExceeded


def fit(entry: Entry, used: Mapping[str, int], target: str) -> dict[str, int]:
    """Resources that follow from the block: threads, shared bytes, blocks and warps per unit, percent of the warps.

    Nothing is said of occupancy for a target that is not in the tables. Raises `ResourceExceeded` for a block that
    `target` cannot hold.
    """
    shared = used["static_local_bytes"] + entry.dynamic_shared
    sizes = {"threads": entry.threads, "dynamic_local_bytes": entry.dynamic_shared, "local_bytes": shared}
    try:
        most = limits(target)
    except UnknownNameError:
        return sizes
    for resource, what, needed, limit in (
        ("threads per block", "threads per block", entry.threads, most.threads_per_block),
        ("shared memory", "bytes of shared memory per block", shared, most.shared_per_block),
    ):
        if needed > limit:
            message = f"{entry.name} needs {needed} {what}; {target} has {limit}"
            raise ResourceExceeded(message, resource=resource, needed=needed, limit=limit)
    full = occupancy(target, threads=entry.threads, registers=used["registers"], shared=shared)
    if not full.blocks:
        message = f"{entry.name}: {full.sentence} of {target} ({used['registers']} registers, {entry.threads} threads)"
        needed = used["registers"] * entry.threads
        raise ResourceExceeded(message, resource=full.limited_by[0], needed=needed, limit=None)
    return sizes | {
        "active_blocks": full.blocks,
        "active_warps": full.warps,
        "occupancy_percent": round(100 * full.fraction),
    }
