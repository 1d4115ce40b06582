"""What a compiled entry uses and how it is called, read from the binary's own records.

NVIDIA: registers, spills and stack are ptxas' account (``ptxas -v``), parameters the PTX's ``.param`` list. AMD: all
from the code object's metadata ("Code Object V5 Metadata" in LLVM's AMDGPU usage guide), a text in the assembly.
"""

from __future__ import annotations

__all__ = ["BinaryParameter", "amd_parameters", "amd_resources", "cuda_parameters", "cuda_resources"]

import re
from typing import Final

from attrs import frozen

from kernelevolve.outcome import ToolchainError

_FUNCTION: Final = re.compile(
    r"Function properties for (?P<name>\S+)\s+(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads"
)
_REGISTERS: Final = re.compile(r"Used (\d+) registers")
_STATIC_SHARED: Final = re.compile(r"(\d+) bytes smem")
_PARAM: Final = re.compile(r"\.param (?:\.align \d+ )?\.(?P<type>[a-z]\d+)(?P<pointer> \.ptr)?")
_METADATA: Final = re.compile(r"\.amdgpu_metadata\n(.*?)\.end_amdgpu_metadata", re.DOTALL)
_ARGUMENT: Final = re.compile(r"\.offset:\s+\d+\s+\.size:\s+(?P<size>\d+)\s+\.value_kind:\s+(?P<kind>\w+)")


@frozen
class BinaryParameter:
    """One parameter as the binary declares it."""

    pointer: bool
    #: Bytes.
    size: int


def cuda_resources(log: str, symbol: str) -> dict[str, int]:
    """Registers and bytes of spills per thread, stack per thread and static shared memory per block."""
    functions = {match["name"]: match for match in _FUNCTION.finditer(log)}
    registers = _REGISTERS.search(log)
    if symbol not in functions or not registers:
        raise ToolchainError(f"ptxas does not say what {symbol} uses", log=log[:8000])
    static = _STATIC_SHARED.search(log)
    return {
        "registers": int(registers[1]),
        "spill_store_bytes": sum(int(match["stores"]) for match in functions.values()),
        "spill_load_bytes": sum(int(match["loads"]) for match in functions.values()),
        "private_bytes": int(functions[symbol]["stack"]),
        "static_local_bytes": int(static[1]) if static else 0,
    }


def cuda_parameters(ptx: str, symbol: str) -> list[BinaryParameter]:
    """The entry's parameters in order."""
    match = re.search(rf"\.entry {re.escape(symbol)}\s*\((.*?)\n\)", ptx, re.DOTALL)
    if not match:
        raise ToolchainError(f"the PTX has no entry {symbol}", log=ptx[:2000])
    found = _PARAM.finditer(match[1])
    return [BinaryParameter(bool(one["pointer"]), int(one["type"][1:]) // 8) for one in found]


def amd_resources(assembly: str) -> dict[str, int]:
    """Registers and spilled registers per wavefront's lane, scratch per lane and static LDS per group."""
    metadata = _metadata(assembly)

    def number(name: str) -> int:
        match = re.search(rf"\.{name}:\s+(\d+)", metadata)
        return int(match[1]) if match else 0

    return {
        "vgprs": number("vgpr_count"),
        "agprs": number("agpr_count"),
        "sgprs": number("sgpr_count"),
        "vgpr_spills": number("vgpr_spill_count"),
        "sgpr_spills": number("sgpr_spill_count"),
        "private_bytes": number("private_segment_fixed_size"),
        "static_local_bytes": number("group_segment_fixed_size"),
    }


def amd_parameters(assembly: str) -> list[BinaryParameter]:
    """The kernel's explicit parameters in order; hidden ones are the runtime's to fill."""
    found = _ARGUMENT.finditer(_metadata(assembly))
    return [
        BinaryParameter(one["kind"] == "global_buffer", int(one["size"]))
        for one in found
        if not one["kind"].startswith("hidden_")
    ]


def _metadata(assembly: str) -> str:
    match = _METADATA.search(assembly)
    if not match:
        raise ToolchainError("the assembly carries no code object metadata", log=assembly[-2000:])
    return match[1]
