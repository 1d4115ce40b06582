"""What the real tool chain refuses, as diagnostics with a rule's name, the kernel's line, and what would be right.

Sources: Helion is the public test suite of pytorch/helion, whose skips for MTIA name the limit; KE is arXiv 2512.23236;
TX is arXiv 2512.10977. Always on is what no plain kernel needs. *Strict* adds what common kernels do and some release
of the tool chain refused: with it on, textbook kernels are refused too.

===================== ====== =====================================================================================
rule                  on     because
===================== ====== =====================================================================================
``no-3d-dot``         always Helion: three-dimensional ``tl.dot`` does not compile; a loop over 2-D dots does the same
``circular-buffers``  always Helion: more than 14 do not compile; the hardware's own limit (`resources`)
``local-memory``      always I25, I26: the hardware's own limit (`resources`)
``dot-init-stride``   strict Helion: rows of a dot's initial value are at least 128 bytes apart. Tiles of 16 columns are
                             what small heads and channels need; padding them is a compiler's work
``alignment-32``      strict Helion, TX: transfers begin at multiples of 32 bytes. Contradicts I25 (2i: unaligned
                             addresses) and I26 (300: byte-aligned); refuses every odd row length
``where-in-loop``     strict KE section 5.4.2: ``tl.where`` inside a loop did not compile. A causal softmax has one
===================== ====== =====================================================================================
"""

from __future__ import annotations

__all__ = ["ALWAYS", "STRICT", "check_launch", "check_program"]

from collections.abc import Iterator
from typing import Final

from kernelevolve.backends.mtia.model.address import MEMORY
from kernelevolve.backends.mtia.model.parameters import ChipParameters
from kernelevolve.backends.mtia.model.units import width
from kernelevolve.backends.mtia.program import DOTS, LOOPS, Op, Program, Region
from kernelevolve.backends.mtia.trace import Trace
from kernelevolve.outcome import CompileError

ALWAYS: Final = ("no-3d-dot",)
STRICT: Final = ("dot-init-stride", "alignment-32", "where-in-loop")


def check_program(program: Program, chip: ChipParameters, *, strict: bool = False) -> None:
    """Raise `CompileError` for the first operation that breaks a rule. `resources` checks what a chip has."""
    for op in program.walk():
        if op.name in DOTS:
            _dot_rank(program, op)
            if strict:
                _dot_stride(program, op, chip)
    if strict:
        for op in _in_loops(program):
            if op.name == "arith.select" and program.types[op.results[0]].shape:
                _refuse(
                    "where-in-loop",
                    op.line,
                    "tl.where inside a loop does not compile; multiply by a mask, use tl.maximum or tl.minimum, or move"
                    " it out of the loop",
                )


def check_launch(trace: Trace, chip: ChipParameters, *, strict: bool = False) -> None:
    """Raise `CompileError` for the first transfer that breaks a rule about addresses, which only a launch shows."""
    if not strict:
        return
    for access in trace.accesses:
        op = trace.index.ops[access.op]
        shape = trace.program.types[op.results[0] if op.results else op.operands[0]].shape
        wrong = (access.low % chip.dma_row_bytes != 0) & (access.elements > 0)
        if op.name in MEMORY and shape and wrong.any():
            name, byte = trace.buffers[int(access.buffer[wrong][0])], int(access.low[wrong][0])
            _refuse(
                "alignment-32",
                op.line,
                f"a transfer begins at byte {byte} of {name!r}, no multiple of {chip.dma_row_bytes}; pad rows to"
                f" {chip.dma_row_bytes} bytes, or start tiles at multiples of that",
            )


def _dot_rank(program: Program, op: Op) -> None:
    rank = len(program.types[op.operands[0]].shape)
    if rank > 2:
        _refuse(
            "no-3d-dot", op.line, f"tl.dot takes matrices, not {rank}-dimensional tensors; loop over the first axis"
        )


def _dot_stride(program: Program, op: Op, chip: ChipParameters) -> None:
    total = op.operands[2]
    maker = program.producers.get(total)
    if maker is not None and maker.name == "arith.constant":
        return  # no value to read
    type_ = program.types[total]
    stride, least = type_.shape[-1] * width(type_), chip.dot_init_stride_bytes
    if stride < least:
        _refuse(
            "dot-init-stride",
            op.line,
            f"rows of the dot's initial value are {stride} bytes apart, less than {least}; use at least"
            f" {least // width(type_)} columns",
        )


def _in_loops(program: Program) -> Iterator[Op]:
    def visit(region: Region, inside: bool) -> Iterator[Op]:
        for block in region.blocks:
            for op in block.ops:
                if inside:
                    yield op
                for inner in op.regions:
                    yield from visit(inner, inside or op.name in LOOPS)

    for function in program.functions.values():
        yield from visit(function.body, False)


def _refuse(rule: str, line: int, what: str) -> None:
    where = f"line {line}: " if line else ""
    raise CompileError(f"{where}{rule}: {what}", stage="rules", log=f"{rule}: {what}", line=line or None)
