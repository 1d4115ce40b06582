"""Device memory of the emulator: buffers at addresses far from each other, every access checked.

The address of a buffer's first byte is in the middle of a window of 2^40 addresses: a pointer that leaves its buffer,
by less than half of that, is still known as that buffer's. Accesses are resolved to rows: runs of neighbouring elements
along one axis of a tile, so that the usual tile is moved row by row and not element by element.
"""

from __future__ import annotations

__all__ = ["Memory", "Rows", "Space", "Stray", "address_of"]

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from attrs import define, field, frozen

from kernelevolve.backends.mtia.executor.values import NUMPY, Array, Sum, Value, from_storage, parts, storage_type

_WINDOW: Final = 40
_HALF: Final = 1 << (_WINDOW - 1)
#: Elements of the largest buffer whose values are kept beside what it stores.
_MOST_VALUES: Final = 1 << 24


@define(eq=False)
class Memory:
    """One buffer: the bytes of its payload, and which of them were ever written where somebody wants to know."""

    payload: Array
    written: Array | None = field(default=None)

    @classmethod
    def unwritten(cls, payload: Array) -> Memory:
        """A buffer whose contents mean nothing until they are written (scratch): reads of the rest are found."""
        return cls(payload, np.zeros(payload.nbytes, np.bool_))


@frozen(eq=False)
class Rows:
    """The elements of one access: `length` neighbours along `axis` from each start, or single ones (`axis` None).

    `start` are element numbers in the buffer, shaped like the tile (programs in front) with the extent 1 on `axis`.
    """

    buffer: int
    start: Array
    axis: int | None
    length: int

    def flat(self, lanes: Array) -> Array:
        """`lanes` (shaped like the tile) with the rows' axis last; one of extent 1 is added where there is none."""
        return lanes[..., None] if self.axis is None else np.moveaxis(lanes, self.axis, -1)

    def restore(self, lanes: Array) -> Array:
        """The inverse of `flat`."""
        return lanes[..., 0] if self.axis is None else np.moveaxis(lanes, -1, self.axis)

    @property
    def flat_start(self) -> Array:
        """The starts without the rows' axis."""
        return self.start if self.axis is None else self.start.squeeze(self.axis)


class Stray(Exception):
    """An access outside of a buffer, or not at a multiple of its size. No outcome yet: the line is not known here."""

    def __init__(self, buffer: int | None, offset: int, position: tuple[int, ...], *, misaligned: bool = False) -> None:
        #: Byte from the payload's start; where no buffer is meant, the address.
        self.buffer, self.offset = buffer, offset
        #: Index of the lane: program of the batch, then of the tile.
        self.position, self.misaligned = position, misaligned
        super().__init__(buffer, offset)


def address_of(buffer: int) -> int:
    """Address of the first byte of buffer number `buffer`."""
    return ((buffer + 1) << _WINDOW) + _HALF


