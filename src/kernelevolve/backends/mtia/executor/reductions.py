"""``tt.reduce`` and ``tt.scan`` with any combine region: NumPy's own for the usual ones, a tree for the rest."""

from __future__ import annotations

__all__ = ["combiner", "reduce", "scan"]

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from kernelevolve.backends.mtia.executor.values import Array, Value, dense
from kernelevolve.backends.mtia.program import Op, Region, Type

Types = Mapping[int, Type]
Combine = Callable[[Sequence[Array], Sequence[Array]], tuple[Array, ...]]

_UFUNCS: Final[dict[str, Any]] = {
    "arith.addf": np.add,
    "arith.mulf": np.multiply,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.addi": np.add,
    "arith.muli": np.multiply,
    "arith.maxsi": np.maximum,
    "arith.minsi": np.minimum,
    "arith.andi": np.bitwise_and,
    "arith.ori": np.bitwise_or,
    "arith.xori": np.bitwise_xor,
}
_ROUNDING: Final = ("arith.addf", "arith.mulf")


def combiner(region: Region, made: Mapping[int, Callable[..., Any]], outer: Mapping[int, Value]) -> Combine:
    """The region as a function of arrays. `made` computes each operation (by identity), `outer` are values from around.

    Elements may have any number of axes behind the programs; scalars from `outer` are given as many.
    """
    block = region.blocks[0]

    def combine(left: Sequence[Array], right: Sequence[Array]) -> tuple[Array, ...]:
        rank = left[0].ndim
        values: dict[int, Value] = {
            number: dense(value).reshape(-1, *(1,) * (rank - 1)) for number, value in outer.items()
        }
        values.update(zip(block.arguments, (*left, *right), strict=True))
        for op in block.ops[:-1]:
            result = made[id(op)](*(values[operand] for operand in op.operands))
            results = result if isinstance(result, tuple) else (result,)
            for number, value in zip(op.results, results, strict=True):
                values[number] = _ranked(dense(value), rank)
        return tuple(np.asarray(values[operand]) for operand in block.ops[-1].operands)

    return combine


def _ranked(value: Array, rank: int) -> Array:
    return value if value.ndim == rank else value.reshape(value.shape[0], *(1,) * (rank - 1))


def _simple(op: Op, types: Types) -> Any:
    """The ufunc that the region is, or None."""
    block = op.regions[0].blocks[0]
    if len(block.ops) != 2 or len(block.arguments) != 2:
        return None
    only, last = block.ops
    if set(only.operands) != set(block.arguments) or last.operands != only.results:
        return None
    dtype = types[only.results[0]].dtype
    if only.name in _ROUNDING and dtype not in ("fp32", "fp64"):
        return None  # rounded at every step
    if dtype == "i1" and only.name in ("arith.addi", "arith.muli", "arith.maxsi", "arith.minsi"):
        return None
    return _UFUNCS.get(only.name)


def _extreme(op: Op) -> tuple[Any, Any] | None:
    """NumPy's functions for a maximum or minimum with its index where the smaller index wins a tie; else None."""
    block = op.regions[0].blocks[0]
    names = [each.name for each in block.ops]
    if names[0] not in ("arith.cmpf", "arith.cmpi") or names[1:] != [
        "arith.cmpi",
        "arith.andi",
        names[0],
        "arith.ori",
        "arith.select",
        "arith.select",
        "tt.reduce.return",
    ]:
        return None
    value, index, other, other_index = block.arguments
    tie, lower, both, beyond, wins, chosen, place = block.ops[:7]
    expected = (
        tie.operands == (value, other)
        and tie.attributes["predicate"] in ("oeq", "eq")
        and lower.operands == (index, other_index)
        and lower.attributes["predicate"] == "slt"
        and set(both.operands) == {tie.results[0], lower.results[0]}
        and beyond.operands == (value, other)
        and set(wins.operands) == {both.results[0], beyond.results[0]}
        and chosen.operands == (wins.results[0], value, other)
        and place.operands == (wins.results[0], index, other_index)
        and block.ops[7].operands == (chosen.results[0], place.results[0])
    )
    direction = beyond.attributes["predicate"]
    if not expected or direction not in ("ogt", "sgt", "olt", "slt"):
        return None
    return (np.argmax if direction.endswith("gt") else np.argmin), None


def _full(op: Op, types: Types, values: Sequence[Value], axis: int) -> list[Array]:
    """The operands with the reduced axis at its full extent, and alike otherwise."""
    extent = types[op.operands[0]].shape[axis - 1]
    arrays = [dense(value) for value in values]
    shape = list(np.broadcast_shapes(*(array.shape for array in arrays)))
    shape[axis] = extent
    return [np.broadcast_to(array, shape) for array in arrays]


def reduce(op: Op, types: Types, values: Sequence[Value], combine: Combine) -> tuple[Array, ...]:
    """The results of a ``tt.reduce``."""
    axis = int(op.attributes["axis"]) + 1
    ufunc = _simple(op, types)
    if ufunc is not None:
        (array,) = _full(op, types, values, axis)
        return (ufunc.reduce(array, axis=axis, dtype=array.dtype),)
    arrays = _full(op, types, values, axis)
    if len(arrays) == 2 and (found := _extreme(op)):
        steps = np.diff(arrays[1], axis=axis)
        if (steps > 0).all() and not (arrays[0].dtype.kind == "f" and np.isnan(arrays[0]).any()):
            place = np.expand_dims(found[0](arrays[0], axis=axis), axis)
            return tuple(np.take_along_axis(array, place, axis).squeeze(axis) for array in arrays)
    moved = [np.moveaxis(array, axis, -1) for array in arrays]
    while (extent := moved[0].shape[-1]) > 1:
        even = extent // 2 * 2
        pairs = combine([each[..., 0:even:2] for each in moved], [each[..., 1:even:2] for each in moved])
        shape = np.broadcast_shapes(*(each.shape for each in pairs))
        rest = [each[..., even:] for each in moved]
        moved = [
            np.concatenate((np.broadcast_to(pair, shape), last), axis=-1)
            if even < extent
            else np.broadcast_to(pair, shape)
            for pair, last in zip(pairs, rest, strict=True)
        ]
    return tuple(each[..., 0] for each in moved)


def scan(op: Op, types: Types, values: Sequence[Value], combine: Combine) -> tuple[Array, ...]:
    """The results of a ``tt.scan``: inclusive, from the end where ``reverse``."""
    axis = int(op.attributes["axis"]) + 1
    arrays = _full(op, types, values, axis)
    backward = bool(op.attributes.get("reverse", False))
    moved = [np.moveaxis(array, axis, -1) for array in arrays]
    if backward:
        moved = [each[..., ::-1] for each in moved]
    ufunc = _simple(op, types)
    if ufunc is not None:
        moved = [ufunc.accumulate(moved[0], axis=-1, dtype=moved[0].dtype)]
    else:
        distance = 1
        while distance < moved[0].shape[-1]:
            later = combine([each[..., :-distance] for each in moved], [each[..., distance:] for each in moved])
            moved = [
                np.concatenate((each[..., :distance], np.broadcast_to(new, each[..., distance:].shape)), axis=-1)
                for each, new in zip(moved, later, strict=True)
            ]
            distance *= 2
    if backward:
        moved = [each[..., ::-1] for each in moved]
    return tuple(np.moveaxis(each, -1, axis) for each in moved)
