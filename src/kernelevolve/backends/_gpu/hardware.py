"""What an execution unit of each GPU architecture holds: the published tables that occupancy is computed from.

NVIDIA: "CUDA C++ Programming Guide", technical specifications per compute capability; allocation granularities as in
``cuda_occupancy.h`` of the CUDA toolkit, which computes the same for a device in hand.

AMD: the ISA guides (CDNA 2, 3, 4, RDNA 3, 4) and LLVM's "User Guide for AMDGPU Backend" (kernel descriptor: granulated
register counts and LDS size); waves, register files and workgroup limits as in LLVM's ``AMDGPUBaseInfo.cpp``. On RDNA a
unit is a workgroup processor, a pair of compute units: so LLVM compiles and HIP counts unless told otherwise.
"""

from __future__ import annotations

__all__ = ["UNITS", "AmdUnit", "NvidiaUnit", "unit_of"]

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from kernelevolve.errors import UnknownNameError

_KIB: Final = 1024


@frozen
class NvidiaUnit:
    """A streaming multiprocessor. Sizes in bytes."""

    max_warps: int
    max_blocks: int
    shared: int
    #: What one block may have at most (after opting in).
    shared_per_block: int
    #: What the driver takes of it for each block.
    reserved: int = 1 * _KIB
    #: Shared memory is handed out in multiples of this.
    shared_granule: int = 128
    registers: int = 65536
    #: Registers are handed out to warps, in multiples of this.
    register_granule: int = 256
    #: Each has a quarter of the registers, and whole warps.
    partitions: int = 4
    registers_per_thread: int = 255
    warp_size: int = 32
    threads_per_block: int = 1024


@frozen
class AmdUnit:
    """A compute unit, or a workgroup processor. Sizes in bytes, registers per lane."""

    warp_size: int
    waves_per_simd: int
    #: Of one SIMD; accumulation registers included where the file is one (CDNA 2 and later).
    vector_registers: int
    vector_granule: int
    registers_per_thread: int
    #: Of one SIMD; 0 where each wave has its own (RDNA).
    scalar_registers: int
    shared: int
    shared_per_block: int
    shared_granule: int
    #: Workgroups of more than one wave: each takes a barrier.
    max_blocks: int
    simds: int = 4
    threads_per_block: int = 1024


_TURING: Final = NvidiaUnit(32, 16, 64 * _KIB, 64 * _KIB, reserved=0, shared_granule=256)
_VOLTA: Final = NvidiaUnit(64, 32, 96 * _KIB, 96 * _KIB, reserved=0, shared_granule=256)
_HOPPER: Final = NvidiaUnit(64, 32, 228 * _KIB, 227 * _KIB)
_ADA: Final = NvidiaUnit(48, 24, 100 * _KIB, 99 * _KIB)
_CDNA: Final = AmdUnit(
    warp_size=64,
    waves_per_simd=8,
    vector_registers=512,
    vector_granule=8,
    registers_per_thread=512,
    scalar_registers=800,
    shared=64 * _KIB,
    shared_per_block=64 * _KIB,
    shared_granule=512,
    max_blocks=16,
)
_CDNA4: Final = AmdUnit(
    warp_size=64,
    waves_per_simd=8,
    vector_registers=512,
    vector_granule=8,
    registers_per_thread=512,
    scalar_registers=800,
    shared=160 * _KIB,
    shared_per_block=160 * _KIB,
    shared_granule=1280,
    max_blocks=16,
)
_RDNA: Final = AmdUnit(
    warp_size=32,
    waves_per_simd=16,
    vector_registers=1536,
    vector_granule=24,
    registers_per_thread=256,
    scalar_registers=0,
    shared=128 * _KIB,
    shared_per_block=64 * _KIB,
    shared_granule=512,
    max_blocks=32,
)
UNITS: Final[Mapping[str, NvidiaUnit | AmdUnit]] = {
    "sm_70": _VOLTA,
    "sm_75": _TURING,
    "sm_80": NvidiaUnit(64, 32, 164 * _KIB, 163 * _KIB),
    "sm_86": NvidiaUnit(48, 16, 100 * _KIB, 99 * _KIB),
    "sm_87": NvidiaUnit(48, 16, 164 * _KIB, 163 * _KIB),
    "sm_89": _ADA,
    "sm_90": _HOPPER,
    "sm_100": _HOPPER,
    "sm_103": _HOPPER,
    "sm_120": _ADA,
    "sm_121": _ADA,
    "gfx90a": _CDNA,
    "gfx942": _CDNA,
    "gfx950": _CDNA4,
    "gfx1100": _RDNA,
    "gfx1201": _RDNA,
}


def unit_of(target: str) -> NvidiaUnit | AmdUnit:
    """The unit of ``sm_90``, ``cuda:sm_90a``, ``hip:gfx942``… Raises `UnknownNameError` for one not in the tables."""
    name = target.rpartition(":")[2]
    if name.startswith("sm_"):
        name = name.rstrip("af")  # sm_90a and sm_100f are the same chips with more instructions
    if name not in UNITS:
        raise UnknownNameError("GPU architecture", name, UNITS)
    return UNITS[name]