class Space:
    """The buffers of one launch, by number."""

    def __init__(self, buffers: Mapping[str, Memory]) -> None:
        self.names = tuple(buffers)
        self.buffers = tuple(buffers.values())
        self.view = cache(self._view)
        self._loaded: Counter[tuple[int, str]] = Counter()
        self._values: dict[tuple[int, str], Array] = {}

    def _view(self, buffer: int, dtype: str) -> Array:
        """The elements of a buffer as `dtype` is stored; a rest of bytes belongs to none."""
        payload, kind = self.buffers[buffer].payload, storage_type(dtype)
        return payload[: payload.nbytes // kind.itemsize * kind.itemsize].view(kind)

    def resolve(self, pointer: Value, mask: Array | None, size: int) -> Iterator[tuple[Rows, Array | None]]:
        """The rows that `pointer` names, with the mask of each; nearly always one, of one buffer.

        Raises `Stray` for active lanes that point to no buffer or between elements of `size` bytes.
        """
        axis, length, start = _contiguous(parts(pointer), size)
        low, high = int(start.min()) >> _WINDOW, int(start.max()) >> _WINDOW
        if low == high and 1 <= low <= len(self.buffers):
            yield self._rows(low - 1, start, axis, length, mask, size), mask
            return
        # Pointers into several buffers, or masked lanes with addresses of no meaning: buffer by buffer.
        windows = start >> _WINDOW
        shape = np.broadcast_shapes(start.shape, (1,) * start.ndim if mask is None else mask.shape)
        active = np.broadcast_to(np.True_ if mask is None else mask, np.broadcast_shapes(shape, start.shape))
        here = np.broadcast_to(windows, active.shape)
        for window in np.unique(here[active]):
            lanes = active & (here == window)
            if not 1 <= window <= len(self.buffers):
                position = tuple(int(one) for one in np.argwhere(lanes)[0])
                address = int(np.broadcast_to(start, active.shape)[position])
                raise Stray(None, address, position)
            inside = np.where(windows == window, start, address_of(int(window) - 1))
            yield self._rows(int(window) - 1, inside, axis, length, lanes, size), lanes

    def _rows(self, buffer: int, start: Array, axis: int | None, length: int, mask: Array | None, size: int) -> Rows:
        offset = start - address_of(buffer)
        if size == 1:
            return Rows(buffer, offset, axis, length)
        odd = (offset & (size - 1)) != 0
        if odd.any():
            bad = odd if mask is None else odd & mask
            if bad.any():
                position = tuple(int(one) for one in np.argwhere(bad)[0])
                where = int(np.broadcast_to(offset, bad.shape)[position])
                raise Stray(buffer, where, position, misaligned=True)
        return Rows(buffer, offset >> (size.bit_length() - 1), axis, length)

    def check(self, rows: Rows, mask: Array | None, count: int, size: int) -> Array | None:
        """Raise `Stray` for the first active lane outside of the `count` elements.

        The result says which rows are not inside as a whole; None if all are.
        """
        start = rows.flat_start
        low, high = int(start.min()), int(start.max())
        if low >= 0 and high + rows.length <= count:
            return None
        outside = (start < 0) | (start + rows.length > count)
        active = None if mask is None else rows.flat(mask)
        shape = start.shape if active is None else np.broadcast_shapes(start.shape, active.shape[:-1])
        where = np.broadcast_to(outside, shape)
        index = np.broadcast_to(start, shape)[where][:, None] + np.arange(rows.length)
        bad = (index < 0) | (index >= count)
        if active is not None:
            bad &= np.broadcast_to(active, (*shape, rows.length))[where]
        if bad.any():
            row, lane = (int(one) for one in np.argwhere(bad)[0])
            raise Stray(rows.buffer, int(index[row, lane]) * size, tuple(int(one) for one in np.argwhere(where)[row]))
        return outside

    def gather(self, rows: Rows, mask: Array | None, dtype: str) -> Array:
        """The values that memory holds, shaped like the tile; lanes without meaning (masked off) hold anything."""
        view = self.view(rows.buffer, dtype)
        outside = self.check(rows, mask, len(view), view.itemsize)
        values = self._known_values(rows, view, dtype)
        if values is None:
            return from_storage(_taken(view, rows, outside), dtype)
        return _taken(values, rows, outside)

    def _known_values(self, rows: Rows, view: Array, dtype: str) -> Array | None:
        """All of a buffer's values, once as many were loaded as it has elements: tiles of a product are loaded again
        and again, and converting each time takes as long as moving them. None where that does not pay, or not yet.
        """
        key = (rows.buffer, dtype)
        if key not in self._values:
            if view.dtype == NUMPY[dtype] or len(view) > _MOST_VALUES:
                return None
            self._loaded[key] += rows.start.size * rows.length
            if self._loaded[key] < len(view):
                return None
            self._values[key] = from_storage(view, dtype)
        return self._values[key]

    def pieces(self, rows: Rows, mask: Array | None, data: Array, dtype: str) -> tuple[Array, Array, Array]:
        """What to store, in the order of the programs: pieces of neighbouring elements.

        The result is the first element of each piece, its contents (a row each, as memory holds them), and the place of
        its program in the batch. Raises `Stray`.
        """
        view = self.view(rows.buffer, dtype)
        self.check(rows, mask, len(view), view.itemsize)
        start, lanes = rows.flat_start, rows.flat(data)
        active = None if mask is None else rows.flat(mask)
        shape = np.broadcast_shapes(start.shape, lanes.shape[:-1], () if active is None else active.shape[:-1])
        full = (*shape, rows.length)
        start, lanes = np.broadcast_to(start, shape), np.broadcast_to(lanes, full)
        programs = np.broadcast_to(np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1)), shape)
        if active is None or active.all():
            return start.reshape(-1), lanes.reshape(-1, rows.length), programs.reshape(-1)
        box = _box(np.broadcast_to(active, (*active.shape[:-1], rows.length)))
        if box is not None:  # the usual mask: some rows, and of each the same stretch
            some, low, high = box
            kept = np.broadcast_to(some, shape)
            return start[kept] + low, lanes[..., low:high][kept], programs[kept]
        lit: Array = np.broadcast_to(active, full)
        index: Array = (start[..., None] + np.arange(rows.length))[lit]
        return index, lanes[lit][:, None], np.broadcast_to(programs[..., None], full)[lit]

    def touched(self, rows: Rows, mask: Array | None, size: int, programs: int) -> tuple[Array, int, Array, Array]:
        """What a load reads: first bytes and bytes of its pieces, the place of a program that reads each in the batch
        of `programs`, and whether others read it too.
        """
        start = rows.flat_start
        if mask is None:
            shape, index, nbytes = start.shape, start, rows.length * size
            lit: Any = np.ones(shape, np.bool_)
        else:
            active = rows.flat(mask)
            shape = (*np.broadcast_shapes(start.shape, active.shape[:-1]), rows.length)
            index, nbytes, lit = start[..., None] + np.arange(rows.length), size, np.broadcast_to(active, shape)
        places = np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
        owners = np.broadcast_to(places, shape)[lit]
        return np.broadcast_to(index, shape)[lit] * size, nbytes, owners, np.full(len(owners), shape[0] < programs)

    def write(self, buffer: int, dtype: str, index: Array, data: Array) -> None:
        """Put rows of `data` at the elements from each `index` on."""
        view, length = self.view(buffer, dtype), data.shape[-1]
        if not len(index):
            return
        for key in [one for one in self._values if one[0] == buffer]:
            del self._values[key], self._loaded[key]
        if length == 1:
            view[index] = data[:, 0]
        else:
            _windows(view, length, writeable=True)[index] = data
        written = self.buffers[buffer].written
        if written is not None:
            size = view.itemsize
            _windows(written, length * size, writeable=True)[index * size] = True

    def unwritten(self, rows: Rows, mask: Array | None, size: int) -> tuple[int, tuple[int, ...]] | None:
        """Byte and lane of the first active element that was never written; None where all were."""
        written = self.buffers[rows.buffer].written
        if written is None:
            return None
        index = rows.restore(rows.flat_start[..., None] + np.arange(rows.length))
        count = written.nbytes // size
        flags = written[: count * size].view(f"u{size}")
        fresh = flags[index.clip(0, count - 1)] != int("01" * size, 16)
        bad = fresh if mask is None else fresh & mask
        if not bad.any():
            return None
        position = tuple(int(one) for one in np.argwhere(bad)[0])
        return int(np.broadcast_to(index, bad.shape)[position]) * size, position


