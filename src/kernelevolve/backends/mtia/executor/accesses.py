"""Loads, stores, atomic operations and tensor descriptors of one batch of programs."""

from __future__ import annotations

__all__ = ["Accesses", "Where"]

from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from attrs import frozen

from kernelevolve.backends.mtia.executor.memory import Rows, Space, Stray
from kernelevolve.backends.mtia.executor.races import Clash, Tracker
from kernelevolve.backends.mtia.executor.recording import Recorder
from kernelevolve.backends.mtia.executor.values import (
    Array,
    Value,
    dense,
    from_storage,
    rounded,
    storage,
    storage_bytes,
    storage_type,
    unsigned,
)
from kernelevolve.backends.mtia.trace import Finding, FindingKind
from kernelevolve.outcome import DeviceFault, OutOfBounds

#: A float's atomic operations are those of the values, an integer's may be unsigned.
_ATOMIC: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "add": np.add,
    "fadd": np.add,
    "max": np.maximum,
    "min": np.minimum,
    "umax": lambda a, b: np.maximum(unsigned(a), unsigned(b)).view(a.dtype),
    "umin": lambda a, b: np.minimum(unsigned(a), unsigned(b)).view(a.dtype),
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda _a, b: b,
}


@frozen
class Where:
    """What an access belongs to."""

    op: int
    line: int
    #: Linear numbers of the programs of the batch.
    programs: Array


