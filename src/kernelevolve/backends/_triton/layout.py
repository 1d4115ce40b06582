"""The parameters of a compiled entry in order, as sessions pass them; checked against what the binary declares."""

from __future__ import annotations

__all__ = ["layout_of"]

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kernelevolve.backends._triton.resources import BinaryParameter
from kernelevolve.backends._triton.signature import EntrySignature
from kernelevolve.outcome import ToolchainError

#: What Triton appends to every kernel, in this order: memory its own passes asked for, per block.
_SCRATCH: Final = ("global", "profile")
_POINTER: Final = BinaryParameter(pointer=True, size=8)


def layout_of(
    signature: EntrySignature, metadata: Mapping[str, Any], declared: Sequence[BinaryParameter]
) -> list[dict[str, Any]]:
    """The layout of one entry. Raises `ToolchainError` where the binary declares other parameters."""
    layout: list[dict[str, Any]] = []
    expected: list[BinaryParameter] = []
    for name in signature.arguments:
        kind = signature.types[name]
        if kind.startswith("*"):
            layout.append({"kind": "pointer", "of": name})
            expected.append(_POINTER)
        else:
            layout.append({"kind": "scalar", "of": name, "type": kind})
            expected.append(BinaryParameter(pointer=False, size=int(kind.lstrip("iufp")) // 8))
    for which in _SCRATCH:
        layout.append(
            {
                "kind": "scratch",
                "bytes_per_block": int(metadata.get(f"{which}_scratch_size") or 0),
                "align": int(metadata.get(f"{which}_scratch_align") or 1),
            }
        )
        expected.append(_POINTER)
    if list(declared) != expected:
        raise ToolchainError(
            f"{signature.name}: the binary declares {_described(declared)}; {_described(expected)} would be passed",
            log="",
        )
    return layout


def _described(parameters: Sequence[BinaryParameter]) -> str:
    return ", ".join("pointer" if one.pointer else f"{8 * one.size} bits" for one in parameters) or "no parameters"
