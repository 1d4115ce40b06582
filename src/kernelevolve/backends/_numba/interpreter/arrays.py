"""Arrays of the interpreted device: every access judged, by element and by thread.

An index outside the shape is an error, and so is a negative one that a kernel computed: compiled, it would wrap to the
array's end, which nobody means but by a literal (``x[-1]``). Where threads could disturb each other, `watching` is told
of every access.
"""

from __future__ import annotations

__all__ = ["Array", "OutsideError", "array", "storage_type"]

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kernelevolve.backends._numba.interpreter.scalars import BFloat16, Int32, integer, to_bfloat16, unsigned
from kernelevolve.backends._numba.interpreter.watching import Watch

#: NumPy's type for the bytes of each element type; bfloat16 is kept as its bits.
_STORAGE: Final[Mapping[str, str]] = {"bfloat16": "uint16", "bool": "bool"}


def storage_type(dtype: str) -> np.dtype[Any]:
    """The NumPy type whose bytes are those of `dtype`."""
    return np.dtype(_STORAGE.get(dtype, dtype))


class OutsideError(Exception):
    """An access outside an array."""

    def __init__(self, array: str, index: tuple[int, ...], shape: tuple[int, ...], what: str, hint: str = "") -> None:
        self.array, self.index, self.what = array, index, what
        inner = ", ".join(map(str, index))
        self.sentence = f"a {what} of {array}[{inner}], whose shape is {shape}{hint}"
        super().__init__(self.sentence)


Load = Callable[[npt.NDArray[Any], int], Any]
Store = Callable[[Any], Any]

_LOADS: Final[Mapping[str, Load]] = {
    "float64": lambda flat, at: flat[at],
    "float32": lambda flat, at: flat[at],
    "float16": lambda flat, at: flat[at],
    "int64": lambda flat, at: flat[at],
    "bool": lambda flat, at: flat.item(at),
    "bfloat16": lambda flat, at: BFloat16(np.uint32(flat.item(at) << 16).view(np.float32)),
    "int32": lambda flat, at: Int32(flat.item(at)),
    "int16": lambda flat, at: np.int64(flat.item(at)),
    "int8": lambda flat, at: np.int64(flat.item(at)),
    "uint8": lambda flat, at: unsigned(flat.item(at), 8),
    "uint16": lambda flat, at: unsigned(flat.item(at), 16),
    "uint32": lambda flat, at: unsigned(flat.item(at), 32),
    "uint64": lambda flat, at: unsigned(flat.item(at), 64),
}


def _to_whole(bits: int, *, signed: bool) -> Store:
    half, mask = 1 << (bits - 1), (1 << bits) - 1

    def convert(value: Any) -> int:
        try:
            number = int(value)  # towards zero
        except (ValueError, OverflowError):  # not a number, or infinite: whatever the device makes of it
            number = half
        return ((number + half) & mask) - half if signed else number & mask

    return convert


