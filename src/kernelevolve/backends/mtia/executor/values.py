"""How values are held: NumPy arrays with the batch of programs in front, as small as broadcasting allows.

A value of shape S for P programs is an array of shape ``(P, *S)`` in which every axis may have the extent 1 instead:
along the first one if all programs have the same value, along the others after splats and broadcasts, which cost
nothing so. Integers that are a sum over several axes (``row * stride + column``) stay a sum (`Sum`) until somebody
needs the elements: an address tile of a matrix is a column and a row.

fp16, bf16 and the fp8 types are held as float32, rounded to the type's values after every operation; sums, products,
quotients and square roots of such values, rounded twice so, are what one rounding gives (float32 has more than twice
their bits and two).
"""

from __future__ import annotations

__all__ = [
    "NUMPY",
    "Array",
    "Descriptor",
    "Sum",
    "Value",
    "add",
    "align",
    "combine",
    "dense",
    "from_storage",
    "held",
    "merge",
    "multiply",
    "parts",
    "rounded",
    "storage",
    "storage_bytes",
    "storage_type",
    "take",
    "unsigned",
]

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kernelevolve.backends._triton.floats import SOFT, decode, encode
from kernelevolve.backends.mtia.program import Type

Array = npt.NDArray[Any]

#: What holds each element type.
NUMPY: Final[dict[str, Any]] = {
    "i1": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "fp16": np.float32,
    "bf16": np.float32,
    "fp8e4nv": np.float32,
    "fp8e5": np.float32,
    "fp32": np.float32,
    "fp64": np.float64,
}
#: What an element is in memory.
_STORAGE: Final[dict[str, Any]] = {
    **NUMPY,
    "i1": np.uint8,
    "fp16": np.float16,
    "bf16": np.uint16,
    "fp8e4nv": np.uint8,
    "fp8e5": np.uint8,
}
_INT_LIMITS: Final = {bits: (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64)}


class Sum:
    """An integer (or an address) as a sum of terms, each of which varies along other axes. It never overflows."""

    __slots__ = ("_dense", "dtype", "high", "low", "terms")

    def __init__(self, terms: Sequence[Array], dtype: Any, low: int, high: int) -> None:
        self.terms = tuple(terms)
        self.dtype = np.dtype(dtype)
        self.low, self.high = low, high
        self._dense: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the elements."""
        return np.broadcast_shapes(*(term.shape for term in self.terms))

    @property
    def fits(self) -> bool:
        """Whether every element is certain to be a value of the type."""
        low, high = _INT_LIMITS[self.dtype.itemsize * 8]
        return low <= self.low and self.high <= high

    def dense(self) -> Array:
        """The elements."""
        if self._dense is None:
            total = self.terms[0]
            for term in self.terms[1:]:
                total = total + term
            self._dense = total.astype(self.dtype, copy=False)
        return self._dense

    def map(self, function: Callable[[Array], Array]) -> Sum:
        """The same sum with its terms laid out anew (axes added, moved, or programs chosen)."""
        return Sum([function(term) for term in self.terms], self.dtype, self.low, self.high)

    def as_type(self, dtype: Any) -> Sum:
        """The same values in another type."""
        return Sum(self.terms, dtype, self.low, self.high)


class Descriptor:
    """A tensor in memory: the address of its first element, extents and strides (elements), each a value of its own."""

    __slots__ = ("base", "sizes", "strides")

    def __init__(self, base: Any, sizes: Sequence[Any], strides: Sequence[Any]) -> None:
        self.base, self.sizes, self.strides = base, tuple(sizes), tuple(strides)

    @property
    def fields(self) -> tuple[Any, ...]:
        """All the values."""
        return (self.base, *self.sizes, *self.strides)

    @classmethod
    def of(cls, fields: Sequence[Any]) -> Descriptor:
        """The inverse of `fields`."""
        rank = len(fields) // 2
        return cls(fields[0], fields[1 : rank + 1], fields[rank + 1 :])


Value = Any
"""An `Array`, a `Sum`, or a `Descriptor`."""


def dense(value: Value) -> Array:
    """The value's elements."""
    return value.dense() if isinstance(value, Sum) else value


