"""NVIDIA's driver through the package `cuda-bindings` (12.x and 13.x). Nothing is imported before it is used."""

from __future__ import annotations

__all__ = ["CudaDriver"]

import ctypes
import importlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from kernelevolve.backends._gpu.cuda_names import ATTRIBUTES, KINDS
from kernelevolve.backends._gpu.driver import Attribute, DriverError, ErrorKind, Flag, FunctionAttributes, LaunchShape
from kernelevolve.backends._gpu.ptx import BLOCKING_KERNEL, BLOCKING_SYMBOL, needed_cuda

_LIBRARY: Final = "libcuda.so.1"
_KERNEL_MODULE: Final = Path("/proc/driver/nvidia/version")
#: Blocks per cluster that every device with clusters takes (CUDA programming guide, "Thread Block Clusters").
_PORTABLE_CLUSTER: Final = 8


class CudaDriver:
    """The `kernelevolve.backends._gpu.driver.GpuDriver` for NVIDIA."""

    platform = "cuda"
    binary = "cubin"

    def __init__(self) -> None:
        self._index = -1
        self._persists = False

    @staticmethod
    def missing() -> str | None:
        """What keeps this driver from working here, and what to install; None where nothing does. Starts nothing."""
        try:
            found = version("cuda-bindings")
        except PackageNotFoundError:
            return "the package cuda-bindings is not installed; pip install cuda-bindings"
        if int(found.partition(".")[0]) < 12:
            return f"cuda-bindings {found} is too old; pip install 'cuda-bindings>=12.8'"
        try:
            ctypes.CDLL(_LIBRARY)
        except OSError:
            return (
                f"no NVIDIA driver was found ({_LIBRARY}); install one (580 or newer for binaries made by CUDA 13, 525 "
                "or newer for CUDA 12), or mount the host's into the container"
            )
        return None

    @cached_property
    def _api(self) -> Any:
        api = importlib.import_module("cuda.bindings.driver")
        (code,) = api.cuInit(0)
        if code != api.CUresult.CUDA_SUCCESS:
            raise _error("cuInit", code)
        return api

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the driver; its one result, or None. Raises `DriverError`."""
        api = self._api
        code, *results = getattr(api, name)(*arguments)
        if code != api.CUresult.CUDA_SUCCESS:
            raise _error(name, code)
        return results[0] if len(results) == 1 else tuple(results) or None

    # Devices

    def versions(self) -> Mapping[str, str]:
        found = {"cuda": _dotted(self._call("cuDriverGetVersion")), "cuda-bindings": version("cuda-bindings")}
        if _KERNEL_MODULE.exists():
            match = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", _KERNEL_MODULE.read_text(encoding="utf-8"))
            found |= {"driver": match[0]} if match else {}
        return found

    def device_count(self) -> int:
        try:
            return int(self._call("cuDeviceGetCount"))
        except DriverError as error:
            if error.name == "CUDA_ERROR_NO_DEVICE":
                return 0
            raise

    def device_name(self, index: int) -> str:
        name: bytes = self._call("cuDeviceGetName", 256, self._device(index))
        return name.partition(b"\0")[0].decode()

    def architecture(self, index: int) -> str:
        major, minor = (self._raw_attribute(index, f"COMPUTE_CAPABILITY_{part}") for part in ("MAJOR", "MINOR"))
        return f"sm_{major}{minor}"

    def device_memory(self, index: int) -> int:
        return int(self._call("cuDeviceTotalMem", self._device(index)))

    def pci_address(self, index: int) -> str:
        address: bytes = self._call("cuDeviceGetPCIBusId", 32, self._device(index))
        return address.partition(b"\0")[0].decode()

    def attribute(self, index: int, attribute: Attribute) -> int | None:
        return self._raw_attribute(index, ATTRIBUTES[attribute])

    def _raw_attribute(self, index: int, name: str) -> int | None:
        which = getattr(self._api.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}", None)
        return None if which is None else int(self._call("cuDeviceGetAttribute", which, self._device(index)))

    def _device(self, index: int) -> Any:
        return self._call("cuDeviceGet", index)

    # The open device

    def open(self, index: int) -> None:
        device, flags = self._device(index), self._api.CUctx_flags
        # Spinning wakes the host soonest; local memory that only grows spares a kernel's first launch a wait.
        wanted = int(flags.CU_CTX_SCHED_SPIN) | int(flags.CU_CTX_LMEM_RESIZE_TO_MAX)
        try:
            self._call("cuDevicePrimaryCtxSetFlags", device, wanted)
        except DriverError as error:
            if error.name != "CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE":  # then somebody else in this process chose them
                raise
        context = self._call("cuDevicePrimaryCtxRetain", device)
        self._index = index
        self._call("cuCtxSetCurrent", context)
        self._persists = bool(self._raw_attribute(index, "MAX_PERSISTING_L2_CACHE_SIZE"))
        if self._persists:  # no part of the cache is set aside for lines that a kernel marks
            with suppress(DriverError):  # partitioned and shared devices refuse, and have nothing to set aside
                self._call("cuCtxSetLimit", self._api.CUlimit.CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 0)

    def close(self) -> None:
        self._call("cuDevicePrimaryCtxRelease", self._device(self._index))

    def memory_info(self) -> tuple[int, int]:
        free, total = self._call("cuMemGetInfo")
        return int(free), int(total)

    def allocate(self, nbytes: int) -> int:
        return int(self._call("cuMemAlloc", nbytes))

    def free(self, address: int) -> None:
        self._call("cuMemFree", address)

    def allocate_flag(self) -> Flag:
        api = self._api
        host = int(self._call("cuMemHostAlloc", 64, api.CU_MEMHOSTALLOC_DEVICEMAP))
        ctypes.memset(host, 0, 64)
        return Flag(host, int(self._call("cuMemHostGetDevicePointer", host, 0)))

    def free_flag(self, flag: Flag) -> None:
        self._call("cuMemFreeHost", flag.host)

    def create_stream(self) -> Any:
        return self._call("cuStreamCreate", int(self._api.CUstream_flags.CU_STREAM_NON_BLOCKING))

    def destroy_stream(self, stream: Any) -> None:
        self._call("cuStreamDestroy", stream)

    def synchronize(self, stream: Any) -> None:
        self._call("cuStreamSynchronize", stream)

    def set8(self, address: int, value: int, count: int, stream: Any) -> None:
        self._call("cuMemsetD8Async", address, value, count, stream)

    def set32(self, address: int, value: int, count: int, stream: Any) -> None:
        self._call("cuMemsetD32Async", address, value, count, stream)

    def copy_in(self, address: int, host: int, nbytes: int, stream: Any) -> None:
        self._call("cuMemcpyHtoDAsync", address, host, nbytes, stream)

    def copy_out(self, host: int, address: int, nbytes: int, stream: Any) -> None:
        self._call("cuMemcpyDtoHAsync", host, address, nbytes, stream)

    # Kernels

    def load(self, binary: bytes) -> Any:
        return self._call("cuModuleLoadData", binary)

    def unload(self, module: Any) -> None:
        self._call("cuModuleUnload", module)

    def function(self, module: Any, symbol: str) -> Any:
        found = self._call("cuModuleGetFunction", module, symbol.encode())
        if int(self._call("cuDriverGetVersion")) >= 12040:
            # Loading on first use may wait for the device, and would wait for a gate that opens after the launch.
            self._call("cuFuncLoad", found)
        return found

    def function_attributes(self, function: Any) -> FunctionAttributes:
        names = self._api.CUfunction_attribute
        registers, local, shared, threads = (
            int(self._call("cuFuncGetAttribute", getattr(names, f"CU_FUNC_ATTRIBUTE_{name}"), function))
            for name in ("NUM_REGS", "LOCAL_SIZE_BYTES", "SHARED_SIZE_BYTES", "MAX_THREADS_PER_BLOCK")
        )
        return FunctionAttributes(registers, local, shared, threads)

    def allow_shared(self, function: Any, nbytes: int) -> None:
        self._call("cuFuncSetCacheConfig", function, self._api.CUfunc_cache.CU_FUNC_CACHE_PREFER_SHARED)
        self._set(function, "MAX_DYNAMIC_SHARED_SIZE_BYTES", nbytes)

    def _set(self, function: Any, attribute: str, value: int) -> None:
        which = getattr(self._api.CUfunction_attribute, f"CU_FUNC_ATTRIBUTE_{attribute}")
        self._call("cuFuncSetAttribute", function, which, value)

    def launcher(self, function: Any, shape: LaunchShape, arguments: int, stream: Any) -> Callable[[], None]:
        api = self._api
        success = api.CUresult.CUDA_SUCCESS
        if shape.cluster is None and not shape.cooperative:
            name, enqueue = "cuLaunchKernel", api.cuLaunchKernel
            given: tuple[Any, ...] = (function, *shape.grid, *shape.block, shape.shared, stream, arguments, 0)
        else:
            name, enqueue = "cuLaunchKernelEx", api.cuLaunchKernelEx
            given = (self._configuration(function, shape, stream), function, arguments, 0)

        def launch() -> None:
            (code,) = enqueue(*given)
            if code != success:
                raise _error(name, code)

        return launch

    def _configuration(self, function: Any, shape: LaunchShape, stream: Any) -> Any:
        api, attributes = self._api, []
        config = api.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = shape.grid
        config.blockDimX, config.blockDimY, config.blockDimZ = shape.block
        config.sharedMemBytes, config.hStream = shape.shared, stream
        if shape.cluster is not None:
            x, y, z = shape.cluster
            if x * y * z > _PORTABLE_CLUSTER:
                self._set(function, "NON_PORTABLE_CLUSTER_SIZE_ALLOWED", 1)
            clusters = self._launch_attribute("CLUSTER_DIMENSION")
            clusters.value.clusterDim.x, clusters.value.clusterDim.y, clusters.value.clusterDim.z = x, y, z
            attributes.append(clusters)
        if shape.cooperative:
            together = self._launch_attribute("COOPERATIVE")
            together.value.cooperative = 1
            attributes.append(together)
        config.attrs, config.numAttrs = attributes, len(attributes)
        return config

    def _launch_attribute(self, name: str) -> Any:
        made = self._api.CUlaunchAttribute()
        made.id = getattr(self._api.CUlaunchAttributeID, f"CU_LAUNCH_ATTRIBUTE_{name}")
        return made

    # Time and graphs

    def create_event(self) -> Any:
        return self._call("cuEventCreate", int(self._api.CUevent_flags.CU_EVENT_DEFAULT))

    def destroy_event(self, event: Any) -> None:
        self._call("cuEventDestroy", event)

    def record(self, event: Any, stream: Any) -> None:
        self._call("cuEventRecord", event, stream)

    def finished(self, event: Any) -> bool:
        api = self._api
        (code,) = api.cuEventQuery(event)
        if code == api.CUresult.CUDA_ERROR_NOT_READY:
            return False
        if code != api.CUresult.CUDA_SUCCESS:
            raise _error("cuEventQuery", code)
        return True

    def elapsed(self, start: Any, end: Any) -> float:
        return float(self._call("cuEventElapsedTime", start, end)) * 1e-3

    def begin_capture(self, stream: Any) -> None:
        self._call("cuStreamBeginCapture", stream, self._api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)

    def end_capture(self, stream: Any) -> Any:
        template = self._call("cuStreamEndCapture", stream)
        try:
            graph = self._call("cuGraphInstantiate", template, 0)
        finally:
            self._call("cuGraphDestroy", template)
        self._call("cuGraphUpload", graph, stream)
        return graph

    def launch_graph(self, graph: Any, stream: Any) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        self._call("cuGraphExecDestroy", graph)

    def wait_for_flag(self, flag: Flag, stream: Any) -> None:
        geq = int(self._api.CUstreamWaitValue_flags.CU_STREAM_WAIT_VALUE_GEQ)
        self._call("cuStreamWaitValue32", stream, flag.device, 1, geq)

    def blocking_kernel(self) -> tuple[bytes, str] | None:
        return BLOCKING_KERNEL.encode() + b"\0", BLOCKING_SYMBOL

    def reset_persisting_cache(self) -> bool:
        if self._persists:
            try:
                self._call("cuCtxResetPersistingL2Cache")
            except DriverError as error:
                if error.kind is not ErrorKind.UNSUPPORTED:
                    raise
                self._persists = False
        return self._persists

    def explain_image(self, error: DriverError, architecture: str, stages: Mapping[str, bytes]) -> str:
        needed, installed = needed_cuda(stages, architecture), self.versions()
        name = f" {installed['driver']}" if "driver" in installed else ""
        wanted = f"it needs a driver for CUDA {needed} or newer" if needed else "the binary may need a newer one"
        return (
            f"the driver{name} supports CUDA {installed['cuda']} and refused a binary for {architecture} "
            f"({error.name}); {wanted}, or a toolkit no newer than the driver"
        )


def _error(call: str, code: Any) -> DriverError:
    name = str(code.name)
    return DriverError(call, int(code), name, KINDS.get(name.removeprefix("CUDA_ERROR_"), ErrorKind.OTHER))


def _dotted(number: int) -> str:
    """``13.0`` of 13000."""
    return f"{number // 1000}.{number % 1000 // 10}"
