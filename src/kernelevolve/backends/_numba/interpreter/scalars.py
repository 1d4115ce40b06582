"""Numbers as compiled kernels have them, on NumPy's scalars.

Numba computes with integers in 64 bits, whatever an array holds: signed as soon as one operand is signed, and
wrapping. `numpy.int64` does just that, so signed integers are `numpy.int64` or a subclass that only remembers its
width. NumPy would mix signed and unsigned as float64, so unsigned integers are a class of their own. float16, float32
and float64 are NumPy's, whose promotion agrees with Numba's; bfloat16 is a float32 that rounds.
"""

from __future__ import annotations

__all__ = ["CASTS", "BFloat16", "Cast", "Int32", "Unsigned", "bits_of", "integer", "to_bfloat16", "unsigned"]

import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import numpy as np

_MASK: Final = (1 << 64) - 1


class Int32(np.int64):
    """A value of 32 bits: arithmetic is in 64, only bit counting sees the difference."""

    __slots__ = ()
    bits: ClassVar[int] = 32


class Unsigned(np.uint64):
    """An unsigned integer of 64 bits."""

    __slots__ = ()
    bits: ClassVar[int] = 64
    #: NumPy's scalars leave operators with this class to it.
    __array_ufunc__ = None

    def __hash__(self) -> int:
        return int(self)

    def __neg__(self) -> Unsigned:
        return Unsigned(-int(self) & _MASK)

    def __invert__(self) -> Unsigned:
        return Unsigned(~int(self) & _MASK)


class _Unsigned32(Unsigned):
    __slots__ = ()
    bits = 32


class _Unsigned16(Unsigned):
    __slots__ = ()
    bits = 16


class _Unsigned8(Unsigned):
    __slots__ = ()
    bits = 8


_UNSIGNED: Final[Mapping[int, type[Unsigned]]] = {8: _Unsigned8, 16: _Unsigned16, 32: _Unsigned32, 64: Unsigned}


class BFloat16(np.float32):
    """A float32 that bfloat16 holds exactly. Among themselves, and with integers of 8 bits, such numbers round."""

    __slots__ = ()

    def __neg__(self) -> BFloat16:
        return BFloat16(-np.float32(self))


def to_bfloat16(value: Any) -> BFloat16:
    """Round to nearest, ties to even."""
    single = np.float32(value)
    if not np.isfinite(single):
        return BFloat16(single)
    word = int(single.view(np.uint32))
    rounded = (word + 0x7FFF + (word >> 16 & 1)) & 0xFFFF0000
    return BFloat16(np.uint32(rounded).view(np.float32))


def integer(value: int) -> np.int64:
    """`value` modulo 2^64, signed."""
    value &= _MASK
    return np.int64(value - (1 << 64) if value >> 63 else value)


def unsigned(value: int, bits: int = 64) -> Unsigned:
    """`value` modulo 2^bits."""
    return _UNSIGNED[bits](value & ((1 << bits) - 1))


def bits_of(value: Any) -> int:
    """The width of an integer: what Numba's type inference would know of it."""
    return 1 if isinstance(value, bool | np.bool_) else getattr(value, "bits", 64)


