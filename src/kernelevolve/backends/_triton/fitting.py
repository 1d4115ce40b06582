"""Whether a compiled block fits its target, and how many of them a unit holds."""

from __future__ import annotations

__all__ = ["Block", "occupancy_of"]

from attrs import frozen

from kernelevolve.accelerator import Target
from kernelevolve.backends._gpu.occupancy import limits, occupancy
from kernelevolve.backends._triton.compiling import Compiled
from kernelevolve.errors import UnknownNameError
from kernelevolve.outcome import ResourceExceeded


@frozen
class Block:
    """What one block takes."""

    warps: int
    threads: int
    #: Per thread; AMD: vector registers, accumulation registers among them.
    registers: int
    #: Scalar registers of a wave (AMD).
    scalars: int
    #: Dynamic shared memory, which Triton's own is, and all of it with what is static; bytes.
    dynamic: int
    shared: int

    @classmethod
    def of(cls, compiled: Compiled, *, static: int, registers: int, scalars: int = 0) -> Block:
        """From Triton's record and the binary's."""
        warps = int(compiled.metadata["num_warps"])  # those that warp specialisation adds included
        threads = warps * int(compiled.metadata["target"].warp_size)
        dynamic = int(compiled.metadata["shared"])
        return cls(warps, threads, registers, scalars, dynamic, static + dynamic)


def occupancy_of(entry: str, block: Block, target: Target) -> dict[str, int]:
    """Resources that follow from the block: sizes, blocks and warps per unit, percent of the warps a unit can hold.

    Nothing is said of occupancy for a target that is not in the tables. Raises `ResourceExceeded`.
    """
    sizes = {"dynamic_local_bytes": block.dynamic, "local_bytes": block.shared}
    sizes |= {"num_warps": block.warps, "threads": block.threads}
    try:
        most = limits(target.name)
        full = occupancy(
            target.name,
            threads=block.threads,
            registers=block.registers,
            shared=block.shared,
            scalars=block.scalars,
        )
    except UnknownNameError:
        return sizes
    for resource, needed, limit in (
        ("threads per block", block.threads, most.threads_per_block),
        ("shared memory", block.shared, most.shared_per_block),
        ("registers", block.registers, most.registers_per_thread),
    ):
        if needed > limit:
            message = f"{entry} needs {needed} {_UNITS[resource]}; {target.name} has {limit}"
            raise ResourceExceeded(message, resource=resource, needed=needed, limit=limit)
    if not full.blocks:
        needed = block.registers * block.threads
        message = f"{entry}: {full.sentence} of {target.name} ({block.registers} registers in {block.threads} threads)"
        raise ResourceExceeded(message, resource=full.limited_by[0], needed=needed, limit=None)
    return sizes | {
        "active_blocks": full.blocks,
        "active_warps": full.warps,
        "occupancy_percent": round(100 * full.fraction),
    }


_UNITS = {
    "threads per block": "threads per block",
    "shared memory": "bytes of shared memory per block",
    "registers": "registers per thread",
}
