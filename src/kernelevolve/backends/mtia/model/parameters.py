"""Every number of the machine model, each with its unit and where it comes from.

Sources: **I25** is "Meta's Second Generation AI Chip: Model-Chip Co-Design and Productionization" (ISCA 2025,
doi 10.1145/3695053.3731409); **I26** is "MTIA 300: Meta's First Training Chip" (ISCA 2026); **Helion** is the public
test suite of pytorch/helion, whose skips name limits of the tool chain; **KE** is arXiv 2512.23236. *derived* means
computed from published numbers, as said; *assumption* means that nothing public was found. What is assumed can be
varied: `docs/explanation/mtia-model.md` shows what conclusions rest on it.
"""

from __future__ import annotations

__all__ = ["CHIPS", "ChipParameters", "Origin", "origins"]

import enum
from typing import Any, Final

import attrs
from attrs import frozen

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3


class Origin(enum.StrEnum):
    """How much a number can be trusted."""

    PUBLISHED = "published"
    DERIVED = "derived"
    ASSUMPTION = "assumption"


def _number(unit: str, origin: Origin, source: str) -> Any:
    return attrs.field(metadata={"unit": unit, "origin": origin, "source": source})


_P, _D, _A = Origin.PUBLISHED, Origin.DERIVED, Origin.ASSUMPTION


@frozen(kw_only=True)
class ChipParameters:
    """One chip. Rates are per processing element (PE) and cycle unless the unit says otherwise."""

    name: str
    # --- the chip
    clock_hertz: float = _number("1/s", _P, "I25 table 2; I26 table 1")
    rows: int = _number("PEs", _P, "I25 section 3.1; I26 section 3")
    columns: int = _number("PEs", _P, "I25 section 3.1; I26 section 3")
    job_launch_seconds: float = _number("s", _P, "I25 section 3: below 1 us; the bound is used. 300: assumed the same")
    job_replace_seconds: float = _number(
        "s", _P, "I25 section 3: below 0.5 us; the bound is used. 300: assumed the same"
    )
    barrier_seconds: float = _number("s", _A, "one barrier over all PEs, between the launches of a plan")
    # --- local memory and circular buffers
    local_bytes: int = _number("bytes", _P, "I25 table 2; I26 table 1")
    local_bytes_per_cycle: float = _number("bytes/cycle, reads and writes", _D, "published bandwidth over the clock")
    circular_buffers: int = _number("per kernel", _P, "Helion: 'exceeds the 14 circular-buffer limit'")
    buffer_depth: int = _number("tiles", _A, "of a circular buffer before `cb_multiplier`; KE names the option only")
    # --- dot-product engine
    dot_macs_2byte: float = _number("MAC/cycle", _D, "I25, I26: peak over 2, clock and PEs; two 32 x 32 tiles")
    dot_macs_1byte: float = _number("MAC/cycle", _D, "I25 (INT8), I26 (FP8): twice the 2-byte rate")
    dot_macs_4byte: float = _number(
        "MAC/cycle", _A, "300: TF32 at half the FP16 rate; 0: float32 dots run on the SIMD engine"
    )
    dot_integers: bool = _number("whether 1-byte dots take integers", _P, "I25: INT8; I26: INT8 GEMM removed")
    dot_floats: bool = _number("whether 1-byte dots take FP8", _P, "I26: FP8 E4M3 and E5M2; 2i: none")
    dot_tile_rows: int = _number("elements", _P, "I25 section 3: 32 x 32 B x 32; I26: 32 x 64 B x 32")
    dot_tile_depth_bytes: int = _number("bytes", _P, "I25 section 3: 32 x 32 B x 32; I26: 32 x 64 B x 32")
    dot_init_stride_bytes: int = _number("bytes", _P, "Helion: the initial value's stride is at least 128 bytes")
    dot_issue_cycles: float = _number(
        "cycles", _A, "of a core, for each custom instruction of a dot (one feeds both tiles one step)"
    )
    # --- reduction engine
    reduce_elements: float = _number("float32/cycle", _A, "accumulator read-modify-write of the dot engine's rate")
    accumulator_bytes: int = _number("bytes", _A, "four 32 x 32 float32 tiles")
    # --- SIMD engine (SE)
    simd_elements: float = _number("elements/cycle", _P, "I26 section 3: 32 (2i), 128 (300)")
    lookup_elements: float = _number("elements/cycle", _A, "lookup-table functions at the SIMD engine's rate")
    # --- RISC-V vector core
    vector_bytes: float = _number("bytes/cycle and core", _P, "I25, I26: 64 bytes wide; one operation a cycle")
    vector_cores: int = _number(
        "cores", _P, "I25: one vector, one scalar; I26: two. Vector work stays on one (KE: DMA on core A, vector on B)"
    )
    vector_math_cycles: float = _number(
        "cycles per 64 bytes", _A, "a polynomial exp, log, sqrt or division in software"
    )
    core_line_bytes: int = _number("bytes", _A, "a scalar load brings a line of this size into a core's data cache")
    scalar_cycles: float = _number("cycles per scalar operation", _A, "an in-order core")
    issue_cycles: float = _number("cycles per custom instruction", _A, "a core hands one tile operation to a unit")
    # --- memory layout unit
    layout_bytes: float = _number("bytes/cycle", _A, "transpose, reshape, concatenate")
    # --- fabric interface
    dma_bytes: float = _number(
        "bytes/cycle, each way", _D, "shared memory's bandwidth over PEs and clock (2i: 31, 300: 83)"
    )
    dma_row_bytes: int = _number("bytes", _A, "a transfer moves whole pieces of this size; shorter rows waste the rest")
    dma_issue_cycles: float = _number("cycles per descriptor", _A, "one descriptor moves a 2-D tile")
    gather_cycles: float = _number("cycles per element", _A, "an address of its own for each element, not a tile")
    # --- shared memory, off-chip memory, fabric
    shared_bytes: int = _number("bytes", _P, "I25 table 2; I26 table 1")
    shared_bytes_per_second: float = _number("bytes/s, reads and writes", _P, "I25 table 2; I26 table 1")
    shared_granularity: int = _number(
        "bytes", _P, "I25 section 4.1: cache and scratch are split in units of 32 MB. 300: assumed"
    )
    dram_bytes: int = _number("bytes", _P, "I25 table 2; I26 table 1")
    dram_bytes_per_second: float = _number("bytes/s", _P, "I25 table 2; I26 table 1")
    dram_efficiency: float = _number("share", _P, "I25 section 4.2: over 95 %; I26 figure 13: 91 %")
    local_latency_cycles: float = _number("cycles", _A, "first byte")
    shared_latency_seconds: float = _number("s", _A, "first byte")
    dram_latency_seconds: float = _number("s", _A, "first byte")
    hop_cycles: float = _number("cycles", _A, "between neighbouring PEs")
    broadcast_column: int = _number("PEs", _P, "I25 section 4.2: one read down a column feeds all its PEs")
    # --- functions from tables
    lookup_entries: int = _number(
        "entries", _A, "of a lookup table with linear interpolation; decides results, not times"
    )

    @property
    def elements(self) -> int:
        """Processing elements."""
        return self.rows * self.columns

    @property
    def cycle_seconds(self) -> float:
        """Seconds of one cycle."""
        return 1.0 / self.clock_hertz


