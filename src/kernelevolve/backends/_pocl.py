"""One mend for PoCL: name the processor that its LLVM does not know.

PoCL 3.0, the newest that comes as a wheel, bundles LLVM 14. On processors younger than that (AMD Zen 4 and 5, recent
Intel) LLVM answers "generic", and clang then refuses every build: ``error: unknown target CPU 'generic'``. PoCL has no
setting for it; the name is the field ``llvm_cpu`` of its device record, right behind ``llvm_target_triplet``.
`name_processor` finds the two by their contents and replaces exactly that wrong word, in this process only. Nothing is
touched where the pair is not found, hence not on other platforms, other releases, or processors that LLVM knows.
"""

from __future__ import annotations

__all__ = ["name_processor", "processor_for"]

import ctypes
import struct
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

#: How far into the device record to look (bytes); in PoCL 3.0 the pair stands at 632 and 640.
_SEARCH: Final = 4096
_WORD: Final = 8
#: Strings handed to PoCL must outlive it, so they are never collected.
_kept: list[Any] = []

#: The newest LLVM 14 name whose instructions the processor has, best first. On a Zen 5 the first was 3 times as fast as
#: ``x86-64-v4`` and ``znver3`` on a softmax with scalar `exp`: its tuning lets LLVM use 512-bit vectors.
_NAMES: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    ("skylake-avx512", frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "clwb"})),
    ("haswell", frozenset({"avx2", "fma", "f16c", "bmi1", "bmi2"})),
    ("sandybridge", frozenset({"avx", "sse4_2"})),
    ("x86-64", frozenset()),
)


def processor_for(flags: Iterable[str]) -> str:
    """The LLVM name for a processor with these ``/proc/cpuinfo`` flags."""
    present = frozenset(flags)
    return next(name for name, needed in _NAMES if needed <= present)


def name_processor(device_pointer: int) -> str | None:
    """Replace an unknown processor name in PoCL's record of one device; the new name, or None where nothing was wrong.

    `device_pointer` is the address behind a ``cl_device_id``.
    """
    if not sys.platform.startswith("linux"):
        return None
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        offset = _find(device_pointer, _reader(memory))
    if offset is None:
        return None
    name = processor_for(_flags())
    kept = ctypes.create_string_buffer(name.encode())
    _kept.append(kept)
    ctypes.c_uint64.from_address(device_pointer + offset).value = ctypes.addressof(kept)
    return name


def _reader(memory: Any) -> Callable[[int, int], bytes]:
    def read(address: int, size: int) -> bytes:
        try:
            memory.seek(address)
            return bytes(memory.read(size))
        except (OSError, ValueError, OverflowError):  # not an address: the word was no pointer
            return b""

    return read


def _find(record: int, read: Callable[[int, int], bytes]) -> int | None:
    words = read(record, _SEARCH)
    for offset in range(0, len(words) - 2 * _WORD + 1, _WORD):
        triple, cpu = struct.unpack_from("<QQ", words, offset)
        if read(cpu, 8) == b"generic\0" and read(triple, 7) == b"x86_64-":
            return offset + _WORD
    return None


@lru_cache(maxsize=1)
def _flags() -> frozenset[str]:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
