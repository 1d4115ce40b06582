"""Device memory of the emulator's session: a payload between two guard zones, and a name for its contents."""

from __future__ import annotations

__all__ = ["EmulatedBuffer"]

import hashlib
import itertools
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kernelevolve.accelerator import BufferSpec
from kernelevolve.backends.mtia.executor import Memory
from kernelevolve.outcome import OutOfMemory

Array = npt.NDArray[Any]

#: Of a payload's first byte, as device allocators give it.
_ALIGNMENT: Final = 256
_SERIAL: Final = itertools.count()


class EmulatedBuffer:
    """One allocation.

    `contents` names what the payload holds: equal names mean equal bytes. Uploads are named by their digest, fills by
    their pattern, results by what they were computed from (`kernelevolve.backends.mtia.launching`).
    """

    def __init__(self, spec: BufferSpec) -> None:
        total = spec.nbytes + 2 * spec.guard
        try:
            raw = np.empty(total + _ALIGNMENT, np.uint8)
        except MemoryError:
            raise OutOfMemory(f"the host has no {total} bytes left", needed=total, limit=None) from None
        skip = -(raw.ctypes.data + spec.guard) % _ALIGNMENT
        self.spec = spec
        self.alive = True
        self.whole: Array = raw[skip : skip + total]
        self.memory = Memory(self.whole[spec.guard : spec.guard + spec.nbytes])
        self.contents = ""
        self.forget()

    @property
    def payload(self) -> Array:
        """The bytes between the guard zones."""
        return self.memory.payload

    def forget(self) -> None:
        """The contents are like nothing before."""
        self.contents = f"unknown {next(_SERIAL)}"

    def fill(self, pattern: int, *, guards: bool) -> None:
        """Set every byte; what a kernel reads of it from now on was never written."""
        (self.whole if guards else self.payload)[:] = pattern
        self.memory.written = None
        self.contents = f"fill {pattern}"

    def upload(self, data: memoryview) -> None:
        """Copy to the payload. Raises ValueError where `data` has another size."""
        if data.nbytes != self.spec.nbytes:
            raise ValueError(f"{data.nbytes} bytes for a buffer of {self.spec.nbytes}")
        flat = data.cast("B")
        self.payload[:] = np.frombuffer(flat, np.uint8)
        self.memory.written = None
        self.contents = f"data {hashlib.sha256(flat).hexdigest()}"

    @property
    def filled(self) -> bool:
        """Whether the payload holds a pattern and nothing else."""
        return self.contents.startswith("fill ")
