"""Constants, layout operations, gathers within a tile, histograms and dots."""

from __future__ import annotations

__all__ = ["PURE"]

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from kernelevolve.backends._triton.floats import truncate_tf32
from kernelevolve.backends.mtia.executor.elementwise import Make
from kernelevolve.backends.mtia.executor.values import Array, Sum, Value, align, dense, held, rounded
from kernelevolve.backends.mtia.program import Kind, Op, Type

Types = Mapping[int, Type]

#: Products of 8-bit integers that float32 adds up exactly: 2^24 over 2^14.
_EXACT_DEPTH: Final = 1024


def _constant(op: Op, types: Types) -> Callable[..., Any]:
    type_ = types[op.results[0]]
    kind, value = held(type_), op.attributes["value"]
    if isinstance(value, list):
        array = np.array(value).astype(kind).reshape(1, *type_.shape)
    elif type_.kind is Kind.INTEGER and type_.dtype != "i1":
        array = np.array([int(value) % (1 << type_.bits)], np.uint64).astype(f"u{kind.itemsize}").view(kind)
    else:
        array = np.array([value], kind)
    array = array.reshape(array.shape if isinstance(value, list) else (1,) * (1 + len(type_.shape)))
    return lambda: array


def _make_range(op: Op, types: Types) -> Callable[..., Any]:
    del types
    array = np.arange(int(op.attributes["start"]), int(op.attributes["end"]), dtype=np.int32)[None, :]
    return lambda: array


def _lay_out(function: Callable[[Array], Array]) -> Callable[..., Any]:
    return lambda value: value.map(function) if isinstance(value, Sum) else function(value)


def _splat(op: Op, types: Types) -> Callable[..., Any]:
    rank = len(types[op.results[0]].shape)
    return _lay_out(lambda value: value.reshape(value.shape[0], *(1,) * rank))


def _unsplat(_op: Op, _types: Types) -> Callable[..., Any]:
    return lambda value: dense(value).reshape(-1)


def _expand(op: Op, types: Types) -> Callable[..., Any]:
    del types
    axis = int(op.attributes["axis"]) + 1
    return _lay_out(lambda value: np.expand_dims(value, axis))


def _transpose(op: Op, types: Types) -> Callable[..., Any]:
    del types
    order = (0, *(int(axis) + 1 for axis in op.attributes["order"]))
    return _lay_out(lambda value: value.transpose(order))


def _reshape(op: Op, types: Types) -> Callable[..., Any]:
    source, target = types[op.operands[0]].shape, types[op.results[0]].shape

    def apply(value: Value) -> Array:
        array = dense(value)
        if array.size == array.shape[0]:
            return array.reshape(array.shape[0], *(1,) * len(target))
        return align(array, source).reshape(array.shape[0], *target)

    return apply


def _together(*arrays: Array) -> list[Array]:
    """The arrays with one extent of the first axis."""
    programs = max(len(array) for array in arrays)
    return [np.broadcast_to(array, (programs, *array.shape[1:])) for array in arrays]


def _join(op: Op, types: Types) -> Callable[..., Any]:
    shape = types[op.operands[0]].shape
    return lambda a, b: np.stack(_together(align(dense(a), shape), align(dense(b), shape)), axis=-1)


def _concatenate(op: Op, types: Types) -> Callable[..., Any]:
    shapes = [types[operand].shape for operand in op.operands]
    return lambda *values: np.concatenate(
        _together(*(align(dense(value), shape) for value, shape in zip(values, shapes, strict=True))), axis=1
    )


def _split(op: Op, types: Types) -> Callable[..., Any]:
    shape = types[op.operands[0]].shape

    def apply(value: Value) -> tuple[Array, Array]:
        whole = align(dense(value), shape)
        return whole[..., 0], whole[..., 1]

    return apply


def _gather(op: Op, types: Types) -> Callable[..., Any]:
    axis = int(op.attributes["axis"]) + 1
    shapes = [types[operand].shape for operand in op.operands]

    def apply(value: Value, index: Value) -> Array:
        source, chosen = _together(align(dense(value), shapes[0]), align(dense(index), shapes[1]))
        return np.take_along_axis(source, chosen.astype(np.int64).clip(0, source.shape[axis] - 1), axis)

    return apply


