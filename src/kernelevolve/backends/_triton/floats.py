"""Element types that NumPy lacks, as bit patterns: bfloat16, the two float8 types, and TF32's truncation.

Triton's interpreter keeps such values as unsigned integers, and computes with the integers. Here they are decoded to
float32, which holds every one of them exactly, and rounded to nearest even on the way back, as the hardware does.
"""

from __future__ import annotations

__all__ = ["SOFT", "decode", "encode", "truncate_tf32"]

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

#: Triton's names of the types that are kept as bit patterns here, with the width of a pattern in bits.
SOFT: Final = {"bf16": 16, "fp8e4nv": 8, "fp8e5": 8}
_SIGN: Final = 0x80
#: Bits of a float32 that TF32 drops: it keeps 10 of 23 fraction bits (PTX ISA, "Fundamental types: tf32").
_TF32_DROPPED: Final = 0x1FFF


def decode(bits: Array, kind: str) -> Floats:
    """The values of bit patterns of type `kind` (a key of `SOFT`)."""
    if kind == "bf16":
        return (np.asarray(bits).view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return _table(kind)[np.asarray(bits).view(np.uint8)]


def encode(values: Array, kind: str, *, toward_zero: bool = False) -> Array:
    """Bit patterns of type `kind` next to `values`: ties to even, or with `toward_zero` the next smaller magnitude.

    bfloat16 overflows to infinity; float8 saturates, as the ``cvt.satfinite`` that Triton emits for NVIDIA does.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = np.ascontiguousarray(values, dtype=np.float32)
    if kind == "bf16":
        return _encode_bf16(wanted, toward_zero=toward_zero)
    magnitudes = _magnitudes(kind)
    size = np.minimum(np.abs(wanted), magnitudes[-1])
    above = np.searchsorted(magnitudes, size)  # the smallest code whose value is not below
    exact = magnitudes[np.minimum(above, len(magnitudes) - 1)] == size
    below = np.where(exact, above, np.maximum(above, 1) - 1)
    code = below
    if not toward_zero:
        to_below, to_above = size - magnitudes[below], magnitudes[np.minimum(above, len(magnitudes) - 1)] - size
        up = (to_above < to_below) | ((to_above == to_below) & (below % 2 == 1))
        code = np.where(up & ~exact, above, below)
    code = np.where(np.isnan(wanted), 0x7F, code)
    return (code | np.where(np.signbit(wanted), _SIGN, 0)).astype(np.uint8).reshape(np.shape(values))


def truncate_tf32(values: Array) -> Floats:
    """What a tensor core sees of float32 operands at TF32: the upper 19 bits."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return (bits & np.uint32(~_TF32_DROPPED & 0xFFFFFFFF)).view(np.float32).reshape(np.shape(values))


def _encode_bf16(values: Floats, *, toward_zero: bool) -> Array:
    bits = values.view(np.uint32)
    half = np.uint32(0) if toward_zero else np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = ((bits + half) >> np.uint32(16)).astype(np.uint16)
    quiet = (bits >> np.uint32(16)).astype(np.uint16) | np.uint16(0x40)  # rounding could turn a NaN into infinity
    return np.where(np.isnan(values), quiet, rounded)


def _value(code: int, exponent_bits: int, fraction_bits: int) -> float:
    bias = (1 << (exponent_bits - 1)) - 1
    exponent, fraction = (code & 0x7F) >> fraction_bits, code & ((1 << fraction_bits) - 1)
    if exponent == 0:
        return float(fraction * 2.0 ** (1 - bias - fraction_bits))
    return float((1 + fraction / (1 << fraction_bits)) * 2.0 ** (exponent - bias))


@cache
def _magnitudes(kind: str) -> Floats:
    """The finite values of codes 0, 1, 2…: ascending, as such types order."""
    if kind == "fp8e4nv":  # OCP 8-bit floating point, E4M3: no infinity, one NaN pattern
        return np.array([_value(code, 4, 3) for code in range(0x7F)], np.float32)
    return np.array([_value(code, 5, 2) for code in range(0x7C)], np.float32)  # E5M2: infinity at 0x7C


@cache
def _table(kind: str) -> Floats:
    """The value of each of the 256 codes."""
    half = np.full(128, np.nan, np.float32)
    finite = _magnitudes(kind)
    half[: len(finite)] = finite
    if kind == "fp8e5":
        half[0x7C] = np.inf
    return np.concatenate([half, -half])
