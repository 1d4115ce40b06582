"""What a launch executed: how often each program ran each block, and which bytes each memory operation moved.

The executor writes it, the machine model reads it. What is static (types, shapes of dots and reductions, nesting of
loops) is in the `kernelevolve.backends.mtia.program.Program`; a trace holds only what depends on the data and the grid.
A program instance has a linear number: ``x + X * (y + Y * z)`` for the grid ``(X, Y, Z)``.
"""

from __future__ import annotations

__all__ = ["Access", "BlockPlace", "Finding", "FindingKind", "Index", "ProgramClass", "Trace"]

import enum
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from kernelevolve.backends.mtia.program import LOOPS, Block, Op, Program, Region

Integers = npt.NDArray[np.integer[Any]]


@frozen
class BlockPlace:
    """Where a block is."""

    function: str
    #: Index of the operation that encloses the block; None for a function's body.
    parent: int | None
    #: Which of the operation's regions, and which block of that region.
    region: int
    position: int


class Index:
    """Numbers for the operations and blocks of a program: operations in the order of `Program.walk`, blocks likewise.

    ``index.ops[i]`` is operation `i`, ``index.block_of[i]`` the block that holds it; ``index.blocks[b]`` is block `b`
    and ``index.places[b]`` says where it is. `op_number` and `block_number` take the objects themselves.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.ops: list[Op] = []
        self.block_of: list[int] = []
        self.blocks: list[Block] = []
        self.places: list[BlockPlace] = []
        self._op_numbers: dict[int, int] = {}
        self._block_numbers: dict[int, int] = {}
        for function in program.functions.values():
            self._region(function.body, function.name, None, 0)

    def _region(self, region: Region, function: str, parent: int | None, number: int) -> None:
        for position, block in enumerate(region.blocks):
            here = len(self.blocks)
            self.blocks.append(block)
            self.places.append(BlockPlace(function, parent, number, position))
            self._block_numbers[id(block)] = here
            for op in block.ops:
                index = len(self.ops)
                self.ops.append(op)
                self.block_of.append(here)
                self._op_numbers[id(op)] = index
                for inner, enclosed in enumerate(op.regions):
                    self._region(enclosed, function, index, inner)

    def op_number(self, op: Op) -> int:
        """The number of an operation of this very program (by identity)."""
        return self._op_numbers[id(op)]

    def block_number(self, block: Block) -> int:
        """The number of a block of this very program (by identity)."""
        return self._block_numbers[id(block)]

    def loop_of(self, op: int) -> int | None:
        """The innermost ``scf.for`` or ``scf.while`` around operation `op`, as an operation number."""
        parent = self.places[self.block_of[op]].parent
        while parent is not None and self.ops[parent].name not in LOOPS:
            parent = self.places[self.block_of[parent]].parent
        return parent


@frozen(eq=False)
class Access:
    """Every execution of one memory operation: one entry for each time that a program executed it.

    All arrays have one length. Entries of one program are in its own order; programs may be mixed. An execution whose
    mask is false throughout has ``elements == 0`` and an empty range.
    """

    #: Number of the operation (`Index`); its name says whether it loads, stores, or is atomic.
    op: int
    #: Bytes of one element.
    element_bytes: int
    #: Linear number of the program.
    programs: Integers
    #: How often the program had executed this operation before: 0, 1, 2…
    ordinal: Integers
    #: Index into `Trace.buffers`.
    buffer: Integers
    #: Touched range in bytes from the payload's start: ``low <= byte < high``.
    low: Integers
    high: Integers
    #: Elements that were moved (whose mask is true).
    elements: Integers
    #: Pieces of memory without a gap, in the tile's row-major order.
    runs: Integers
    #: Affine pieces of at most two dimensions (equal rows at a constant distance): what one DMA descriptor describes.
    #: A tile of a matrix has 1; rows found through an index have one each; a gather has one for each element.
    tiles: Integers

    @cached_property
    def nbytes(self) -> Integers:
        """Bytes that each execution moved."""
        return self.elements.astype(np.int64) * self.element_bytes

    def total(self, values: Integers, programs: int) -> Integers:
        """`values` (one for each entry) summed by program: an array of `programs` numbers."""
        return np.bincount(self.programs, weights=values, minlength=programs).astype(np.int64)


class FindingKind(enum.StrEnum):
    """What is wrong although the launch could go on."""

    RACE = "race"
    """Two programs stored different values at one address."""
    ORDER = "order"
    """A program loaded what another program of the same launch stores: it may get the old or the new value."""
    POISON = "poison"
    """A load read bytes of a scratch buffer that nothing had written."""


@frozen
class Finding:
    """Something that makes the result unreliable. The first of its kind for each operation and buffer is kept."""

    kind: FindingKind
    buffer: str
    #: Byte from the payload's start.
    offset: int
    #: Line of the kernel's source; 0 where unknown.
    line: int
    #: The program (x, y, z) that found it, and the one that it met; None where it met several, or nobody.
    program: tuple[int, int, int]
    other: tuple[int, int, int] | None = None

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        if self.kind is FindingKind.RACE:
            return (
                f"line {self.line}: programs {self.other} and {self.program} store different values"
                f" at byte {self.offset} of {self.buffer!r}"
            )
        if self.kind is FindingKind.ORDER:
            others = f"program {self.other}" if self.other else "other programs"
            return (
                f"line {self.line}: program {self.program} and {others} load and store byte {self.offset}"
                f" of {self.buffer!r} in one launch, in no order"
            )
        return f"line {self.line}: program {self.program} reads byte {self.offset} of {self.buffer!r}, never written"


@frozen(eq=False)
class ProgramClass:
    """Programs that executed every block equally often."""

    #: Linear numbers, ascending; the first one may stand for all.
    members: Integers
    #: Executions of each block (`Index.blocks`) by one member.
    counts: Integers

    @property
    def representative(self) -> int:
        """The member with the lowest number."""
        return int(self.members[0])


@frozen(eq=False)
class Trace:
    """One launch."""

    program: Program
    index: Index
    grid: tuple[int, int, int]
    #: Names of the buffers that the arguments point to; `Access.buffer` counts in them.
    buffers: tuple[str, ...]
    #: Bytes of each buffer's payload.
    buffer_bytes: tuple[int, ...]
    #: How often each program (column) executed each block (row). A loop's trips are the count of its body's block.
    counts: Integers = field(repr=False)
    #: Memory operations that were executed at least once, by operation number.
    accesses: Sequence[Access] = field(repr=False)
    findings: Sequence[Finding] = ()
    #: What ``tl.device_print`` printed, a line each.
    prints: Sequence[str] = ()

    @property
    def programs(self) -> int:
        """Program instances."""
        return int(np.prod(self.grid))

    def op_counts(self, op: int) -> Integers:
        """How often each program executed operation `op`."""
        return np.asarray(self.counts[self.index.block_of[op]])

    def access(self, op: int) -> Access | None:
        """What memory operation `op` moved; None where no program executed it."""
        return next((access for access in self.accesses if access.op == op), None)

    @cached_property
    def classes(self) -> tuple[ProgramClass, ...]:
        """The programs by equal control flow, in the order of their representatives."""
        return tuple(self._grouped(self.counts))

    @cached_property
    def traffic_classes(self) -> tuple[ProgramClass, ...]:
        """The programs by equal control flow, elements, runs and tiles of every memory operation."""
        rows = [self.counts]
        for access in self.accesses:
            totals = (access.total(each, self.programs) for each in (access.elements, access.runs, access.tiles))
            rows.append(np.stack(list(totals)))
        return tuple(self._grouped(np.concatenate(rows)))

    def _grouped(self, rows: Integers) -> Iterator[ProgramClass]:
        _, first, inverse = np.unique(rows.T, axis=0, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        for group in np.argsort(first):
            members = np.flatnonzero(inverse == group)
            yield ProgramClass(members, np.asarray(self.counts[:, members[0]]))