def _histogram(op: Op, types: Types) -> Callable[..., Any]:
    shape, bins = types[op.operands[0]].shape, types[op.results[0]].shape[0]

    def apply(value: Value, mask: Array | None = None) -> Array:
        arrays = [align(dense(value), shape)] + ([] if mask is None else [align(mask, shape)])
        numbers, *active = _together(*arrays)
        counted = (numbers >= 0) & (numbers < bins)
        for one in active:
            counted &= one
        keys = numbers.astype(np.int64) + bins * np.arange(len(numbers))[:, None]
        total = np.bincount(keys[counted], minlength=bins * len(numbers))
        return total.reshape(len(numbers), bins).astype(held(types[op.results[0]]))

    return apply


def _dot(op: Op, types: Types) -> Callable[..., Any]:
    left, right = types[op.operands[0]], types[op.operands[1]]
    out = types[op.results[0]]
    product = _products(left.dtype, out.dtype, left.shape[-1], str(op.attributes.get("inputPrecision", "ieee")))

    def apply(a: Array, b: Array, c: Array) -> Array:
        total = product(align(dense(a), left.shape), align(dense(b), right.shape))
        if out.dtype.startswith("i"):
            return total.astype(held(out)) + c
        return rounded(total + c, out.dtype)

    return apply


def _products(dtype: str, out: str, depth: int, precision: str) -> Callable[[Array, Array], Array]:
    """Matrix product in the accumulator's precision: float32 (float64 for fp64), exact for integers."""
    if dtype.startswith("i"):
        if dtype == "i8":
            wide = np.float32 if depth <= _EXACT_DEPTH else np.float64
            return lambda a, b: np.matmul(a.astype(wide), b.astype(wide)).astype(np.int64)
        return lambda a, b: np.matmul(a.astype(np.int64), b.astype(np.int64))
    if dtype == "fp64" or out == "fp64":
        return np.matmul
    if dtype != "fp32" or precision == "ieee":
        return np.matmul
    if precision == "tf32":
        return lambda a, b: np.matmul(truncate_tf32(a), truncate_tf32(b))
    cut = truncate_tf32 if precision.startswith("tf32") else (lambda values: rounded(values, "bf16"))
    pieces = 3 if precision == "bf16x6" else 2
    return lambda a, b: _in_pieces(a, b, cut, pieces)


def _in_pieces(a: Array, b: Array, cut: Callable[[Array], Array], pieces: int) -> Array:
    """A product of float32 from products of shorter parts, without those of the smallest (tf32x3, bf16x3, bf16x6)."""
    parts: list[list[Array]] = []
    for values in (a, b):
        rest, own = values, list[Array]()
        for _ in range(pieces):
            own.append(cut(rest))
            rest = rest - own[-1]
        parts.append(own)
    pairs = [(i, j) for i in range(pieces) for j in range(pieces) if i + j < pieces]
    pairs.sort(key=sum, reverse=True)  # the small ones first
    total: Array = np.matmul(parts[0][pairs[0][0]], parts[1][pairs[0][1]])
    for i, j in pairs[1:]:
        total = total + np.matmul(parts[0][i], parts[1][j])
    return total


def _undefined(op: Op, types: Types) -> Callable[..., Any]:
    type_ = types[op.results[0]]
    array = np.zeros((1,) * (1 + len(type_.shape)), held(type_))
    return lambda: array


#: By MLIR's name.
PURE: Final[dict[str, Make]] = {
    "arith.constant": _constant,
    "ub.poison": _undefined,
    "tt.make_range": _make_range,
    "tt.splat": _splat,
    "tt.unsplat": _unsplat,
    "tt.broadcast": lambda _op, _types: lambda value: value,
    "tt.expand_dims": _expand,
    "tt.trans": _transpose,
    "tt.reshape": _reshape,
    "tt.join": _join,
    "tt.split": _split,
    "tt.cat": _concatenate,
    "tt.gather": _gather,
    "tt.histogram": _histogram,
    "tt.dot": _dot,
}
