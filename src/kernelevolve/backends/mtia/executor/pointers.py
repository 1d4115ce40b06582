"""Which parameters a kernel may load and store through, told before it runs."""

from __future__ import annotations

__all__ = ["loaded_parameters", "stored_parameters"]

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from kernelevolve.backends.mtia.program import Op, Program, Region

#: Which operand is the pointer or descriptor.
_LOADS: Final = {"tt.load": 0, "tt.descriptor_load": 0, "tt.descriptor_gather": 0}
_STORES: Final = {
    "tt.store": 0,
    "tt.atomic_rmw": 0,
    "tt.atomic_cas": 0,
    "tt.descriptor_store": 0,
    "tt.descriptor_reduce": 0,
    "tt.descriptor_scatter": 0,
}


def stored_parameters(program: Program) -> frozenset[str]:
    """Parameters whose memory the kernel may change: those that any pointer it stores through may come from."""
    return _reached(program, _STORES)


def loaded_parameters(program: Program) -> frozenset[str]:
    """Parameters whose memory the kernel may load, atomic operations left out."""
    return _reached(program, _LOADS)


def _reached(program: Program, accesses: Mapping[str, int]) -> frozenset[str]:
    """Parameters that the pointers of such operations may come from.

    A value may come from whatever goes into the operation that makes it, and into the regions and blocks around it;
    addresses made of integers come from anywhere.
    """
    sources: dict[int, set[str]] = {
        number: {name} for number, name in zip(program.kernel.arguments, program.parameters, strict=True)
    }
    before = -1
    while before != (now := sum(map(len, sources.values()))):
        before = now
        for source, targets in _flows(program):
            found = set().union(*(sources.get(number, ()) for number in source))
            for number in targets:
                sources.setdefault(number, set()).update(found)
    pointers = (op.operands[accesses[op.name]] for op in program.walk() if op.name in accesses)
    return frozenset(name for number in pointers for name in sources.get(number) or program.parameters)


def _flows(program: Program) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """From which values to which values a pointer may pass."""
    for function in program.functions.values():
        yield from _between_blocks(function.body)
    for op in program.walk():
        if op.name == "tt.call":
            callee = program.functions[str(op.attributes["callee"])]
            yield op.operands, callee.arguments
            returned = (block.ops[-1].operands for block in callee.body.blocks)
            yield [value for values in returned for value in values], op.results
        elif op.name == "tt.int_to_ptr":
            yield program.kernel.arguments, op.results
        elif op.name != "tt.load":
            yield (*op.operands, *_yielded(op)), (*op.results, *_inside(op))


def _between_blocks(region: Region) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    for block in region.blocks:
        for successor in block.ops[-1].attributes.get("successors", ()):
            yield block.ops[-1].operands, region.blocks[successor].arguments


def _yielded(op: Op) -> list[int]:
    return [value for region in op.regions for block in region.blocks for value in block.ops[-1].operands]


def _inside(op: Op) -> list[int]:
    return [value for region in op.regions for block in region.blocks for value in block.arguments]