class Accesses:
    """The memory side of a launch."""

    def __init__(
        self,
        space: Space,
        recorder: Recorder,
        grid: tuple[int, int, int],
        *,
        races: bool,
        stored: Container[str] = (),
    ) -> None:
        """With `races`, look for them; `stored` are the buffers that the kernel may store to."""
        self._space, self._recorder, self._grid = space, recorder, grid
        self._trackers = [
            Tracker(memory.payload, loads=name in stored) if races else None
            for name, memory in zip(space.names, space.buffers, strict=True)
        ]

    def coordinates(self, program: int) -> tuple[int, int, int]:
        """The program id that a linear number stands for."""
        x, y, _ = self._grid
        return program % x, program // x % y, program // (x * y)

    def load(self, where: Where, pointer: Value, mask: Array | None, other: Value | None, dtype: str) -> Array:
        """What memory holds; `other`, or 0, where `mask` is false."""
        if mask is not None and mask.all():
            mask = None
        size = storage_bytes(dtype)
        result: Array | None = None
        for rows, lanes in self._resolve(where, pointer, mask, size, "load"):
            values = self._guarded(where, "load", partial(self._space.gather, rows, lanes, dtype))
            self._poisoned(where, rows, lanes, size)
            tracker = self._trackers[rows.buffer]
            if tracker is not None and tracker.loads:
                first, nbytes, owners, several = self._space.touched(rows, lanes, size, len(where.programs))
                clash = tracker.load(first, nbytes, size, where.programs[owners], several)
                self._race(where, rows.buffer, clash)
            self._recorder.access(where.op, size, where.programs, rows, lanes)
            result = values if result is None or lanes is None else np.where(lanes, values, result)
        if result is None:  # every lane is masked off
            shape = np.broadcast_shapes(dense(pointer).shape, mask.shape if mask is not None else ())
            result = from_storage(np.zeros(shape, storage_type(dtype)), dtype)
        if mask is None:
            return result
        filling = result.dtype.type(0) if other is None else dense(other)
        return np.where(mask, result, filling)

    def store(self, where: Where, pointer: Value, value: Value, mask: Array | None, dtype: str) -> None:
        """Write; of two programs that write one address the later one wins, and is found."""
        if mask is not None and mask.all():
            mask = None
        size, data = storage_bytes(dtype), storage(dense(value), dtype)
        for rows, lanes in self._resolve(where, pointer, mask, size, "store"):
            pieces = partial(self._space.pieces, rows, lanes, data, dtype)
            first, contents, owners = self._guarded(where, "store", pieces)
            tracker = self._trackers[rows.buffer]
            if tracker is not None:
                clash = tracker.before(first * size, where.programs[owners], contents)
                self._race(where, rows.buffer, clash)
            self._space.write(rows.buffer, dtype, first, contents)
            self._recorder.access(where.op, size, where.programs, rows, lanes)

    def atomic(
        self, where: Where, operation: str, pointer: Value, value: Value, mask: Array | None, dtype: str, *, used: bool
    ) -> Array:
        """Read, modify, write, in the order of the programs and of their lanes. The result is what was there before."""
        combine = _ATOMIC[operation]
        additive = operation in ("add", "fadd") and not used

        def change(old: Array, new: Array) -> Array:
            return combine(old, new)

        return self._atomic(where, pointer, (value,), mask, dtype, change, additive=additive)

    def compare_and_swap(self, where: Where, pointer: Value, expected: Value, value: Value, dtype: str) -> Array:
        """Replace what equals `expected`; the result is what was there before."""

        def change(old: Array, wanted: Array, new: Array) -> Array:
            return np.where(storage(old, dtype) == storage(wanted, dtype), new, old)

        return self._atomic(where, pointer, (expected, value), None, dtype, change, additive=False)

    def _atomic(
        self,
        where: Where,
        pointer: Value,
        values: Sequence[Value],
        mask: Array | None,
        dtype: str,
        change: Callable[..., Array],
        *,
        additive: bool,
    ) -> Array:
        size, count = storage_bytes(dtype), len(where.programs)
        addresses = dense(pointer)
        arrays = [dense(value) for value in values]
        shape = np.broadcast_shapes(
            addresses.shape, *(array.shape for array in arrays), () if mask is None else mask.shape
        )
        shape = (count, *shape[1:])
        active = np.broadcast_to(np.True_ if mask is None else mask, shape)
        result: Array | None = None
        for rows, lanes in self._resolve(where, np.broadcast_to(addresses, shape), active, size, "atomic operation"):
            view = self._space.view(rows.buffer, dtype)
            here = np.broadcast_to(lanes if lanes is not None else np.True_, shape)
            self._guarded(where, "atomic operation", partial(self._space.check, rows, here, len(view), size))
            index = rows.restore(rows.flat_start[..., None] + np.arange(rows.length))[here]
            given = [np.broadcast_to(array, shape)[here] for array in arrays]
            old = _in_order(view, index, given, dtype, change, additive=additive)
            self._space.write(rows.buffer, dtype, index, view[index][:, None])
            tracker = self._trackers[rows.buffer]
            if tracker is not None:
                tracker.share(np.unique(index) * size, size)
            self._recorder.access(where.op, size, where.programs, rows, here)
            result = np.zeros(shape, old.dtype) if result is None else result
            result[here] = old
        return np.zeros(shape, arrays[-1].dtype) if result is None else result

    # --- findings and failures

    def _resolve(
        self, where: Where, pointer: Value, mask: Array | None, size: int, what: str
    ) -> list[tuple[Rows, Array | None]]:
        return self._guarded(where, what, lambda: list(self._space.resolve(pointer, mask, size)))  # type: ignore[no-any-return]

    def _guarded(self, where: Where, what: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Stray as stray:
            program = int(where.programs[stray.position[0] if len(where.programs) > 1 else 0])
            raise self._outcome(stray, what, where.line, self.coordinates(program)) from None

    def _outcome(self, stray: Stray, what: str, line: int, program: tuple[int, int, int]) -> Exception:
        place = f"line {line}, program {program}" if line else f"program {program}"
        if stray.buffer is None:
            return OutOfBounds(
                f"{place}: a {what} at address {stray.offset:#x}, which belongs to no buffer",
                buffer=None, side="unknown", offset=None, workload=None,
            )  # fmt: skip
        name, nbytes = self._space.names[stray.buffer], self._space.buffers[stray.buffer].payload.nbytes
        if stray.misaligned:
            text = f"{place}: a {what} at byte {stray.offset} of {name!r}, which is no multiple of the element's size"
            return DeviceFault(text, signal="MISALIGNED")
        side = "front" if stray.offset < 0 else "back"
        position = f"{-stray.offset} bytes before its start"
        if side == "back":
            position = f"at byte {stray.offset}, and it has {nbytes}"
        return OutOfBounds(
            f"{place}: a {what} outside buffer {name!r}: {position}",
            buffer=name, side=side, offset=stray.offset, workload=None,
        )  # fmt: skip

    def _race(self, where: Where, buffer: int, clash: Clash | None) -> None:
        if clash is not None:
            other = None if clash.other is None else self.coordinates(clash.other)
            kind = FindingKind.RACE if clash.both_stored else FindingKind.ORDER
            program, name = self.coordinates(clash.program), self._space.names[buffer]
            self._recorder.finding(Finding(kind, name, clash.offset, where.line, program, other))

    def _poisoned(self, where: Where, rows: Rows, mask: Array | None, size: int) -> None:
        found = self._space.unwritten(rows, mask, size)
        if found is not None:
            offset, position = found
            program = int(where.programs[position[0] if len(where.programs) > 1 else 0])
            name = self._space.names[rows.buffer]
            self._recorder.finding(Finding(FindingKind.POISON, name, offset, where.line, self.coordinates(program)))


def _in_order(
    view: Array, index: Array, values: Sequence[Array], dtype: str, change: Callable[..., Array], *, additive: bool
) -> Array:
    """Change ``view[index]`` one lane after the other; what each lane found."""
    if additive and dtype in ("i32", "i64", "fp32", "fp64"):  # nobody asks what was there
        np.add.at(view, index, values[0].astype(view.dtype))
        return values[0]
    found = np.zeros(len(index), values[-1].dtype)
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    fresh = np.ones(len(index), np.bool_)
    fresh[1:] = ordered[1:] != ordered[:-1]
    group = np.cumsum(fresh) - 1
    turn = np.arange(len(index)) - np.flatnonzero(fresh)[group] if len(index) else np.zeros(0, np.int64)
    by_turn = order[np.argsort(turn, kind="stable")]
    ends = np.cumsum(np.bincount(turn)) if len(turn) else np.zeros(0, np.int64)
    begin = 0
    for end in ends:  # the first lane at every address, then the second…
        lanes = by_turn[begin:end]
        begin = end
        old = from_storage(view[index[lanes]], dtype)
        found[lanes] = old
        new = change(old, *(value[lanes] for value in values))
        view[index[lanes]] = storage(rounded(new, dtype) if dtype[0] in "fb" else new, dtype)
    return found
