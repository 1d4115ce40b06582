"""Which values are addresses, and how regular they are: what a DMA descriptor can express costs no arithmetic.

Each dimension of a tensor is *constant*, *affine* (start + step x index) or *indexed* (anything else: loaded, computed
with division, remainder, selection). Tiles with affine addresses and box-shaped masks become descriptors; an indexed
dimension needs one address for each of its elements, as a gather does. Static, so it sees what a compiler can see:
``offsets % size`` is indexed even where the remainder never changes anything.
"""

from __future__ import annotations

__all__ = ["Dim", "Form", "Roles", "roles"]

import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import frozen

from kernelevolve.backends.mtia.program import Block, Kind, Op, Program, Region, Type

MEMORY: Final = {
    "tt.load",
    "tt.store",
    "tt.atomic_rmw",
    "tt.atomic_cas",
    "tt.descriptor_load",
    "tt.descriptor_store",
    "tt.descriptor_gather",
    "tt.descriptor_scatter",
    "tt.descriptor_reduce",
}
#: Position of the operand that is stored or combined with memory.
_VALUES: Final = {
    "tt.store": (1,),
    "tt.atomic_rmw": (1,),
    "tt.atomic_cas": (1, 2),
    "tt.descriptor_store": (1,),
    "tt.descriptor_scatter": (3,),
    "tt.descriptor_reduce": (1,),
}
_SAME: Final = {"arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "tt.bitcast", "tt.broadcast"}
_SUMS: Final = {"arith.addi", "tt.addptr", "arith.subi"}
_ROUNDS: Final = 4  # the lattice has four levels: no loop needs more


class Form(enum.IntEnum):
    """How a tensor varies along one dimension; the larger one wins where two meet."""

    CONSTANT = 0
    AFFINE = 1
    INDEXED = 2


@frozen
class Dim:
    """One dimension. `step` is what neighbours differ by, in elements; None where it is no literal."""

    form: Form = Form.CONSTANT
    step: int | None = 0


_CONSTANT: Final = Dim()
_INDEXED: Final = Dim(Form.INDEXED, None)
Dims = tuple[Dim, ...]


@frozen
class Roles:
    """What the values of a program are for."""

    #: The form of every tensor, by value.
    dims: Mapping[int, Dims]
    #: Values that end up in memory, in a dot or in a reduction; the others only say where and whether.
    data: frozenset[int]

    def indices(self, value: int, type_: Type) -> int:
        """Addresses that an access through `value` needs beyond a descriptor: 0 for affine tiles."""
        along = [
            size for size, dim in zip(type_.shape, self.dims.get(value, ()), strict=False) if dim.form is Form.INDEXED
        ]
        return math.prod(along) if along else 0

    def contiguous(self, value: int, type_: Type) -> int | None:
        """The dimension along which memory is contiguous: affine with step 1; None where none is known."""
        for axis in reversed(range(len(type_.shape))):
            dim = self.dims.get(value, ())[axis] if value in self.dims else _INDEXED
            if type_.shape[axis] > 1 and dim.form is Form.AFFINE and dim.step == 1:
                return axis
        return None


def roles(program: Program) -> Roles:
    """Addresses and data of `program`."""
    forms = _Forms(program)
    for function in program.functions.values():
        for _ in range(2):  # callees may come after their callers
            forms.region(function.body)
    return Roles(forms.dims, _data(program))


def inherit(program: Program, op: Op) -> list[tuple[int, Sequence[int]]]:
    """Pairs (value, values that flow into it unchanged) of an operation with regions, or of a call."""
    if op.name == "scf.for":
        body = op.regions[0].blocks[0]
        yielded = body.ops[-1].operands
        return [
            *(
                (arg, (start, back))
                for arg, start, back in zip(body.arguments[1:], op.operands[3:], yielded, strict=True)
            ),
            *((res, (start, back)) for res, start, back in zip(op.results, op.operands[3:], yielded, strict=True)),
        ]
    if op.name == "scf.while":
        before, after = (region.blocks[0] for region in op.regions)
        passed, yielded = before.ops[-1].operands[1:], after.ops[-1].operands
        return [
            *((a, (start, back)) for a, start, back in zip(before.arguments, op.operands, yielded, strict=True)),
            *((a, (value,)) for a, value in zip(after.arguments, passed, strict=True)),
            *((res, (value,)) for res, value in zip(op.results, passed, strict=True)),
        ]
    if op.name == "scf.if":
        ends = [region.blocks[0].ops[-1].operands for region in op.regions if region.blocks]
        return [(res, [end[i] for end in ends if i < len(end)]) for i, res in enumerate(op.results)]
    if op.name == "tt.call":
        callee = program.functions[str(op.attributes["callee"])]
        pairs: list[tuple[int, Sequence[int]]] = [
            (arg, (value,)) for arg, value in zip(callee.arguments, op.operands, strict=True)
        ]
        ends = [block.ops[-1].operands for block in callee.body.blocks if block.ops[-1].name == "tt.return"]
        return pairs + [(res, [end[i] for end in ends]) for i, res in enumerate(op.results)]
    return []


class _Forms:
    """Finds each tensor's form by following the program until nothing changes."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.dims: dict[int, Dims] = {}
        self._literals: dict[int, int] = {}

    def region(self, region: Region) -> None:
        for block in region.blocks:
            self._block(block)

    def _block(self, block: Block) -> None:
        for op in block.ops:
            if op.regions or op.name == "tt.call":
                self._nested(op)
            else:
                self._op(op)

    def _nested(self, op: Op) -> None:
        if op.name in ("tt.reduce", "tt.scan", "tt.map_elementwise"):
            for result in op.results:
                self._set(result, (_INDEXED,) * len(self._shape(result)))
            return
        for _ in range(_ROUNDS):
            before = dict(self.dims)
            for value, sources in inherit(self.program, op):
                known = [self._dims(source) for source in sources if source in self.dims or not self._shape(source)]
                if known:
                    self._set(value, _join(known))
            for region in op.regions:
                self.region(region)
            if self.dims == before:
                break

    def _shape(self, value: int) -> tuple[int, ...]:
        return self.program.types[value].shape

    def _dims(self, value: int) -> Dims:
        return self.dims.get(value, (_CONSTANT,) * len(self._shape(value)))

    def _set(self, value: int, dims: Iterable[Dim]) -> None:
        shape = self._shape(value)
        if shape:
            self.dims[value] = tuple(_CONSTANT if size == 1 else dim for size, dim in zip(shape, dims, strict=True))

    def _op(self, op: Op) -> None:
        if not op.results:
            return
        result = op.results[0]
        if op.name == "arith.constant" and isinstance(op.attributes.get("value"), (int, bool)):
            self._literals[result] = int(op.attributes["value"])
        if op.name == "tt.splat" and op.operands[0] in self._literals:
            self._literals[result] = self._literals[op.operands[0]]
        for each in op.results:
            if self._shape(each):
                self._set(each, self._transfer(op, each))

    def _transfer(self, op: Op, result: int) -> Dims:  # noqa: C901, PLR0912  # one case for each operation
        shape = self._shape(result)
        operands = [self._dims(value) for value in op.operands]
        match op.name:
            case "arith.constant":
                return (_INDEXED if isinstance(op.attributes.get("value"), list) else _CONSTANT,) * len(shape)
            case "tt.make_range":
                return (Dim(Form.AFFINE, 1),)
            case "tt.splat":
                return (_CONSTANT,) * len(shape)
            case "tt.expand_dims":
                axis = int(op.attributes["axis"])
                return (*operands[0][:axis], _CONSTANT, *operands[0][axis:])
            case "tt.trans":
                return tuple(operands[0][axis] for axis in op.attributes["order"])
            case "tt.reshape":
                return _reshaped(self._shape(op.operands[0]), operands[0], shape)
            case name if name in _SAME:
                return operands[0]
            case name if name in _SUMS:
                return _sum(operands[0], operands[1], -1 if name == "arith.subi" else 1)
            case "arith.muli" | "arith.shli":
                return self._scaled(op, operands)
            case "arith.cmpi":
                return tuple(Dim(dim.form, None) for dim in _sum(operands[0], operands[1], -1))
            case "arith.andi" if self.program.types[result].dtype == "i1":
                return tuple(Dim(dim.form, None) for dim in _sum(operands[0], operands[1], 1))
            case name if name.startswith("arith.") and all(d.form is Form.CONSTANT for o in operands for d in o):
                return (_CONSTANT,) * len(shape)
        if op.name.startswith("arith.") and self.program.types[result].kind is not Kind.FLOAT:
            varying = [any(dims[axis].form for dims in operands if dims) for axis in range(len(shape))]
            return tuple(_INDEXED if varies else _CONSTANT for varies in varying)
        return (_INDEXED,) * len(shape)

    def _scaled(self, op: Op, operands: Sequence[Dims]) -> Dims:
        """A product: affine where one side is the same everywhere."""
        left, right = operands
        if op.name == "arith.muli" and all(dim.form is Form.CONSTANT for dim in left):
            left, right, by = right, left, op.operands[0]
        else:
            by = op.operands[1]
        if any(dim.form for dim in right):
            return tuple(_INDEXED if a.form or b.form else _CONSTANT for a, b in zip(left, right, strict=True))
        factor = self._literals.get(by)
        if factor is not None and op.name == "arith.shli":
            factor = 1 << factor
        return tuple(
            Dim(dim.form, None if dim.step is None or factor is None else dim.step * factor) if dim.form else _CONSTANT
            for dim in left
        )


def _sum(left: Dims, right: Dims, sign: int) -> Dims:
    def add(a: Dim, b: Dim) -> Dim:
        form = max(a.form, b.form)
        if form is Form.CONSTANT:
            return _CONSTANT
        if form is Form.INDEXED or a.step is None or b.step is None:
            return Dim(form, None)
        return Dim(form, a.step + sign * b.step)

    return tuple(add(a, b) for a, b in zip(left, right, strict=True))


def _join(known: Sequence[Dims]) -> Dims:
    def join(dims: Sequence[Dim]) -> Dim:
        form = max(dim.form for dim in dims)
        steps = {dim.step for dim in dims}
        return Dim(form, steps.pop() if len(steps) == 1 else None)

    return tuple(join(dims) for dims in zip(*known, strict=True))


def _reshaped(old: tuple[int, ...], dims: Dims, new: tuple[int, ...]) -> Dims:
    kept = [(size, dim) for size, dim in zip(old, dims, strict=True) if size > 1]
    if [size for size, _ in kept] == [size for size in new if size > 1]:
        rest = iter(kept)
        return tuple(next(rest)[1] if size > 1 else _CONSTANT for size in new)
    if len(kept) == 1 and kept[0][1].form is Form.AFFINE:  # a line cut into rows
        step = kept[0][1].step
        return tuple(
            Dim(Form.AFFINE, None if step is None else step * math.prod(new[axis + 1 :])) for axis in range(len(new))
        )
    return ((_INDEXED if any(dim.form for dim in dims) else _CONSTANT),) * len(new)


def _data(program: Program) -> frozenset[int]:
    """Values that flow into memory, a dot or a reduction, backwards from there."""
    flows: dict[int, list[int]] = {}
    roots: list[int] = []
    for op in program.walk():
        for value, sources in inherit(program, op):
            flows.setdefault(value, []).extend(sources)
        if op.name in MEMORY:
            roots += [op.operands[position] for position in _VALUES.get(op.name, ()) if position < len(op.operands)]
        elif op.name.startswith("tt.atomic"):
            roots += op.operands[1:]
        elif not op.regions or op.name in ("tt.reduce", "tt.scan", "tt.map_elementwise"):
            for result in op.results:
                flows.setdefault(result, []).extend(op.operands)
    data: set[int] = set()
    while roots:
        value = roots.pop()
        if value not in data:
            data.add(value)
            roots += flows.get(value, ())
    return frozenset(data)
