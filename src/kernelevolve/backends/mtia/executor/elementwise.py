"""Arithmetic, comparisons and conversions, element by element: integers wrap, floats are rounded once."""

from __future__ import annotations

__all__ = ["PURE", "Make"]

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from kernelevolve.backends.mtia.executor.values import (
    Array,
    Sum,
    Value,
    add,
    combine,
    dense,
    multiply,
    parts,
    rounded,
    storage_bytes,
    unsigned,
)
from kernelevolve.backends.mtia.program import Op, Type

Types = Mapping[int, Type]
#: From an operation to what computes its results (one, or a tuple) from its operands' values.
Make = Callable[[Op, Types], Callable[..., Any]]

_COMPARE: Final[dict[str, Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _floats(function: Callable[..., Array]) -> Make:
    def make(op: Op, types: Types) -> Callable[..., Any]:
        dtype = types[op.results[0]].dtype
        if dtype in ("fp32", "fp64"):
            return function
        return lambda *operands: rounded(function(*operands), dtype)

    return make


def _integers(function: Callable[..., Array]) -> Make:
    """`function` of dense integers, of one type with its result."""
    return lambda _op, _types: lambda *operands: function(*map(dense, operands))


def _on_unsigned(function: Callable[..., Array]) -> Make:
    def apply(*operands: Value) -> Array:
        values = [dense(operand) for operand in operands]
        return np.asarray(function(*map(unsigned, values)).view(values[0].dtype))

    return lambda _op, _types: apply


def _add(op: Op, types: Types) -> Callable[..., Any]:
    if types[op.results[0]].dtype == "i1":
        return np.logical_xor
    return add


def _subtract(op: Op, types: Types) -> Callable[..., Any]:
    if types[op.results[0]].dtype == "i1":
        return np.logical_xor
    return lambda a, b: add(a, b, -1)


def _multiply(op: Op, types: Types) -> Callable[..., Any]:
    if types[op.results[0]].dtype == "i1":
        return np.logical_and
    return multiply


def truncated_division(a: Array, b: Array) -> Array:
    """The quotient rounded toward zero, as LLVM's ``sdiv``; 0 for a divisor of 0 (LLVM leaves it undefined)."""
    quotient = np.floor_divide(a, b)
    if a.min(initial=0) >= 0 and b.min(initial=0) >= 0:
        return quotient
    inexact = (quotient * b != a) & ((a < 0) != (b < 0)) & (b != 0)
    return np.asarray(quotient + inexact.astype(quotient.dtype))


def _divide(a: Value, b: Value) -> Array:
    return truncated_division(dense(a), dense(b))


def _remainder(a: Value, b: Value) -> Array:
    left, right = dense(a), dense(b)
    if left.min(initial=0) >= 0 and right.min(initial=0) >= 0:
        return np.remainder(left, right)  # vectorised, where fmod is not
    return np.fmod(left, right)


def _ceiling_division(a: Array, b: Array) -> Array:
    return -np.floor_divide(-a, b)


def _shift_left(a: Value, b: Value) -> Value:
    if isinstance(a, Sum) and not isinstance(b, Sum) and b.size == 1 and 0 <= int(b.flat[0]) < a.dtype.itemsize * 8 - 1:
        return multiply(a, np.left_shift(np.ones(b.shape, a.dtype), b))
    return np.left_shift(dense(a), dense(b))


def _bitwise(whole: Any, logical: Any, neutral: bool | None) -> Make:
    """Bitwise operation; of booleans where `neutral` says which one changes nothing."""

    def make(op: Op, types: Types) -> Callable[..., Any]:
        if types[op.results[0]].dtype != "i1":
            return lambda a, b: whole(dense(a), dense(b))

        def apply(a: Array, b: Array) -> Array:
            for this, other in ((a, b), (b, a)):
                if neutral is not None and this.size == 1 and bool(this.flat[0]) is neutral:
                    return other
            return np.asarray(logical(a, b))

        return apply

    return make


def _compare_integers(op: Op, types: Types) -> Callable[..., Any]:
    predicate = str(op.attributes["predicate"])
    compare = _COMPARE[predicate[-2:]]
    if predicate[0] == "u":
        return lambda a, b: compare(unsigned(dense(a)), unsigned(dense(b)))
    if types[op.operands[0]].dtype == "i1" and predicate[0] == "s":
        return lambda a, b: compare(-a.astype(np.int8), -b.astype(np.int8))

    def apply(a: Value, b: Value) -> Array:
        for this, other, turned in ((a, b, False), (b, a, True)):
            if isinstance(this, Sum) and isinstance(other, np.ndarray) and other.size == 1:
                known = _decided(this, int(other.flat[0]), predicate[-2:], turned=turned)
                if known is not None:
                    return np.full((1,) * len(this.shape), known)
        return np.asarray(compare(dense(a), dense(b)))

    return apply


def _decided(values: Sum, limit: int, predicate: str, *, turned: bool) -> bool | None:
    """What a comparison with `limit` gives for every element, where bounds tell; ``limit ? values`` if `turned`."""
    at_ends = [
        _COMPARE[predicate](limit, end) if turned else _COMPARE[predicate](end, limit)
        for end in (values.low, values.high)
    ]
    if predicate in ("eq", "ne"):
        return None
    return bool(at_ends[0]) if at_ends[0] == at_ends[1] else None


def _compare_floats(op: Op, types: Types) -> Callable[..., Any]:
    del types
    predicate = str(op.attributes["predicate"])
    if predicate in ("true", "false"):
        return lambda a, b: np.full(np.broadcast_shapes(a.shape, b.shape), predicate == "true")
    if predicate in ("ord", "uno"):
        return lambda a, b: (np.isnan(a) | np.isnan(b)) == (predicate == "uno")
    compare: Callable[..., Any] = _COMPARE[predicate[1:]]
    ordered = predicate[0] == "o"
    if (predicate[1:] == "ne") != ordered:  # NumPy's own: != holds for NaN, all others do not
        return compare
    if ordered:
        return lambda a, b: compare(a, b) & ~(np.isnan(a) | np.isnan(b))
    return lambda a, b: compare(a, b) | np.isnan(a) | np.isnan(b)


def _select(op: Op, types: Types) -> Callable[..., Any]:
    del op, types

    def apply(condition: Array, a: Value, b: Value) -> Value:
        if condition.size == 1:
            return a if condition.flat[0] else b
        return np.where(condition, dense(a), dense(b))

    return apply


def _add_pointer(op: Op, types: Types) -> Callable[..., Any]:
    size = storage_bytes(types[op.operands[0]].dtype)

    def apply(pointer: Value, offset: Value) -> Sum:
        steps = parts(offset)
        scaled = Sum([term * size for term in steps.terms], np.int64, steps.low * size, steps.high * size)
        return combine(parts(pointer), scaled, 1)

    return apply


def _extended_product(op: Op, types: Types) -> Callable[..., Any]:
    """Low and high half of a product."""
    bits = types[op.results[0]].bits
    sign = op.name == "arith.mulsi_extended"

    def apply(a: Value, b: Value) -> tuple[Array, Array]:
        left, right = dense(a), dense(b)
        return np.multiply(left, right), high_product(left, right, bits, sign=sign)

    return apply


def high_product(a: Array, b: Array, bits: int, *, sign: bool) -> Array:
    """The upper half of a product of integers of `bits` bits."""
    kind = a.dtype
    if bits < 64:
        wide = (
            (a.astype(np.int64) * b.astype(np.int64))
            if sign
            else (unsigned(a).astype(np.uint64) * unsigned(b).astype(np.uint64))
        )
        return np.asarray((wide >> bits).astype(f"u{kind.itemsize}").view(kind))
    x, y, half = unsigned(a), unsigned(b), np.uint64(32)
    low = np.uint64(0xFFFFFFFF)
    (x0, x1), (y0, y1) = (x & low, x >> half), (y & low, y >> half)
    middle = x1 * y0 + (x0 * y0 >> half)
    other = x0 * y1 + (middle & low)
    high: Array = (x1 * y1 + (middle >> half) + (other >> half)).view(kind)
    if not sign:
        return high
    return high - np.where(a < 0, b, 0) - np.where(b < 0, a, 0)


def _add_extended(op: Op, types: Types) -> Callable[..., Any]:
    del op, types

    def apply(a: Value, b: Value) -> tuple[Array, Array]:
        left, total = dense(a), np.add(dense(a), dense(b))
        return total, unsigned(total) < unsigned(left)

    return apply


#: By MLIR's name.
PURE: Final[dict[str, Make]] = {
    "arith.addi": _add,
    "arith.subi": _subtract,
    "arith.muli": _multiply,
    "arith.divsi": lambda _op, _types: _divide,
    "arith.divui": _on_unsigned(np.floor_divide),
    "arith.remsi": lambda _op, _types: _remainder,
    "arith.remui": _on_unsigned(np.remainder),
    "arith.ceildivsi": _integers(_ceiling_division),
    "arith.floordivsi": _integers(np.floor_divide),
    "arith.andi": _bitwise(np.bitwise_and, np.logical_and, True),
    "arith.ori": _bitwise(np.bitwise_or, np.logical_or, False),
    "arith.xori": _bitwise(np.bitwise_xor, np.logical_xor, False),
    "arith.shli": lambda _op, _types: _shift_left,
    "arith.shrsi": _integers(np.right_shift),
    "arith.shrui": _on_unsigned(np.right_shift),
    "arith.maxsi": _integers(np.maximum),
    "arith.minsi": _integers(np.minimum),
    "arith.maxui": _on_unsigned(np.maximum),
    "arith.minui": _on_unsigned(np.minimum),
    "arith.mulsi_extended": _extended_product,
    "arith.mului_extended": _extended_product,
    "arith.addui_extended": _add_extended,
    "tt.mulhiui": lambda op, types: (
        lambda a, b: high_product(dense(a), dense(b), types[op.results[0]].bits, sign=False)
    ),
    "arith.cmpi": _compare_integers,
    "arith.cmpf": _compare_floats,
    "arith.select": _select,
    "tt.addptr": _add_pointer,
    "arith.addf": _floats(np.add),
    "arith.subf": _floats(np.subtract),
    "arith.mulf": _floats(np.multiply),
    "arith.divf": _floats(np.divide),
    "tt.precise_divf": _floats(np.divide),
    "arith.remf": _floats(np.fmod),
    "arith.negf": _floats(np.negative),
    "arith.maximumf": _floats(np.maximum),
    "arith.minimumf": _floats(np.minimum),
    "arith.maxnumf": _floats(np.fmax),
    "arith.minnumf": _floats(np.fmin),
}
