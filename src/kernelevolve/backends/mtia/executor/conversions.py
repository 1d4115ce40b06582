"""Conversions between element types: each rounds once, integers are cut, what does not fit an integer saturates."""

from __future__ import annotations

__all__ = ["PURE"]

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from kernelevolve.backends.mtia.executor.elementwise import Make
from kernelevolve.backends.mtia.executor.values import (
    NUMPY,
    Array,
    Sum,
    Value,
    dense,
    from_storage,
    held,
    rounded,
    storage,
    unsigned,
)
from kernelevolve.backends.mtia.program import Kind, Op, Type

Types = Mapping[int, Type]


def _resize(op: Op, types: Types) -> Callable[..., Any]:
    """Signed extension, truncation and index casts."""
    source, target = types[op.operands[0]].dtype, types[op.results[0]].dtype

    def apply(value: Value) -> Value:
        if isinstance(value, Sum):
            wanted = value.as_type(NUMPY[target]) if target != "i1" else value
            if target != "i1" and wanted.fits:
                return wanted
            value = value.dense()
        if target == "i1":
            return (value & 1).astype(np.bool_) if source != "i1" else value
        if source == "i1":
            return -value.astype(NUMPY[target])
        return value.astype(NUMPY[target])

    return apply


def _extend_unsigned(op: Op, types: Types) -> Callable[..., Any]:
    target = types[op.results[0]].dtype

    def apply(value: Value) -> Value:
        if isinstance(value, Sum):
            if value.low >= 0:
                return value.as_type(NUMPY[target])
            value = value.dense()
        return unsigned(value).astype(NUMPY[target])

    return apply


def _to_float(op: Op, types: Types) -> Callable[..., Any]:
    source, target = types[op.operands[0]].dtype, types[op.results[0]].dtype
    sign = op.name == "arith.sitofp"

    def apply(value: Value) -> Array:
        array = dense(value)
        array = -array.astype(np.int8) if source == "i1" and sign else array if sign else unsigned(array)
        if target == "fp64":
            return array.astype(np.float64)
        if target == "fp32":
            return array.astype(np.float32)
        if array.dtype.itemsize <= 4:  # exact in float64
            return rounded(array.astype(np.float64), target)
        odd = array >> 11 << 11 | (array & 0x7FF != 0).astype(array.dtype) << 11  # 53 bits that round as all do
        cut = np.where((array >> 53 == 0) | (array >> 53 == -1), array, odd)
        return rounded(cut.astype(np.float64), target)

    return apply


def _to_integer(op: Op, types: Types) -> Callable[..., Any]:
    """Toward zero; beyond the type its nearest value, and 0 for NaN, as Triton's GPU targets do."""
    target = np.dtype(NUMPY[types[op.results[0]].dtype])
    if target == np.bool_:
        return lambda value: np.abs(np.nan_to_num(value)) >= 1
    kind = target if op.name == "arith.fptosi" else np.dtype(f"u{target.itemsize}")
    limits = np.iinfo(kind)

    def apply(value: Array) -> Array:
        wide = value.astype(np.float64)
        result = np.nan_to_num(wide, nan=0.0, posinf=0.0, neginf=0.0)
        inside = (result > float(limits.min) - 1) & (result < float(limits.max) + (1 if limits.bits < 64 else 0))
        result = np.where(inside, result, 0).astype(kind)
        result = np.where(~inside & (wide > 0), limits.max, result)
        result = np.where(~inside & (wide < 0), limits.min, result)
        result = np.where(np.isposinf(wide), limits.max, np.where(np.isneginf(wide), limits.min, result))
        return result.astype(kind).view(target)

    return apply


def _convert_float(op: Op, types: Types) -> Callable[..., Any]:
    target = types[op.results[0]].dtype
    down = op.attributes.get("rounding") == "rtz" or op.attributes.get("roundingmode") == "toward_zero"
    return lambda value: rounded(value, target, toward_zero=down)


def _bitcast(op: Op, types: Types) -> Callable[..., Any]:
    source, target = types[op.operands[0]], types[op.results[0]]
    if source.kind is target.kind and (source.kind is not Kind.FLOAT or source.dtype == target.dtype):
        return lambda value: value
    kind = {"fp16": np.float16, "bf16": np.uint16, "fp8e4nv": np.uint8, "fp8e5": np.uint8}.get(target.dtype)

    def apply(value: Value) -> Array:
        bits = storage(dense(value), source.dtype)
        return from_storage(np.ascontiguousarray(bits).view(kind or held(target)), target.dtype)

    return apply


def _first(_op: Op, _types: Types) -> Callable[..., Any]:
    return lambda value: value


def _pointer_to_integer(_op: Op, _types: Types) -> Callable[..., Any]:
    return lambda value: dense(value).astype(np.int64)


#: By MLIR's name.
PURE: Final[dict[str, Make]] = {
    "arith.extsi": _resize,
    "arith.trunci": _resize,
    "arith.index_cast": _resize,
    "arith.extui": _extend_unsigned,
    "arith.sitofp": _to_float,
    "arith.uitofp": _to_float,
    "arith.fptosi": _to_integer,
    "arith.fptoui": _to_integer,
    "arith.extf": _convert_float,
    "arith.truncf": _convert_float,
    "tt.fp_to_fp": _convert_float,
    "arith.bitcast": _bitcast,
    "tt.bitcast": _bitcast,
    "tt.ptr_to_int": _pointer_to_integer,
    "tt.int_to_ptr": _first,
}
