"""How many blocks a unit holds at a time, from what a kernel uses and what its target has.

Theoretical occupancy: how full the units can be, not how full they are.
"""

from __future__ import annotations

__all__ = ["Limits", "Occupancy", "limits", "occupancy"]

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from kernelevolve.backends._gpu.hardware import AmdUnit, NvidiaUnit, unit_of

#: Scalar registers of a CDNA wave beside its own, for the trap handler, and what they are handed out in (LLVM,
#: ``TRAP_NUM_SGPRS`` and ``getSGPRAllocGranule``).
_TRAP_SCALARS: Final = 16
_SCALAR_GRANULE: Final = 16


@frozen
class Limits:
    """What one block, or thread, of a target may have at most."""

    threads_per_block: int
    registers_per_thread: int
    #: Bytes, static and dynamic together.
    shared_per_block: int
    warp_size: int


@frozen
class Occupancy:
    """What fits on one unit at a time."""

    #: Active warps of those that a unit can hold.
    fraction: float
    blocks: int
    warps: int
    #: What keeps more from fitting: ``registers``, ``shared memory``, ``warps``, ``blocks``; several where they tie.
    limited_by: tuple[str, ...]
    sentence: str
    #: Blocks per unit that each resource would allow.
    allowed: Mapping[str, int] = field(factory=dict, hash=False)


def limits(target: str) -> Limits:
    """The limits of a target (``cuda:sm_90``, ``gfx942``). Raises `UnknownNameError` for one not in the tables."""
    unit = unit_of(target)
    return Limits(unit.threads_per_block, unit.registers_per_thread, unit.shared_per_block, unit.warp_size)


def occupancy(
    target: str,
    *,
    threads: int,
    registers: int,
    shared: int = 0,
    accumulators: int = 0,
    scalars: int = 0,
) -> Occupancy:
    """Theoretical occupancy of a kernel on `target`.

    `threads` per block; `registers` per thread (AMD: VGPRs); `shared` bytes per block, static and dynamic together;
    `accumulators` (AMD's AGPRs) and `scalars` (SGPRs) per thread and wave. A kernel that does not fit has a fraction of
    0. Raises `UnknownNameError` for a target that is not in the tables, ValueError for less than one thread.
    """
    if threads < 1:
        raise ValueError(f"a block of {threads} threads")
    unit = unit_of(target)
    warps = -(-threads // unit.warp_size)
    if isinstance(unit, NvidiaUnit):
        capacity, allowed = unit.max_warps, _nvidia(unit, warps, registers, shared)
    else:
        used = _vector_registers(registers, accumulators)
        capacity, allowed = unit.simds * unit.waves_per_simd, _amd(unit, warps, used, scalars, shared)
    if threads > unit.threads_per_block:
        allowed["warps"] = 0
    blocks = min(allowed.values())
    limiting = tuple(name for name, count in allowed.items() if count == blocks)
    return Occupancy(
        fraction=blocks * warps / capacity,
        blocks=blocks,
        warps=blocks * warps,
        limited_by=limiting,
        sentence=_sentence(blocks, warps, capacity, limiting),
        allowed=allowed,
    )


def _nvidia(unit: NvidiaUnit, warps: int, registers: int, shared: int) -> dict[str, int]:
    """Blocks that each resource allows, as ``cuda_occupancy.h`` computes it."""
    per_warp = _round_up(registers * unit.warp_size, unit.register_granule)
    by_registers = unit.max_blocks
    if per_warp:
        per_partition = unit.registers // unit.partitions // per_warp
        by_registers = per_partition * unit.partitions // warps
        # The launch is checked as if a block took registers in all partitions at once.
        too_large = per_warp * _round_up(warps, unit.partitions) > unit.registers
        if too_large or registers > unit.registers_per_thread:
            by_registers = 0
    taken = _round_up(shared + unit.reserved, unit.shared_granule)
    by_shared = unit.shared // taken if taken else unit.max_blocks
    if taken > unit.shared_per_block + unit.reserved:
        by_shared = 0
    return {
        "registers": by_registers,
        "shared memory": by_shared,
        "warps": unit.max_warps // warps,
        "blocks": unit.max_blocks,
    }


def _vector_registers(registers: int, accumulators: int) -> int:
    """Both kinds lie in one file, accumulators from a multiple of four on (LLVM, `getTotalNumVGPRs`)."""
    return _round_up(registers, 4) + accumulators if accumulators else registers


def _amd(unit: AmdUnit, warps: int, registers: int, scalars: int, shared: int) -> dict[str, int]:
    waves = min(unit.waves_per_simd, unit.vector_registers // max(_round_up(registers, unit.vector_granule), 1))
    if unit.scalar_registers:
        waves = min(waves, unit.scalar_registers // _round_up(scalars + _TRAP_SCALARS, _SCALAR_GRANULE))
    if registers > unit.registers_per_thread:
        waves = 0
    taken = _round_up(shared, unit.shared_granule)
    by_shared = unit.shared // taken if taken else unit.simds * unit.waves_per_simd
    slots = unit.simds * unit.waves_per_simd
    return {
        "registers": unit.simds * waves // warps,
        "shared memory": 0 if shared > unit.shared_per_block else by_shared,
        "warps": slots // warps,
        "blocks": unit.max_blocks if warps > 1 else slots,  # a wave alone needs no barrier
    }


def _sentence(blocks: int, warps: int, capacity: int, limiting: tuple[str, ...]) -> str:
    cause = " and ".join(limiting)
    if not blocks:
        return f"not one block fits on a unit, for lack of {cause}"
    active = blocks * warps
    return f"{active} of {capacity} warps per unit ({active / capacity:.0%}) in {blocks} blocks, limited by {cause}"


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
