"""Kernel parameters in memory as drivers want them: an array of pointers, each to one value.

Made once per call and never touched again, so that a launch handles no Python values.
"""

from __future__ import annotations

__all__ = ["FORMATS", "PackedArguments", "pack"]

import ctypes
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from kernelevolve.outcome import LaunchError

#: `struct` format of each parameter type, little endian.
FORMATS: Final[Mapping[str, str]] = {
    "pointer": "<Q",
    "i8": "<b",
    "i16": "<h",
    "i32": "<i",
    "i64": "<q",
    "u8": "<B",
    "u16": "<H",
    "u32": "<I",
    "u64": "<Q",
    "fp16": "<e",
    "fp32": "<f",
    "fp64": "<d",
}
#: Each value starts at a multiple of this, which suits every type.
_SLOT: Final = 8


class PackedArguments:
    """Values and the pointers to them. Keeps both alive; drivers read them at each launch."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._storage = ctypes.create_string_buffer(max(1, len(values)) * _SLOT)
        base = ctypes.addressof(self._storage)
        self._pointers = (ctypes.c_void_p * max(1, len(values)))()
        for index, value in enumerate(values):
            ctypes.memmove(base + index * _SLOT, value, len(value))
            self._pointers[index] = base + index * _SLOT
        #: Of the array of pointers.
        self.address = ctypes.addressof(self._pointers)
        self.count = len(values)


def pack(parameters: Sequence[tuple[str, str, int | float]]) -> PackedArguments:
    """Pack ``(name, type, value)`` in the order of the kernel's parameters.

    Raises `LaunchError` for a value that its type cannot hold.
    """
    return PackedArguments([_encode(name, kind, value) for name, kind, value in parameters])


def _encode(name: str, kind: str, value: float) -> bytes:
    try:
        return struct.pack(FORMATS[kind], value)
    except (struct.error, OverflowError):
        message = f"parameter {name!r} is of type {kind}, which cannot hold {value}"
        raise LaunchError(message, code="INVALID_ARG_VALUE") from None
