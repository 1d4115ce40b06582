"""Device memory of the reference accelerator: one byte array per buffer, payload between two guard zones."""

from __future__ import annotations

__all__ = ["ContractError", "ReferenceBuffer", "require"]

import random
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelevolve.accelerator import BufferSpec

Array = npt.NDArray[Any]


class ContractError(AssertionError):
    """The caller broke the accelerator contract: the core is wrong, and not the candidate."""


def require(condition: object, message: str) -> None:
    """Raise `ContractError` with `message` unless `condition` holds."""
    if not condition:
        raise ContractError(message)


class ReferenceBuffer:
    """One allocation. Contents start as noise, so that nobody relies on zeros."""

    def __init__(self, spec: BufferSpec, owner: object, serial: int) -> None:
        require(spec.nbytes > 0 and spec.guard >= 0, f"a buffer of {spec.nbytes} bytes with guards of {spec.guard}")
        self.spec = spec
        self.owner = owner
        self.name = f"buffer {serial}"
        self.alive = True
        self.bytes = bytearray(random.Random(serial).randbytes(spec.nbytes + 2 * spec.guard))  # noise

    @property
    def payload(self) -> memoryview:
        """The bytes between the guard zones."""
        return memoryview(self.bytes)[self.spec.guard : self.spec.guard + self.spec.nbytes]

    def array(self, dtype: str) -> Array:
        """The payload as a flat, writable array."""
        return np.frombuffer(self.payload, dtype=np.dtype(dtype))

    def cell(self, array: Array, index: int) -> Array | None:
        """The element `index` places from the start of `array` (one of this buffer), as an array of one.

        It may lie in a guard zone; None where it lies outside the allocation, or where `array` is not of this buffer.
        """
        base = np.frombuffer(self.bytes, dtype=np.uint8).ctypes.data
        offset = array.ctypes.data - base
        if not 0 <= offset < len(self.bytes):
            return None
        offset += index * array.itemsize
        if not 0 <= offset <= len(self.bytes) - array.itemsize:
            return None
        return np.frombuffer(self.bytes, dtype=array.dtype, count=1, offset=offset)
