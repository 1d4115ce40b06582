"""Names in CUDA's driver API: device attributes, and errors by what they mean to a session."""

from __future__ import annotations

__all__ = ["ATTRIBUTES", "KINDS"]

from collections.abc import Mapping
from typing import Final

from kernelevolve.backends._gpu.driver import Attribute, ErrorKind

#: ``CU_DEVICE_ATTRIBUTE_…``
ATTRIBUTES: Final[Mapping[Attribute, str]] = {
    Attribute.UNITS: "MULTIPROCESSOR_COUNT",
    Attribute.WARP_SIZE: "WARP_SIZE",
    Attribute.MAX_THREADS_PER_BLOCK: "MAX_THREADS_PER_BLOCK",
    Attribute.MAX_BLOCK_X: "MAX_BLOCK_DIM_X",
    Attribute.MAX_BLOCK_Y: "MAX_BLOCK_DIM_Y",
    Attribute.MAX_BLOCK_Z: "MAX_BLOCK_DIM_Z",
    Attribute.MAX_GRID_X: "MAX_GRID_DIM_X",
    Attribute.MAX_GRID_Y: "MAX_GRID_DIM_Y",
    Attribute.MAX_GRID_Z: "MAX_GRID_DIM_Z",
    Attribute.SHARED_PER_BLOCK: "MAX_SHARED_MEMORY_PER_BLOCK",
    Attribute.SHARED_PER_BLOCK_OPTIN: "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN",
    Attribute.REGISTERS_PER_BLOCK: "MAX_REGISTERS_PER_BLOCK",
    Attribute.CACHE: "L2_CACHE_SIZE",
    Attribute.CLOCK: "CLOCK_RATE",
    Attribute.MEMORY_CLOCK: "MEMORY_CLOCK_RATE",
    Attribute.MEMORY_BUS: "GLOBAL_MEMORY_BUS_WIDTH",
    Attribute.ECC: "ECC_ENABLED",
    Attribute.COOPERATIVE: "COOPERATIVE_LAUNCH",
}
#: ``CUDA_ERROR_…`` whose meaning a session must know; `CUresult` in cuda.h describes each, and says which of them leave
#: the process in an inconsistent state.
KINDS: Final[Mapping[str, ErrorKind]] = {
    "OUT_OF_MEMORY": ErrorKind.MEMORY,
    **dict.fromkeys(
        (
            "ILLEGAL_ADDRESS",
            "LAUNCH_TIMEOUT",
            "ASSERT",
            "HARDWARE_STACK_ERROR",
            "ILLEGAL_INSTRUCTION",
            "MISALIGNED_ADDRESS",
            "INVALID_ADDRESS_SPACE",
            "INVALID_PC",
            "LAUNCH_FAILED",
            "TENSOR_MEMORY_LEAK",
            "ECC_UNCORRECTABLE",
            "NVLINK_UNCORRECTABLE",
            "CONTAINED",
            "EXTERNAL_DEVICE",
            "MPS_CLIENT_TERMINATED",
            "CONTEXT_IS_DESTROYED",
            "UNKNOWN",
        ),
        ErrorKind.FAULT,
    ),
    **dict.fromkeys(
        ("NO_DEVICE", "DEVICE_UNAVAILABLE", "DEINITIALIZED", "DEVICE_NOT_LICENSED", "SYSTEM_NOT_READY"), ErrorKind.LOST
    ),
    **dict.fromkeys(
        (
            "INVALID_IMAGE",
            "NO_BINARY_FOR_GPU",
            "INVALID_PTX",
            "UNSUPPORTED_PTX_VERSION",
            "JIT_COMPILER_NOT_FOUND",
            "JIT_COMPILATION_DISABLED",
            "INVALID_SOURCE",
            "SHARED_OBJECT_INIT_FAILED",
        ),
        ErrorKind.IMAGE,
    ),
    **dict.fromkeys(("NOT_SUPPORTED", "UNSUPPORTED_LIMIT", "CALL_REQUIRES_NEWER_DRIVER"), ErrorKind.UNSUPPORTED),
}
