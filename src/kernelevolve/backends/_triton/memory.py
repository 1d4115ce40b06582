"""Memory of the interpreted device: made-up addresses, so that every access can be judged before it happens.

Each buffer lies in a window of addresses of its own, far from all others. A pointer that leaves its buffer can neither
reach another one nor the process's own memory: it is found, whatever it points at.
"""

from __future__ import annotations

__all__ = ["InterpretedBuffer", "Memory", "StrayAccess"]

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kernelevolve.accelerator import BufferSpec
from kernelevolve.backends._triton.races import Tracker
from kernelevolve.outcome import OutOfMemory

Array = npt.NDArray[Any]

#: Log2 of a window's size in bytes; a payload starts in the middle of its window. Leaves 2^24 windows.
_WINDOW: Final = 40
_HALF: Final = 1 << (_WINDOW - 1)
#: Bytes of a launch's buffers up to which races are looked for: it takes eight times as many.
_MOST_TRACKED: Final = 128 << 20
#: What `numpy.empty` promises nothing about: alignment of a payload, as GPU allocators give it.
_ALIGNMENT: Final = 256


class StrayAccess(Exception):
    """A kernel touched an address outside the buffers it was given. Not yet an outcome: the line is not known here."""

    def __init__(self, what: str, buffer: str | None, side: str, offset: int | None, nbytes: int | None) -> None:
        self.what, self.buffer, self.side, self.offset, self.nbytes = what, buffer, side, offset, nbytes
        super().__init__(what)

    @property
    def sentence(self) -> str:
        """What happened, without the line."""
        if self.buffer is None:
            return f"a {self.what} at an address that belongs to no buffer"
        assert self.offset is not None
        assert self.nbytes is not None
        where = f"{-self.offset} bytes before its start"
        if self.side == "back":
            where = f"at byte {self.offset}, and it has {self.nbytes}"
        return f"a {self.what} outside buffer {self.buffer!r}: {where}"


class InterpretedBuffer:
    """Front guard, payload and back guard in one array; kernels know the payload by a made-up address."""

    def __init__(self, spec: BufferSpec, window: int) -> None:
        total = spec.nbytes + 2 * spec.guard
        try:
            raw = np.empty(total + _ALIGNMENT, np.uint8)
        except MemoryError:
            raise OutOfMemory(f"the host has no {total} bytes left", needed=total, limit=None) from None
        skip = -(raw.ctypes.data + spec.guard) % _ALIGNMENT
        self.spec = spec
        self.whole: Array = raw[skip : skip + total]
        self.payload: Array = self.whole[spec.guard : spec.guard + spec.nbytes]
        #: What kernels get as the pointer.
        self.address = (window << _WINDOW) + _HALF


class Memory:
    """The buffers of one session, by window; those that the running launch may see, by name; who touched what."""

    def __init__(self) -> None:
        self._buffers: dict[int, InterpretedBuffer] = {}
        self._next = 1
        self._visible: dict[int, str] = {}
        self._trackers: dict[int, Tracker] = {}
        #: The number of the program that runs.
        self.program = 0

    def allocate(self, spec: BufferSpec) -> InterpretedBuffer:
        """A buffer in a window that was never used before. Contents are noise."""
        window, self._next = self._next, self._next + 1
        buffer = InterpretedBuffer(spec, window)
        self._buffers[window] = buffer
        return buffer

    def free(self, buffer: InterpretedBuffer) -> None:
        """Give the memory back; its addresses stay invalid for ever."""
        self._buffers.pop(buffer.address >> _WINDOW, None)

    def expose(self, buffers: Mapping[str, InterpretedBuffer], *, track: bool) -> None:
        """Let the next launch see these, and nothing else; with `track`, find races between its programs."""
        self._visible = {buffer.address >> _WINDOW: name for name, buffer in buffers.items()}
        small = sum(buffer.spec.nbytes for buffer in buffers.values()) <= _MOST_TRACKED
        chosen = buffers if track and small else {}
        self._trackers = {one.address >> _WINDOW: Tracker(name, one.payload) for name, one in chosen.items()}

    def stored(self, addresses: Array, mask: Array, values: Array) -> None:
        """Look at what the store that was just done left. Raises `RaceFound`."""
        active = np.broadcast_to(np.asarray(mask, bool), addresses.shape)
        windows = addresses >> np.uint64(_WINDOW)
        for window, tracker in self._trackers.items():
            here = active & (windows == np.uint64(window))
            if here.any():
                offsets = (addresses[here] - np.uint64(self._buffers[window].address)).view(np.int64)
                tracker.stored(offsets, np.broadcast_to(values, addresses.shape)[here])

    def locate(self, addresses: Array, mask: Array, itemsize: int, what: str, values: Array | None = None) -> Array:
        """The real addresses of active lanes (`mask`), and 0 for the others.

        `addresses` are unsigned 64-bit, `itemsize` is the size of the elements in bytes; `values` are what a store is
        about to write. Raises `StrayAccess` for the first stray, or `RaceFound`.
        """
        active = np.broadcast_to(np.asarray(mask, bool), addresses.shape)
        real = np.zeros(addresses.shape, np.uint64)
        windows = addresses >> np.uint64(_WINDOW)
        used = windows[active]
        alone = used.size and (used == used[0]).all()  # nearly always: one load reads one buffer
        for window in used[:1] if alone else np.unique(used):
            here = active if alone else active & (windows == window)
            buffer, name = self._buffers.get(int(window)), self._visible.get(int(window))
            if buffer is None or name is None:
                raise StrayAccess(what, None, "unknown", None, None)
            offsets = (addresses[here] - np.uint64(buffer.address)).view(np.int64)
            self._judge(offsets, itemsize, what, name, buffer)
            tracker = self._trackers.get(int(window))
            if tracker is not None and values is not None:
                tracker.store(offsets, np.broadcast_to(values, addresses.shape)[here], self.program)
            elif tracker is not None:
                tracker.load(offsets, itemsize, self.program)
            real[here] = offsets.view(np.uint64) + np.uint64(buffer.payload.ctypes.data)
        return real

    @staticmethod
    def _judge(offsets: Array, itemsize: int, what: str, name: str, buffer: InterpretedBuffer) -> None:
        nbytes = buffer.spec.nbytes
        stray = (offsets < 0) | (offsets > nbytes - itemsize)
        if stray.any():
            offset = int(offsets[stray][0])
            raise StrayAccess(what, name, "front" if offset < 0 else "back", offset, nbytes)
