"""Accelerator ``triton-cuda``: Triton for NVIDIA GPUs, compiled on any Linux host, checked there in an interpreter.

Every setting that changes results is pinned here; none is left to Triton's defaults, which change between versions.
"""

from __future__ import annotations

__all__ = ["TritonCUDA"]

import re
from collections.abc import Mapping, Sequence

from kernelevolve.accelerator import Device, Target
from kernelevolve.backends._gpu.cuda import CudaDriver
from kernelevolve.backends._gpu.devices import devices
from kernelevolve.backends._gpu.session import GpuSession
from kernelevolve.backends._triton.base import TritonAccelerator
from kernelevolve.backends._triton.compiling import Compiled
from kernelevolve.backends._triton.fitting import Block, occupancy_of
from kernelevolve.backends._triton.resources import BinaryParameter, cuda_parameters, cuda_resources
from kernelevolve.outcome import ResourceExceeded

#: Columns of tensor memory that a block of sm_100 has ("PTX ISA", Tensor Memory).
_TENSOR_COLUMNS = 512


class TritonCUDA(TritonAccelerator):
    """The `kernelevolve.accelerator.Accelerator` for Triton on NVIDIA GPUs."""

    name = "triton-cuda"
    platform = "cuda"
    chips = {  # noqa: RUF012  # a table, read only; multiprocessors from NVIDIA's data sheets
        "sm_80": ("A100 SXM", 108),
        "sm_86": ("GeForce RTX 3090", 82),
        "sm_89": ("GeForce RTX 4090", 128),
        "sm_90": ("H100 SXM", 132),
        "sm_100": ("B200", 148),
        "sm_120": ("GeForce RTX 5090", 170),
    }
    usual = "sm_90"
    launch_options = frozenset({"num_warps", "num_stages", "num_ctas", "maxnreg"})
    numerics = {  # noqa: RUF012  # a table, read only
        # a * b + c in one rounding, as PyTorch's compiler, nvcc and Triton up to 3.9 have it
        "enable_fp_fusion": True,
        # what tl.dot of float32 means where a kernel does not say: TF32
        "default_dot_input_precision": "tf32",
        # libdevice flushes subnormal numbers
        "enable_reflect_ftz": True,
        "sanitize_overflow": False,
        "debug": False,
        "instrumentation_mode": "",
        "ptx_options": "",
    }
    binary = "cubin"
    short_pointers = False
    variables = re.compile(
        r"CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|CUDA_HOME|CUDA_PATH|LD_LIBRARY_PATH"
        r"|TRITON_(?:PTXAS|PTXAS_BLACKWELL|LIBDEVICE|LIBCUDA)_PATH"
    )

    def missing_driver(self) -> str | None:
        """Whether `cuda-bindings` and NVIDIA's driver are there."""
        return CudaDriver.missing()

    def real_devices(self) -> Sequence[Device]:
        """The GPUs that the driver lists."""
        return devices(CudaDriver(), self.name)

    def open_real(self, device: Device) -> GpuSession:
        """Open a GPU through the driver."""
        return GpuSession(device, CudaDriver())

    def inspect(self, compiled: Compiled) -> tuple[dict[str, int], list[BinaryParameter]]:
        """What ptxas says, and the PTX's parameters."""
        symbol = compiled.metadata["name"]
        return cuda_resources(compiled.log, symbol), cuda_parameters(compiled.stages["ptx"].decode(), symbol)

    def judge(self, entry: str, compiled: Compiled, used: Mapping[str, int], target: Target) -> dict[str, int]:
        """Whether a block fits, and how many do."""
        columns = int(compiled.metadata.get("tmem_size") or 0)
        if columns > _TENSOR_COLUMNS:
            message = f"{entry} needs {columns} columns of tensor memory; a block has {_TENSOR_COLUMNS}"
            raise ResourceExceeded(message, resource="tensor memory", needed=columns, limit=_TENSOR_COLUMNS)
        block = Block.of(compiled, static=used["static_local_bytes"], registers=used["registers"])
        return occupancy_of(entry, block, target) | ({"tensor_memory_columns": columns} if columns else {})