def parts(value: Value) -> Sum:
    """An integer value as a sum, of one term if need be."""
    if isinstance(value, Sum):
        return value
    wide = value.astype(np.int64, copy=False)
    return Sum((wide,), value.dtype, int(wide.min()), int(wide.max()))


def combine(left: Sum, right: Sum, sign: int) -> Sum:
    """``left + sign * right``; terms that vary along the same axes are added."""
    terms = list(left.terms)
    for term in right.terms:
        signed = term if sign > 0 else -term
        for index, own in enumerate(terms):
            if _same_axes(own, signed):
                terms[index] = own + signed
                break
        else:
            terms.append(signed)
    low, high = (right.low, right.high) if sign > 0 else (-right.high, -right.low)
    return Sum(terms, left.dtype, left.low + low, left.high + high)


def add(left: Value, right: Value, sign: int = 1) -> Value:
    """Sum or difference of integers of one type, modulo their width."""
    small = not isinstance(left, Sum) and not isinstance(right, Sum)
    if small and _same_axes(left, right):
        return np.add(left, right) if sign > 0 else np.subtract(left, right)
    total = combine(parts(left), parts(right), sign)
    if total.fits:
        return total if len(total.terms) > 1 else total.dense()
    a, b = dense(left), dense(right)
    return np.add(a, b) if sign > 0 else np.subtract(a, b)