_STORES: Final[Mapping[str, Store]] = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bool": bool,
    "bfloat16": lambda value: int(to_bfloat16(value).view(np.uint32)) >> 16,
    **{f"int{bits}": _to_whole(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": _to_whole(bits, signed=False) for bits in (8, 16, 32, 64)},
}


class Array:
    """An array in C order, or a part of one, as kernels use it."""

    __slots__ = ("_extents", "_flat", "_load", "_start", "_store", "_strides", "_watch", "dtype", "name")

    def __init__(
        self,
        name: str,
        dtype: str,
        flat: npt.NDArray[Any],
        extents: tuple[int, ...],
        watch: Watch | None,
        *,
        start: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.name = name
        self.dtype = dtype
        self._flat = flat
        self._extents = extents
        self._watch = watch
        self._start = start
        self._strides = strides or tuple(math.prod(extents[axis + 1 :]) for axis in range(len(extents)))
        self._load, self._store = _LOADS[dtype], _STORES[dtype]

    @property
    def shape(self) -> tuple[Any, ...]:
        """Extents, as kernels compute with them."""
        return tuple(map(np.int64, self._extents))

    @property
    def size(self) -> Any:
        """The number of elements."""
        return np.int64(math.prod(self._extents))

    @property
    def ndim(self) -> Any:
        """The number of dimensions."""
        return np.int64(len(self._extents))

    @property
    def itemsize(self) -> Any:
        """Bytes of one element."""
        return np.int64(self._flat.itemsize)

    @property
    def strides(self) -> tuple[Any, ...]:
        """In bytes."""
        return tuple(np.int64(stride * self._flat.itemsize) for stride in self._strides)

    def __len__(self) -> int:
        return self._extents[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self._extents[0]))

    def __getitem__(self, index: Any) -> Any:
        at = self.locate(index, "read")
        if at.__class__ is not int:
            return at
        if self._watch is not None:
            self._watch.read(at)
        return self._load(self._flat, at)

    def __setitem__(self, index: Any, value: Any) -> None:
        at = self.locate(index, "write")
        if at.__class__ is not int:
            self._fill(at, value)
            return
        stored = self._store(value)
        if self._watch is not None:
            self._watch.write(at, same=bool(self._flat[at] == stored))
        self._flat[at] = stored

    def _fill(self, part: Array, value: Any) -> None:
        for indices in np.ndindex(*part.extents):
            part[indices] = value[indices if part.ndim > 1 else indices[0]] if isinstance(value, Array) else value

    @property
    def extents(self) -> tuple[int, ...]:
        """The shape in plain numbers."""
        return self._extents

    def peek(self, at: int) -> Any:
        """An element by its place, unwatched: for atomics, which order themselves."""
        return self._load(self._flat, at)

    def poke(self, at: int, value: Any) -> None:
        """Write an element by its place, unwatched."""
        self._flat[at] = self._store(value)

    def locate(self, index: Any, what: str) -> Any:
        """Where an element stands in memory, or the part that the index selects. Raises `OutsideError`."""
        indices = index if index.__class__ is tuple else (index,)
        if len(indices) != len(self._extents):
            return self._part(indices, what)
        at = self._start
        try:
            for one, extent, stride in zip(indices, self._extents, self._strides, strict=True):
                place = one.__index__()
                if not 0 <= place < extent:
                    place = self._wrapped(one, place, extent, indices, what)
                at += place * stride
        except AttributeError:  # a slice or an ellipsis
            return self._part(indices, what)
        return at

    def _wrapped(self, one: Any, place: int, extent: int, indices: tuple[Any, ...], what: str) -> int:
        """A literal such as -1 counts from the end. Plain integers of Python are literals here: see `rewriting`."""
        if one.__class__ is int and -extent <= place < 0:
            return place + extent
        hint = "; a negative index wraps in a compiled kernel, count from the front instead" if place < 0 else ""
        plain = tuple(int(index) for index in indices if not isinstance(index, slice))
        raise OutsideError(self.name, plain, self._extents, what, hint)

    def _part(self, indices: tuple[Any, ...], what: str) -> Array:
        if Ellipsis in [one for one in indices if one is Ellipsis]:
            at = next(place for place, one in enumerate(indices) if one is Ellipsis)
            missing = len(self._extents) - len(indices) + 1
            indices = (*indices[:at], *[slice(None)] * missing, *indices[at + 1 :])
        if len(indices) > len(self._extents):
            raise IndexError(f"{len(indices)} indices for {self.name}, which has {len(self._extents)} dimensions")
        indices = (*indices, *[slice(None)] * (len(self._extents) - len(indices)))
        start, extents, strides = self._start, [], []
        for one, extent, stride in zip(indices, self._extents, self._strides, strict=True):
            if isinstance(one, slice):
                places = range(extent)[_plain(one)]
                start += (places.start if len(places) else 0) * stride
                extents.append(len(places))
                strides.append(stride * places.step)
            else:
                place = one.__index__()
                if not 0 <= place < extent:
                    place = self._wrapped(one, place, extent, indices, what)
                start += place * stride
        return Array(
            self.name, self.dtype, self._flat, tuple(extents), self._watch, start=start, strides=tuple(strides)
        )


class Line(Array):
    """An array of one dimension without gaps: the same, faster."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        try:
            at = index.__index__()
        except AttributeError:  # a slice or a tuple
            return super().__getitem__(index)
        if not 0 <= at < self._extents[0]:
            at = self._wrapped(index, at, self._extents[0], (index,), "read")
        if self._watch is not None:
            self._watch.read(at)
        return self._load(self._flat, at)


def array(name: str, dtype: str, flat: npt.NDArray[Any], extents: tuple[int, ...], watch: Watch | None) -> Array:
    """An array over `flat`, the elements in C order; `watch` None: accesses are not remembered."""
    return (Line if len(extents) == 1 else Array)(name, dtype, flat, extents, watch)


def _plain(part: slice) -> slice:
    bounds = (None if bound is None else int(integer(int(bound))) for bound in (part.start, part.stop, part.step))
    return slice(*bounds)
