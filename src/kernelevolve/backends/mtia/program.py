"""A kernel in Triton's intermediate representation (TTIR) as plain data: what is executed and what is timed.

MLIR's objects live in C++ and die with their context; this survives a process boundary. Values are numbered over the
whole program; a region's blocks are in order and the first one is its entry.
"""

from __future__ import annotations

__all__ = ["DOTS", "LOOPS", "Block", "Function", "Kind", "Op", "Program", "Region", "Type", "from_json", "to_json"]

import enum
import json
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Final

import cattrs
from attrs import field, frozen

#: Changes when a stored program can no longer be read.
FORMAT: Final = 1
#: Operations by kind, by MLIR's names.
LOOPS: Final = ("scf.for", "scf.while")
DOTS: Final = ("tt.dot", "tt.dot_scaled")


class Kind(enum.StrEnum):
    """What a value is."""

    INTEGER = "integer"
    FLOAT = "float"
    POINTER = "pointer"
    DESCRIPTOR = "descriptor"
    """A tensor descriptor: base, sizes and strides of a tensor in memory, and the block that one access moves."""
    BLOCK_POINTER = "block-pointer"
    TOKEN = "token"  # noqa: S105  # MLIR's word for a value without contents


@frozen
class Type:
    """A scalar's or tensor's type. ``shape == ()`` is a scalar."""

    kind: Kind
    #: ``i1 i8 i16 i32 i64``, ``fp16 bf16 fp32 fp64 fp8e4nv fp8e5 …`` (Triton's names); of a pointer or descriptor: what
    #: it points to.
    dtype: str
    shape: tuple[int, ...] = ()
    #: The block's shape where this is a descriptor or a block pointer.
    block: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def bits(self) -> int:
        """Bits of one element of `dtype`."""
        return int("".join(c for c in self.dtype.removeprefix("b").split("e")[0] if c.isdigit()))


@frozen
class Op:
    """One operation."""

    #: MLIR's name: ``arith.addf``, ``tt.load``, ``scf.for``.
    name: str
    operands: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    #: JSON values: numbers, strings, booleans, lists.
    attributes: Mapping[str, Any] = field(factory=dict, hash=False)
    regions: tuple[Region, ...] = ()
    #: Line of the kernel's own source, from 1; 0 where unknown.
    line: int = 0


@frozen
class Block:
    """Operations in order; the last one is the terminator."""

    arguments: tuple[int, ...]
    ops: tuple[Op, ...]


@frozen
class Region:
    """What an operation encloses."""

    blocks: tuple[Block, ...]


@frozen
class Function:
    """A ``tt.func``."""

    name: str
    #: Values of the parameters.
    arguments: tuple[int, ...]
    body: Region
    results: tuple[Type, ...] = ()


@frozen
class Program:
    """A kernel and the functions that it calls."""

    functions: Mapping[str, Function] = field(hash=False)
    entry: str
    #: The type of every value.
    types: Mapping[int, Type] = field(hash=False, repr=False)
    #: Source names of the entry's parameters, in the order of its arguments (constexprs are gone).
    parameters: tuple[str, ...]

    @property
    def kernel(self) -> Function:
        """The entry."""
        return self.functions[self.entry]

    def walk(self) -> Iterator[Op]:
        """Every operation of every function, an operation before what it encloses."""
        for function in self.functions.values():
            yield from walk(function.body)

    @cached_property
    def producers(self) -> Mapping[int, Op]:
        """The operation that makes each value; block arguments have none."""
        return {value: op for op in self.walk() for value in op.results}


def walk(region: Region) -> Iterator[Op]:
    """Every operation under `region`, an operation before what it encloses."""
    for block in region.blocks:
        for op in block.ops:
            yield op
            for inner in op.regions:
                yield from walk(inner)


_CONVERTER: Final = cattrs.Converter(forbid_extra_keys=True)


def to_json(program: Program) -> bytes:
    """The program as UTF-8 JSON, the same bytes for equal programs."""
    document = {"format": FORMAT, "program": _CONVERTER.unstructure(program)}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def from_json(data: bytes) -> Program:
    """What `to_json` wrote. Raises ValueError for anything else."""
    document = json.loads(data)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"not a program of format {FORMAT}")
    return _CONVERTER.structure(document["program"], Program)