def _with_float(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """A float and an integer: float64, or float32 where both are small."""
    small = all(isinstance(one, np.float16 | np.float32) or bits_of(one) <= 8 for one in (left, right))
    kind = np.float32 if small else np.float64
    return operation(kind(left), kind(right))


def _whole(operation: Callable[[int, int], int], left: Any, right: Any) -> int:
    try:
        return operation(int(left), int(right))
    except ZeroDivisionError:  # undefined on a device, and no error there
        return 0


def _unsigned_operator(name: str, *, reflected: bool, shift: bool) -> Callable[[Any, Any], Any]:
    operation = getattr(operator, name)

    def method(self: Unsigned, other: Any) -> Any:
        if isinstance(other, BFloat16):
            return NotImplemented
        left, right = (other, self) if reflected else (self, other)
        if isinstance(other, np.floating | float):
            return _with_float(operation, left, right)
        result = _whole(operation, left, right)
        keeps = isinstance(left, Unsigned) if shift else isinstance(other, Unsigned)
        return unsigned(result) if keeps else integer(result)

    return method


def _unsigned_comparison(name: str) -> Callable[[Any, Any], bool]:
    operation = getattr(operator, name)

    def method(self: Unsigned, other: Any) -> bool:
        return bool(operation(int(self), other if isinstance(other, np.floating | float) else int(other)))

    return method


def _unsigned_division(self: Unsigned, other: Any) -> Any:
    if isinstance(other, BFloat16):
        return NotImplemented
    return _with_float(operator.truediv, self, other) if isinstance(other, np.floating) else np.float64(self) / other


def _unsigned_division_of(self: Unsigned, other: Any) -> Any:
    return _with_float(operator.truediv, other, self) if isinstance(other, np.floating) else other / np.float64(self)


_ROUNDING: Final = frozenset({"add", "sub", "mul", "truediv"})


def _bfloat16_operator(name: str, *, reflected: bool) -> Callable[[Any, Any], Any]:
    operation = getattr(operator, name)

    def method(self: BFloat16, other: Any) -> Any:
        mine, small = np.float32(self), isinstance(other, BFloat16) or (not _is_float(other) and bits_of(other) == 8)
        theirs = np.float32(other) if small or bits_of(other) == 1 else other
        result = operation(theirs, mine) if reflected else operation(mine, theirs)
        return to_bfloat16(result) if small and name in _ROUNDING else result

    return method


def _is_float(value: Any) -> bool:
    return isinstance(value, np.floating | float)


for _name in ("add", "sub", "mul", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift"):
    _stem = _name.rstrip("_")
    for _reflected in (False, True):
        _method = f"__{'r' if _reflected else ''}{_stem}__"
        setattr(Unsigned, _method, _unsigned_operator(_name, reflected=_reflected, shift=_name in {"lshift", "rshift"}))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Unsigned, f"__{_name}__", _unsigned_comparison(_name))
Unsigned.__truediv__ = _unsigned_division  # type: ignore[assignment,method-assign]
Unsigned.__rtruediv__ = _unsigned_division_of  # type: ignore[assignment,method-assign]
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    for _reflected in (False, True):
        setattr(BFloat16, f"__{'r' if _reflected else ''}{_name}__", _bfloat16_operator(_name, reflected=_reflected))


class Cast:
    """A Numba type as kernels use it: called, it converts a number; passed, it is an array's element type."""

    def __init__(self, name: str, convert: Callable[[Any], Any]) -> None:
        #: The element type, by the SDK's name.
        self.name = name
        self._convert = convert

    def __call__(self, value: Any) -> Any:
        return self._convert(value)

    def __repr__(self) -> str:
        return self.name


def _to_integer(bits: int, *, signed: bool) -> Callable[[Any], Any]:
    half, mask = 1 << (bits - 1), (1 << bits) - 1

    def convert(value: Any) -> Any:
        try:
            number = int(value)  # towards zero
        except (ValueError, OverflowError):  # not a number, or infinite: whatever the device makes of it
            number = half
        if not signed:
            return unsigned(number, bits)
        wrapped = ((number + half) & mask) - half
        return Int32(wrapped) if bits == 32 else np.int64(wrapped)

    return convert


#: By the names of Numba's types.
CASTS: Final[Mapping[str, Cast]] = {
    "boolean": Cast("bool", bool),
    "bool_": Cast("bool", bool),
    "float16": Cast("float16", np.float16),
    "float32": Cast("float32", np.float32),
    "float64": Cast("float64", np.float64),
    "bfloat16": Cast("bfloat16", to_bfloat16),
    **{f"int{bits}": Cast(f"int{bits}", _to_integer(bits, signed=True)) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": Cast(f"uint{bits}", _to_integer(bits, signed=False)) for bits in (8, 16, 32, 64)},
    "intp": Cast("int64", _to_integer(64, signed=True)),
    "uintp": Cast("uint64", _to_integer(64, signed=False)),
    "intc": Cast("int32", _to_integer(32, signed=True)),
    "uintc": Cast("uint32", _to_integer(32, signed=False)),
}
