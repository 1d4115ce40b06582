"""Accelerator ``triton-rocm``: Triton for AMD GPUs, compiled on any Linux host, checked there in an interpreter.

Every setting that changes results is pinned here; none is left to Triton's defaults, which change between versions.
"""

from __future__ import annotations

__all__ = ["TritonROCm"]

import re
from collections.abc import Mapping, Sequence

from kernelevolve.accelerator import Device, Target
from kernelevolve.backends._gpu.devices import devices
from kernelevolve.backends._gpu.hip import HipDriver
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.backends._triton.base import TritonAccelerator
from kernelevolve.backends._triton.compiling import Compiled
from kernelevolve.backends._triton.fitting import Block, occupancy_of
from kernelevolve.backends._triton.resources import BinaryParameter, amd_parameters, amd_resources


class TritonROCm(TritonAccelerator):
    """The `kernelevolve.accelerator.Accelerator` for Triton on AMD GPUs."""

    name = "triton-rocm"
    platform = "hip"
    # Compute units from AMD's data sheets; pairs of them where HIP counts those (RDNA).
    chips = {  # noqa: RUF012  # a table, read only
        "gfx90a": ("Instinct MI250X, one of its two dies", 110),
        "gfx942": ("Instinct MI300X", 304),
        "gfx950": ("Instinct MI355X", 256),
        "gfx1100": ("Radeon RX 7900 XTX", 48),
        "gfx1201": ("Radeon RX 9070 XT", 32),
    }
    usual = "gfx942"
    launch_options = frozenset({"num_warps", "num_stages", "num_ctas", "waves_per_eu", "matrix_instr_nonkdim", "kpack"})
    numerics = {  # noqa: RUF012  # a table, read only
        # a * b + c in one rounding, as PyTorch's compiler, hipcc and Triton up to 3.9 have it
        "enable_fp_fusion": True,
        "default_dot_input_precision": "ieee",
        # float32 results keep subnormal numbers
        "allow_flush_denorm": False,
        "sanitize_overflow": False,
        "debug": False,
        "instrumentation_mode": "",
    }
    binary = "hsaco"
    short_pointers = True
    variables = re.compile(
        r"HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|HSA_OVERRIDE_GFX_VERSION|ROCM_PATH|HIP_PATH"
        r"|LD_LIBRARY_PATH|TRITON_(?:LIBHIP|AMD_CODEGEN|HIP_LLD)_PATH"
    )

    def missing_driver(self) -> str | None:
        """Whether the HIP runtime is there."""
        return HipDriver.missing()

    def real_devices(self) -> Sequence[Device]:
        """The GPUs that the runtime lists."""
        return devices(HipDriver(), self.name)

    def open_real(self, device: Device) -> GpuSession:
        """Open a GPU through the runtime."""
        return GpuSession(device, HipDriver())

    def inspect(self, compiled: Compiled) -> tuple[dict[str, int], list[BinaryParameter]]:
        """All from the code object's metadata."""
        assembly = compiled.stages["amdgcn"].decode()
        return amd_resources(assembly), amd_parameters(assembly)

    def judge(self, entry: str, compiled: Compiled, used: Mapping[str, int], target: Target) -> dict[str, int]:
        """Whether a workgroup fits, and how many do."""
        block = Block.of(compiled, static=used["static_local_bytes"], registers=used["vgprs"], scalars=used["sgprs"])
        return occupancy_of(entry, block, target)