def _taken(view: Array, rows: Rows, outside: Array | None) -> Array:
    """The elements of `rows`, shaped like the tile; some element instead of those that are `outside`."""
    count, start = len(view), rows.flat_start
    if outside is None:
        if rows.axis is None:
            return view.take(start)
        return rows.restore(_windows(view, rows.length)[start])
    if count == 0:
        return rows.restore(np.zeros((*start.shape, rows.length), view.dtype))
    if rows.axis is None:
        return view.take(start.clip(0, count - 1))
    if count < rows.length:
        return rows.restore(view[(start[..., None] + np.arange(rows.length)).clip(0, count - 1)])
    data = _windows(view, rows.length)[start.clip(0, count - rows.length)]
    data[outside] = view[(start[outside][:, None] + np.arange(rows.length)).clip(0, count - 1)]
    return rows.restore(data)


def _contiguous(address: Sum, size: int) -> tuple[int | None, int, Array]:
    """The axis along which addresses are neighbours, its extent, and the address of each row's first element."""
    rank = len(address.shape)
    for axis in range(rank - 1, 0, -1):
        along = [term for term in address.terms if term.shape[axis] > 1]
        if len(along) != 1 or along[0].size != along[0].shape[axis]:
            continue
        steps = along[0].reshape(-1)
        if (np.diff(steps) == size).all():
            rest = [term for term in address.terms if term is not along[0]]
            start = sum(rest[1:], rest[0]) if rest else np.zeros((1,) * rank, np.int64)
            return axis, len(steps), np.asarray(start + steps[0])
    return None, 1, address.dense()


def _box(active: Array) -> tuple[Array, int, int] | None:
    """Which rows of a mask have active lanes, and from where to where, if that is the same for all of them."""
    some = np.asarray(active.any(axis=-1))
    common = np.asarray(active.any(axis=tuple(range(active.ndim - 1))))
    lit = np.flatnonzero(common)
    if not len(lit) or lit[-1] - lit[0] + 1 != len(lit) or not (active == (some[..., None] & common)).all():
        return None
    return some, int(lit[0]), int(lit[-1]) + 1


def _windows(view: Array, length: int, *, writeable: bool = False) -> Array:
    """Row `i` is ``view[i : i + length]``."""
    step = view.strides[0]
    return np.lib.stride_tricks.as_strided(view, (len(view) - length + 1, length), (step, step), writeable=writeable)
