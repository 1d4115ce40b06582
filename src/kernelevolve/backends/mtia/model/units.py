"""Which unit does an operation, and for how many cycles: one execution on one processing element.

- *fabric in*, *fabric out*: DMA between local memory and the chip; priced by `schedule`, which knows the traffic.
- *dot engine*: ``tt.dot`` of 1- and 2-byte types (4-byte where the chip has it and the kernel allows TF32; several
  products of pieces where it asks for them, as ``tf32x3`` does); partial tiles cost whole ones. The *reduction engine*
  adds the product to an accumulator that lives in local memory.
- *SIMD engine*: floating-point arithmetic, comparisons, conversions, sums and maxima of tiles, lookup tables, and
  float32 dots that the dot engine cannot do exactly. One custom instruction a tile.
- *vector core*: integers, selections of integers, scans, gathers within a tile; functions and divisions in software.
- *layout unit*: transposition, concatenation.
- Free: constants, views, and addresses and masks that fit a DMA descriptor (`address`).
"""

from __future__ import annotations

__all__ = ["Unit", "Work", "Workbook", "is_atomic", "width"]

import enum
import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from kernelevolve.backends.mtia.model.address import MEMORY, Roles, roles
from kernelevolve.backends.mtia.model.parameters import ChipParameters
from kernelevolve.backends.mtia.program import DOTS, LOOPS, Kind, Op, Program, Region, Type, walk


class Unit(enum.StrEnum):
    """What can be busy."""

    FABRIC_IN = "fabric in"
    FABRIC_OUT = "fabric out"
    DOT = "dot engine"
    REDUCE = "reduction engine"
    SIMD = "SIMD engine"
    LAYOUT = "layout unit"
    CORE_A = "core A"
    CORE_B = "core B"


@frozen
class Work:
    """One execution of an operation. Cycles; bytes of local memory that it reads and writes."""

    #: Units beside the cores, each with its cycles; they work at the same time.
    units: tuple[tuple[Unit, float], ...] = ()
    #: Cycles of the core that does it (vector or scalar work), or that hands it to its units (`asynchronous`).
    core: float = 0.0
    asynchronous: bool = True
    #: Cycles from the last unit's end until the result can be used.
    latency: float = 0.0
    local_bytes: float = 0.0
    #: Queues outside the element that a transfer passes, each with its cycles there. Waiting in one keeps no unit busy.
    queues: tuple[tuple[str, float], ...] = ()
    #: Addresses, transfers, scalar bookkeeping: core A where there are two; otherwise core B.
    transfers: bool = False


_LOOKUP: Final = "__mtia_lookup_"
#: Products of the pieces that a float32 operand is cut into: high x high, high x low, low x high; six of three pieces.
_PRODUCTS: Final = {"tf32x3": 3, "bf16x3": 3, "bf16x6": 6}
#: One pass of the SIMD engine over a tile.
_SIMD: Final = {
    *(f"arith.{name}" for name in ("addf", "subf", "mulf", "maxnumf", "minnumf", "maximumf", "minimumf", "negf")),
    *(f"arith.{name}" for name in ("cmpf", "extf", "truncf", "sitofp", "uitofp", "fptosi", "fptoui")),
    *(f"math.{name}" for name in ("absf", "fma", "floor", "ceil", "round", "roundeven", "trunc")),
    "tt.fp_to_fp",
    "tt.clampf",
}
_SIMD_REDUCTIONS: Final = {"arith.addf", "arith.maxnumf", "arith.minnumf", "arith.maximumf", "arith.minimumf"}
#: Software on the vector core, many instructions for a vector.
_SOFTWARE: Final = {
    *(f"arith.{name}" for name in ("divf", "remf", "divsi", "divui", "remsi", "remui", "ceildivsi", "floordivsi")),
    "tt.precise_divf",
    "tt.precise_sqrt",
    "tt.extern_elementwise",
    "tt.mulhiui",
}
#: No work at all: a view, or something that the compiler folds into what uses it.
_FREE: Final = {
    *("arith.constant", "tt.splat", "tt.broadcast", "tt.expand_dims", "tt.reshape", "tt.bitcast", "tt.unsplat"),
    *("tt.make_range", "tt.get_program_id", "tt.get_num_programs", "tt.ptr_to_int", "tt.int_to_ptr"),
    *("tt.make_tensor_descriptor", "tt.make_tensor_ptr", "tt.advance", "arith.bitcast", "arith.index_cast"),
    *("tt.call", "tt.reduce.return", "tt.scan.return", "tt.poison", "ub.poison"),
}
_LAYOUT: Final = {"tt.trans", "tt.join", "tt.split", "tt.cat"}
_CONTROL: Final = ("scf.", "cf.")