def origins() -> dict[str, tuple[str, Origin, str]]:
    """Unit, origin and source of every parameter, by name."""
    return {
        one.name: (one.metadata["unit"], one.metadata["origin"], one.metadata["source"])
        for one in attrs.fields(ChipParameters)
        if one.metadata
    }


_MTIA2I: Final = ChipParameters(
    name="mtia2i",
    clock_hertz=1.35e9,
    rows=8,
    columns=8,
    job_launch_seconds=1e-6,
    job_replace_seconds=0.5e-6,
    barrier_seconds=0.5e-6,
    local_bytes=384 * KIB,
    local_bytes_per_cycle=1.0e12 / 1.35e9,
    circular_buffers=14,
    buffer_depth=2,
    dot_macs_2byte=177e12 / 2 / 1.35e9 / 64,
    dot_macs_1byte=354e12 / 2 / 1.35e9 / 64,
    dot_macs_4byte=0.0,
    dot_integers=True,
    dot_floats=False,
    dot_tile_rows=32,
    dot_tile_depth_bytes=32,
    dot_init_stride_bytes=128,
    dot_issue_cycles=12.0,
    reduce_elements=64.0,
    accumulator_bytes=4 * 32 * 32 * 4,
    simd_elements=32.0,
    lookup_elements=32.0,
    vector_bytes=64.0,
    vector_cores=1,
    vector_math_cycles=16.0,
    core_line_bytes=64,
    scalar_cycles=2.0,
    issue_cycles=12.0,
    layout_bytes=64.0,
    dma_bytes=2.7e12 / 64 / 1.35e9,
    dma_row_bytes=32,
    dma_issue_cycles=16.0,
    gather_cycles=1.0,
    shared_bytes=256 * MIB,
    shared_bytes_per_second=2.7e12,
    shared_granularity=32 * MIB,
    dram_bytes=128 * GIB,
    dram_bytes_per_second=204.8e9,
    dram_efficiency=0.95,
    local_latency_cycles=4.0,
    shared_latency_seconds=120e-9,
    dram_latency_seconds=300e-9,
    hop_cycles=3.0,
    broadcast_column=8,
    lookup_entries=256,
)

_MTIA300: Final = attrs.evolve(
    _MTIA2I,
    name="mtia300",
    clock_hertz=1.9e9,
    rows=12,
    columns=6,
    local_bytes=512 * KIB,
    local_bytes_per_cycle=1.9e12 / 1.9e9,
    dot_macs_2byte=560e12 / 2 / 1.9e9 / 72,
    dot_macs_1byte=1120e12 / 2 / 1.9e9 / 72,
    dot_macs_4byte=560e12 / 4 / 1.9e9 / 72,
    dot_integers=False,
    dot_floats=True,
    dot_tile_depth_bytes=64,
    dot_issue_cycles=8.0,
    reduce_elements=128.0,
    simd_elements=128.0,
    lookup_elements=128.0,
    vector_cores=2,
    issue_cycles=8.0,
    layout_bytes=128.0,
    dma_bytes=11.4e12 / 72 / 1.9e9,
    dma_row_bytes=32,
    shared_bytes=192 * MIB,
    shared_bytes_per_second=11.4e12,
    dram_bytes=216 * GIB,
    dram_bytes_per_second=6.1e12,
    dram_efficiency=0.91,
    dram_latency_seconds=500e-9,
    broadcast_column=12,
)

_MTIA1: Final = attrs.evolve(
    _MTIA2I,
    name="mtia1",
    clock_hertz=0.8e9,
    local_bytes=128 * KIB,
    local_bytes_per_cycle=0.4e12 / 0.8e9,
    dot_macs_2byte=51.2e12 / 2 / 0.8e9 / 64,
    dot_macs_1byte=102.4e12 / 2 / 0.8e9 / 64,
    dma_bytes=0.8e12 / 64 / 0.8e9,
    shared_bytes=128 * MIB,
    shared_bytes_per_second=0.8e12,
    dram_bytes=64 * GIB,
    dram_bytes_per_second=176e9,
)

#: The chips by name, the newest well documented one first.
CHIPS: Final = {chip.name: chip for chip in (_MTIA2I, _MTIA300, _MTIA1)}
