"""MLIR's printed types as `Type`."""

from __future__ import annotations

__all__ = ["read_type"]

import re
from typing import Final

from kernelevolve.backends.mtia.program import Kind, Type

#: MLIR's names of the element types, and Triton's.
_FLOATS: Final = {
    "f16": "fp16",
    "bf16": "bf16",
    "f32": "fp32",
    "f64": "fp64",
    "f8E4M3FN": "fp8e4nv",
    "f8E5M2": "fp8e5",
}
_INTEGER: Final = re.compile(r"[us]?i(1|8|16|32|64)")
_TENSOR: Final = re.compile(r"tensor<((?:\d+x)*)(.+)>")
_POINTER: Final = re.compile(r"!tt\.ptr<(.+?)(?:, ?\d+)?>")
_DESCRIPTOR: Final = re.compile(r"!tt\.tensordesc<(.+)>")
_BLOCK: Final = re.compile(r"((?:\d+x)*)([^,>]+)(?:,.*)?")


def read_type(text: str) -> Type:
    """The type that MLIR prints as `text`. Raises ValueError for one that programs do not have."""
    tensor = _TENSOR.fullmatch(text)
    if tensor:
        element = read_type(tensor[2])
        if element.kind not in (Kind.INTEGER, Kind.FLOAT, Kind.POINTER):
            raise ValueError(f"the type {text} is not supported")
        return Type(element.kind, element.dtype, _sizes(tensor[1]))
    pointer = _POINTER.fullmatch(text)
    if pointer:
        pointee = _TENSOR.fullmatch(pointer[1])
        if pointee:
            return Type(Kind.BLOCK_POINTER, _element(pointee[2]), (), _sizes(pointee[1]))
        return Type(Kind.POINTER, _element(pointer[1]))
    descriptor = _DESCRIPTOR.fullmatch(text)
    if descriptor:
        inner = _TENSOR.fullmatch(descriptor[1])  # Triton 3.6 writes the block as a tensor, 3.9 does not
        block = _BLOCK.fullmatch(inner[1] + inner[2] if inner else descriptor[1])
        assert block is not None
        return Type(Kind.DESCRIPTOR, _element(block[2]), (), _sizes(block[1]))
    if text == "!ttg.async.token":
        return Type(Kind.TOKEN, "i1")
    dtype = _element(text)
    return Type(Kind.INTEGER if dtype.startswith("i") else Kind.FLOAT, dtype)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x") if size)


def _element(text: str) -> str:
    integer = _INTEGER.fullmatch(text)
    if integer:
        return f"i{integer[1]}"
    if text.startswith("!tt.ptr<"):
        return "i64"  # a pointer in memory is an address
    if text not in _FLOATS:
        raise ValueError(f"the type {text} is not supported")
    return _FLOATS[text]