class Workbook:
    """The work of every operation of a program on a chip."""

    def __init__(self, program: Program, chip: ChipParameters) -> None:
        self.program = program
        self.chip = chip
        self.roles: Roles = roles(program)
        self._uses = Counter(value for op in program.walk() for value in op.operands)
        self._fused = self._multiplications()
        self._spilled = self._accumulators()

    def type_of(self, value: int) -> Type:
        """The type of a value."""
        return self.program.types[value]

    def tile(self, op: Op) -> Type:
        """What a memory operation moves in one execution, as a type with a shape."""
        if op.results and op.name != "tt.descriptor_reduce":
            return self.type_of(op.results[0])
        return self.type_of(op.operands[3 if op.name == "tt.descriptor_scatter" else 1])

    def scalar_access(self, op: Op) -> bool:
        """Whether a memory operation moves one number, through a core and its data cache."""
        return op.name in ("tt.load", "tt.store") and not self.tile(op).shape

    def indices(self, op: Op) -> int:
        """Addresses that a memory operation takes from a tile of addresses; 0 where descriptors do."""
        if is_atomic(op.name):
            return max(1, self.tile(op).size)
        if op.name in ("tt.descriptor_gather", "tt.descriptor_scatter"):
            return self.tile(op).shape[0]
        return self.roles.indices(op.operands[0], self.type_of(op.operands[0]))

    def transposed(self, op: Op) -> bool:
        """Whether a tile lies in memory along another dimension than its last: the layout unit turns it."""
        type_ = self.type_of(op.operands[0])
        axis = self.roles.contiguous(op.operands[0], type_)
        return axis is not None and any(size > 1 for size in type_.shape[axis + 1 :])

    def work(self, op: Op) -> Work:
        """One execution of `op`, traffic of memory operations aside."""
        if not op.results or op.name in MEMORY or op.name in _FREE or op.name.startswith(_CONTROL):
            return Work()
        if op.name in DOTS:
            return self._dot(op)
        if op.name in ("tt.reduce", "tt.scan", "tt.map_elementwise"):
            return self._collective(op)
        if op.name in _LAYOUT:
            return self._layout(op)
        if op.name in ("tt.gather", "tt.histogram"):
            elements = self.type_of(op.operands[-1 if op.name == "tt.gather" else 0]).size
            return Work(core=2.0 * elements * self.chip.gather_cycles, asynchronous=False)
        return self._elementwise(op)

    def transfer(self, op: Op, nbytes: float, tiles: float) -> tuple[float, float]:
        """Cycles that one execution which moves `nbytes` costs a core, and cycles that its list of addresses costs.

        `tiles` is what descriptors describe one by one. Who works off the list is the scheduler's matter.
        """
        chip = self.chip
        indices = self.indices(op)
        size = max(1, self.tile(op).size)
        if indices:
            share = min(1.0, nbytes / (size * width(self.tile(op))))
            return chip.dma_issue_cycles, indices * share * chip.gather_cycles
        return chip.dma_issue_cycles * max(1.0, tiles), 0.0

    # --- operations ---

    def _elementwise(self, op: Op) -> Work:
        chip = self.chip
        result = op.results[0]
        type_ = self.type_of(result)
        data = result in self.roles.data
        software = _in_software(op.name)
        if type_.size == 1:  # a number, whatever its shape
            cycles = chip.vector_math_cycles if software else chip.scalar_cycles
            return Work(core=cycles, asynchronous=False, transfers=not data)
        elements = float(type_.size if data else self.roles.indices(result, type_))
        if not elements or result in self._fused:
            return Work()
        source = self.type_of(op.operands[-1]) if op.operands else type_
        each = max(width(type_), width(source))
        if op.name == "tt.extern_elementwise" and str(op.attributes.get("symbol", "")).startswith(_LOOKUP):
            return self._simd(op, elements / chip.lookup_elements, elements)
        floating = type_.kind is Kind.FLOAT and type_.dtype != "fp64"
        if op.name in _SIMD or (op.name == "arith.select" and floating):
            return self._simd(op, elements / chip.simd_elements, elements)
        vectors = math.ceil(elements * each / chip.vector_bytes)
        return Work(core=vectors * (chip.vector_math_cycles if software else 1.0), asynchronous=False)

    def _simd(self, op: Op, cycles: float, elements: float) -> Work:
        moved = sum(self._bytes(value) for value in (*op.operands, *op.results))
        full = max(1, self.type_of(op.results[0]).size)
        return Work(
            units=((Unit.SIMD, max(1.0, cycles)),),
            core=self.chip.issue_cycles,
            latency=self.chip.local_latency_cycles,
            local_bytes=moved * elements / full,
        )

    def _dot(self, op: Op) -> Work:
        chip = self.chip
        left, right, total = (self.type_of(value) for value in op.operands[:3])
        (rows, depth), cols = left.shape[-2:], right.shape[-1]
        batch = math.prod(left.shape[:-2])
        size = max(width(left), width(right))
        one_byte = size == 1 and (chip.dot_floats if left.kind is Kind.FLOAT else chip.dot_integers)
        precision = str(op.attributes.get("inputPrecision", "ieee")) if size == 4 else ""
        exact = precision == "ieee"
        # Float32 in pieces: so many products of the pieces, and the cutting up on the SIMD engine.
        products = _PRODUCTS.get(precision, 1)
        pieces = {1: 0, 3: 2, 6: 3}[products]
        size = 2 if precision.startswith("bf16") else size
        rate = (chip.dot_macs_4byte if size == 4 else chip.dot_macs_2byte) / products
        rate, size = (chip.dot_macs_1byte, size) if one_byte else (rate, max(size, 2))
        operands = batch * (rows * depth * width(left) + depth * cols * width(right))
        if not rate or exact or size > 4:
            cycles = batch * rows * depth * cols / chip.simd_elements
            issue = chip.issue_cycles * batch * depth
            moved = operands + batch * rows * depth * cols * 8.0  # each pass reads and writes the product
            return Work(((Unit.SIMD, cycles),), core=issue, latency=chip.local_latency_cycles, local_bytes=moved)
        tile = chip.dot_tile_rows
        step = max(1, chip.dot_tile_depth_bytes // size)
        steps = batch * math.ceil(rows / tile) * math.ceil(cols / tile) * math.ceil(depth / step)
        cycles = steps * tile * tile * step / rate
        streamed = batch * math.ceil(rows / (2 * tile)) * depth * cols * width(right)
        held = batch * rows * cols * 4 <= chip.accumulator_bytes and op.results[0] not in self._spilled
        accumulator = 0.0 if held else 2.0 * total.size * 4
        reduce_cycles = 0.0 if held else total.size / chip.reduce_elements
        cut = 2.0 * pieces * batch * (rows * depth + depth * cols) / chip.simd_elements
        return Work(
            units=((Unit.DOT, cycles), (Unit.REDUCE, reduce_cycles), *([(Unit.SIMD, cut)] if cut else [])),
            core=math.ceil(products * steps / 2) * chip.dot_issue_cycles,
            latency=float(tile),
            local_bytes=operands + max(0.0, streamed - operands) + accumulator,
        )

    def _accumulators(self) -> set[int]:
        """Results of dots that are summed up in local memory, since those of one loop's body do not fit the dot
        engine's accumulator together. A product that is not summed up further is in it only until it is read.
        """
        spilled: set[int] = set()
        for arguments, ops in _bodies(self.program):
            sums: dict[int, int] = {value: value for value in arguments}  # what each value goes on with
            for op in ops:
                if op.name in DOTS:
                    sums[op.results[0]] = sums.get(op.operands[2], op.results[0])
                elif op.name == "scf.if":
                    ends = op.regions[0].blocks[0].ops[-1].operands
                    sums |= {result: sums.get(end, end) for result, end in zip(op.results, ends, strict=False)}
            dots = [op for op in ops if op.name in DOTS]
            sizes = {sums[op.results[0]]: 4 * self.type_of(op.results[0]).size for op in dots}
            if len(sizes) > 1 and sum(sizes.values()) > self.chip.accumulator_bytes:
                spilled |= {op.results[0] for op in dots if op.operands[2] in sums}
        return spilled

    def _collective(self, op: Op) -> Work:
        chip = self.chip
        combine = [inner for inner in walk(op.regions[0]) if inner.name not in _FREE]
        first = self.type_of(op.operands[0])
        size = max(width(self.type_of(value)) for value in op.operands)
        simple = op.name == "tt.reduce" and len(combine) == 1 and combine[0].name in _SIMD_REDUCTIONS
        if simple and first.dtype != "fp64":
            return Work(
                units=((Unit.SIMD, max(1.0, first.size / chip.simd_elements)),),
                core=chip.issue_cycles,
                latency=chip.local_latency_cycles,
                local_bytes=float(first.size * size),
            )
        cost = sum(chip.vector_math_cycles if _in_software(inner.name) else 1.0 for inner in combine)
        passes = math.log2(max(2.0, chip.vector_bytes / size)) if op.name == "tt.scan" else 1.0
        vectors = math.ceil(first.size * size / chip.vector_bytes)
        return Work(core=vectors * max(1.0, cost) * passes, asynchronous=False)

    def _layout(self, op: Op) -> Work:
        if op.results[0] not in self.roles.data:
            return Work()
        moved = float(sum(self._bytes(value) for value in op.results))
        return Work(
            units=((Unit.LAYOUT, moved / self.chip.layout_bytes),),
            core=self.chip.issue_cycles,
            latency=self.chip.local_latency_cycles,
            local_bytes=2 * moved,
        )

    def _bytes(self, value: int) -> float:
        """Bytes of a tile, a broadcast one counted as what it is a view of."""
        op = self.program.producers.get(value)
        while op is not None and op.name in ("tt.broadcast", "tt.splat", "tt.expand_dims", "tt.reshape"):
            value = op.operands[0]
            op = self.program.producers.get(value)
        type_ = self.type_of(value)
        if not type_.shape or (op is not None and op.name == "arith.constant"):
            return 0.0
        return float(type_.size * width(type_))

    def _multiplications(self) -> set[int]:
        """Products that only feed one addition: one pass of the SIMD engine does both."""
        fused: set[int] = set()
        for op in self.program.walk():
            if op.name in ("arith.addf", "arith.subf"):
                for value in op.operands:
                    maker = self.program.producers.get(value)
                    if maker is not None and maker.name == "arith.mulf" and self._uses[value] == 1:
                        fused.add(value)
                        break
        return fused


def is_atomic(name: str) -> bool:
    """Whether an operation reads, changes and writes memory as one."""
    return name.startswith("tt.atomic") or name == "tt.descriptor_reduce"


def _in_software(name: str) -> bool:
    """Whether the vector core computes a function step by step: no unit has it."""
    return name in _SOFTWARE or (name.startswith("math.") and name not in _SIMD)


def width(type_: Type) -> int:
    """Bytes of an element; a boolean takes one, an address eight."""
    return 8 if type_.kind is Kind.POINTER else max(1, type_.bits // 8)


def _bodies(program: Program) -> Iterator[tuple[set[int], list[Op]]]:
    """Of each function and of each loop: the values that its blocks begin with, and its operations in order, those in
    branches before the branch and those in loops inside left out.
    """
    todo = [function.body for function in program.functions.values()]
    while todo:
        region = todo.pop()
        ops = list(_inline(region))
        todo += [inner for op in ops if op.name in LOOPS for inner in op.regions]
        yield {value for block in region.blocks for value in block.arguments}, ops


def _inline(region: Region) -> Iterator[Op]:
    for block in region.blocks:
        for op in block.ops:
            for inner in () if op.name in LOOPS else op.regions:
                yield from _inline(inner)
            yield op