def _same_axes(left: Array, right: Array) -> bool:
    """Whether the sum is no larger than one of the two."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    return shape in (left.shape, right.shape)


def multiply(left: Value, right: Value) -> Value:
    """Product of integers of one type, modulo their width."""
    if isinstance(right, Sum):
        left, right = right, left
    if isinstance(left, Sum) and not isinstance(right, Sum) and right.size == 1:
        factor = int(right.reshape(-1)[0])
        bounds = (left.low * factor, left.high * factor)
        scaled = Sum([term * factor for term in left.terms], left.dtype, min(bounds), max(bounds))
        if scaled.fits:
            return scaled
    return np.multiply(dense(left), dense(right))


def unsigned(values: Array) -> Array:
    """The same bits without a sign."""
    return values if values.dtype == np.bool_ else values.view(f"u{values.dtype.itemsize}")


def take(value: Value, chosen: Array) -> Value:
    """The value for the programs at `chosen` of a batch."""
    if isinstance(value, Sum):
        return value.map(lambda term: term if term.shape[0] == 1 else term[chosen])
    if isinstance(value, np.ndarray):
        return value if value.shape[0] == 1 else value[chosen]
    return Descriptor.of([take(inner, chosen) for inner in value.fields])


def merge(pieces: Sequence[tuple[Array, Value]], programs: int) -> Value:
    """One value for a batch from values for parts of it, each with its places in the batch."""
    if isinstance(pieces[0][1], Descriptor):
        columns = zip(*(value.fields for _, value in pieces), strict=True)
        places = [place for place, _ in pieces]
        return Descriptor.of([merge(list(zip(places, column, strict=True)), programs) for column in columns])
    if len(pieces) == 1:
        return pieces[0][1]
    arrays = [(place, dense(value)) for place, value in pieces]
    shape = np.broadcast_shapes(*(value.shape[1:] for _, value in arrays))
    result = np.empty((programs, *shape), arrays[0][1].dtype)
    for place, value in arrays:
        result[place] = value
    return result


def align(value: Array, shape: Sequence[int]) -> Array:
    """The array with every axis but the first at its full extent."""
    wanted = (value.shape[0], *shape)
    return value if value.shape == wanted else np.broadcast_to(value, wanted)


def held(type_: Type) -> Any:
    """The NumPy type that holds a value of `type_`."""
    return np.dtype(np.int64) if type_.kind == "pointer" else np.dtype(NUMPY[type_.dtype])


def storage_bytes(dtype: str) -> int:
    """Bytes of one element in memory."""
    return int(np.dtype(_STORAGE[dtype]).itemsize)


def storage_type(dtype: str) -> Any:
    """The NumPy type of one element in memory."""
    return np.dtype(_STORAGE[dtype])


def rounded(values: Array, dtype: str, *, toward_zero: bool = False) -> Array:
    """`values` (float32 or float64) at the nearest values of `dtype`, as what holds that type."""
    if dtype == "fp64":
        return values.astype(np.float64, copy=False)
    if dtype == "fp32" and not toward_zero:
        return values.astype(np.float32, copy=False)
    if dtype == "fp32":
        return _toward_zero(values, values.astype(np.float32))
    if dtype == "fp16":
        half = values.astype(np.float16)
        return (_toward_zero(values, half) if toward_zero else half).astype(np.float32)
    if values.dtype == np.float64:
        values = _to_odd(values)
    if dtype == "bf16" and not toward_zero:
        return _bf16(values)
    return decode(encode(values, dtype, toward_zero=toward_zero), dtype)


def _bf16(values: Array) -> Array:
    bits = np.ascontiguousarray(values).view(np.uint32)
    out = bits >> np.uint32(16)
    out &= np.uint32(1)
    out += np.uint32(0x7FFF)
    out += bits
    out &= np.uint32(0xFFFF0000)
    result = out.view(np.float32).reshape(values.shape)
    strange = np.isnan(values)
    if strange.any():
        result = np.where(strange, np.float32(np.nan), result)
    return result


def _toward_zero(exact: Array, nearest: Array) -> Array:
    """`nearest`, one step nearer to zero where it is beyond `exact`."""
    beyond = np.abs(nearest.astype(np.float64)) > np.abs(exact.astype(np.float64))
    return np.where(beyond, np.nextafter(nearest, nearest.dtype.type(0)), nearest)


def _to_odd(values: Array) -> Array:
    """float64 to float32 so that a second rounding, to fewer bits, errs no more than one rounding would.

    Inexact results get an odd last bit (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    """
    cut = _toward_zero(values, values.astype(np.float32))
    inexact = cut.astype(np.float64) != values
    bits = np.ascontiguousarray(cut).view(np.uint32)
    return np.where(inexact & np.isfinite(cut), bits | np.uint32(1), bits).astype(np.uint32).view(np.float32)


#: The bits of infinity in float16, and what exponents biased by 15 lack where 127 is the bias.
_HALF_INFINITY: Final = 0x7C00
_HALF_BIAS: Final = np.float32(2.0**112)


def storage(values: Array, dtype: str) -> Array:
    """What memory holds for `values` of `dtype`."""
    if dtype == "bf16":
        bits = np.ascontiguousarray(values).view(np.uint32)
        return (bits >> np.uint32(16)).astype(np.uint16)
    if dtype in SOFT:
        return encode(values, dtype)
    return values.astype(_STORAGE[dtype], copy=False)


def from_storage(data: Array, dtype: str) -> Array:
    """The values of `dtype` that memory holds as `data`."""
    if dtype in SOFT:
        return decode(data, dtype)
    if dtype == "i1":
        return np.not_equal(data, 0)
    if dtype == "fp16":
        return _from_half(data)
    return np.asarray(data.astype(NUMPY[dtype], copy=False))


def _from_half(data: Array) -> Array:
    """float16 as float32, exactly: the bits moved to their places and the exponent's bias mended by a product.

    A third of the time that NumPy's own conversion takes, which goes number by number.
    """
    bits = np.ascontiguousarray(data).view(np.uint16).astype(np.uint32)
    magnitude = bits & np.uint32(0x7FFF)
    if not data.size or magnitude.max() >= _HALF_INFINITY:
        return data.astype(np.float32)
    np.left_shift(magnitude, 13, out=magnitude)
    values = magnitude.view(np.float32)
    np.multiply(values, _HALF_BIAS, out=values)
    np.bitwise_and(bits, np.uint32(0x8000), out=bits)
    np.left_shift(bits, 16, out=bits)
    np.bitwise_or(magnitude, bits, out=magnitude)
    return values.reshape(data.shape)
