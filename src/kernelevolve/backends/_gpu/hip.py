"""AMD's driver: HIP's runtime library, libamdhip64, through ctypes.

Written against AMD's documented API (see `hip_names`), and tested against a stand-in library that was compiled with
AMD's headers. It has not run on an AMD GPU: the project has none.
"""

from __future__ import annotations

__all__ = ["HipDriver", "find_library"]

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from ctypes import byref, c_float, c_int, c_size_t, c_void_p
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from kernelevolve.backends._gpu import hip_names as hip
from kernelevolve.backends._gpu.driver import Attribute, DriverError, ErrorKind, Flag, FunctionAttributes, LaunchShape

_NAMES: Final = ("libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so")
_ERROR_NAMES: Final = {number: f"hipError{name}" for name, number in hip.ERRORS.items()}
_SCHEDULE_SPIN: Final = 1  # hipDeviceScheduleSpin
_NON_BLOCKING: Final = 1  # hipStreamNonBlocking
_SIGNAL_MEMORY: Final = 2  # hipMallocSignalMemory
_WAIT_GEQ: Final = 0  # hipStreamWaitValueGte
_CAPTURE_THREAD_LOCAL: Final = 1  # hipStreamCaptureModeThreadLocal


def find_library() -> str | None:
    """The HIP runtime for the loader: what the system knows, ROCM_PATH or HIP_PATH, /opt/rocm, PyTorch's wheel."""
    for place in _places():
        try:
            ctypes.CDLL(place)
        except OSError:
            continue
        return place
    return None


def _places() -> Iterator[str]:
    yield from _NAMES
    roots = [Path(os.environ[name]) / "lib" for name in ("ROCM_PATH", "HIP_PATH") if os.environ.get(name)]
    roots.append(Path("/opt/rocm/lib"))
    torch = find_spec("torch")  # looked for, not imported
    roots += [Path(folder) / "lib" for folder in (torch.submodule_search_locations or ())] if torch else []
    for root in roots:
        for name in _NAMES:
            if (root / name).exists():
                yield str(root / name)


class HipDriver:
    """The `kernelevolve.backends._gpu.driver.GpuDriver` for AMD. Needs ROCm 6.0 or newer."""

    platform = "hip"
    binary = "hsaco"

    def __init__(self, library: str | None = None) -> None:
        self._path = library
        #: Binaries of loaded modules: the runtime may read them later.
        self._images: dict[int, bytes] = {}

    @staticmethod
    def missing() -> str | None:
        """What keeps this driver from working here, and what to install; None where nothing does. Starts nothing."""
        if find_library() is None:
            return (
                "no HIP runtime was found (libamdhip64.so): install ROCm 6.0 or newer, or PyTorch's ROCm wheel, or set "
                "ROCM_PATH to where ROCm is"
            )
        return None

    @cached_property
    def _library(self) -> ctypes.CDLL:
        path = self._path or find_library()
        if path is None:
            raise DriverError("loading libamdhip64", hip.ERRORS["NoDevice"], "hipErrorNoDevice", ErrorKind.LOST)
        library = ctypes.CDLL(path)
        for name, types in hip.PROTOTYPES.items():
            function = getattr(library, name, None)
            if function is not None:
                function.argtypes, function.restype = types, c_int
            elif name not in hip.OPTIONAL:
                message = f"{path} has no {name}; ROCm 6.0 or newer is needed"
                raise DriverError(message, hip.ERRORS["InsufficientDriver"], "missing", ErrorKind.UNSUPPORTED)
        code = library.hipInit(0)
        if code:
            raise _error("hipInit", code)
        return library

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise DriverError(name, hip.ERRORS["NotSupported"], "hipErrorNotSupported", ErrorKind.UNSUPPORTED)
        code = function(*arguments)
        if code:
            raise _error(name, code)

    def _made(self, name: str, *arguments: Any) -> int:
        """Call a function whose first parameter takes the handle or address that it makes."""
        made = c_void_p()
        self._call(name, byref(made), *arguments)
        return made.value or 0

    def _number(self, name: str, *arguments: Any) -> int:
        """Call a function whose first parameter takes the number that it finds."""
        number = c_int()
        self._call(name, byref(number), *arguments)
        return number.value

    def _text(self, name: str, index: int) -> str:
        text = ctypes.create_string_buffer(256)
        self._call(name, text, len(text), index)
        return text.value.decode()

    # Devices

    def versions(self) -> Mapping[str, str]:
        number = self._number("hipDriverGetVersion")  # major * 10^7 + minor * 10^5 + patch (hip_version.h)
        return {"hip": f"{number // 10**7}.{number // 10**5 % 100}.{number % 10**5}"}

    def device_count(self) -> int:
        try:
            return self._number("hipGetDeviceCount")
        except DriverError as error:
            if error.code == hip.ERRORS["NoDevice"]:
                return 0
            raise

    def device_name(self, index: int) -> str:
        return self._text("hipDeviceGetName", index)

    def architecture(self, index: int) -> str:
        properties = ctypes.create_string_buffer(2 * hip.PROPERTIES_SIZE)  # room for a runtime that appends fields
        self._call("hipGetDevicePropertiesR0600", properties, index)
        name = properties.raw[hip.ARCHITECTURE_OFFSET :].partition(b"\0")[0].decode()
        return name.partition(":")[0]  # gfx942:sramecc+:xnack-

    def device_memory(self, index: int) -> int:
        total = c_size_t()
        self._call("hipDeviceTotalMem", byref(total), index)
        return total.value

    def pci_address(self, index: int) -> str:
        return self._text("hipDeviceGetPCIBusId", index)

    def attribute(self, index: int, attribute: Attribute) -> int | None:
        if attribute is Attribute.SHARED_PER_BLOCK_OPTIN:  # all of it can be had without asking
            attribute = Attribute.SHARED_PER_BLOCK
        try:
            return self._number("hipDeviceGetAttribute", hip.ATTRIBUTES[attribute], index)
        except DriverError as error:
            if error.code == hip.ERRORS["InvalidValue"]:  # the documented answer to an attribute it does not know
                return None
            raise

    # The open device

    def open(self, index: int) -> None:
        self._call("hipSetDevice", index)
        with suppress(DriverError):  # a preference, refused where somebody else in this process was first
            self._call("hipSetDeviceFlags", _SCHEDULE_SPIN)

    def close(self) -> None:
        """Nothing to do: HIP keeps the device's context until the process ends."""

    def memory_info(self) -> tuple[int, int]:
        free, total = c_size_t(), c_size_t()
        self._call("hipMemGetInfo", byref(free), byref(total))
        return free.value, total.value

    def allocate(self, nbytes: int) -> int:
        return self._made("hipMalloc", nbytes)

    def free(self, address: int) -> None:
        self._call("hipFree", address)

    def allocate_flag(self) -> Flag:
        address = self._made("hipExtMallocWithFlags", 8, _SIGNAL_MEMORY)  # the one size that signal memory has
        ctypes.memset(address, 0, 8)
        return Flag(address, address)

    def free_flag(self, flag: Flag) -> None:
        self._call("hipFree", flag.device)

    def create_stream(self) -> Any:
        return self._made("hipStreamCreateWithFlags", _NON_BLOCKING)

    def destroy_stream(self, stream: Any) -> None:
        self._call("hipStreamDestroy", stream)

    def synchronize(self, stream: Any) -> None:
        self._call("hipStreamSynchronize", stream)

    def set8(self, address: int, value: int, count: int, stream: Any) -> None:
        self._call("hipMemsetD8Async", address, value, count, stream)

    def set32(self, address: int, value: int, count: int, stream: Any) -> None:
        self._call("hipMemsetD32Async", address, c_int(value), count, stream)

    def copy_in(self, address: int, host: int, nbytes: int, stream: Any) -> None:
        self._call("hipMemcpyHtoDAsync", address, host, nbytes, stream)

    def copy_out(self, host: int, address: int, nbytes: int, stream: Any) -> None:
        self._call("hipMemcpyDtoHAsync", host, address, nbytes, stream)

    # Kernels

    def load(self, binary: bytes) -> Any:
        module = self._made("hipModuleLoadData", binary)
        self._images[module] = binary
        return module

    def unload(self, module: Any) -> None:
        self._call("hipModuleUnload", module)
        self._images.pop(module, None)

    def function(self, module: Any, symbol: str) -> Any:
        return self._made("hipModuleGetFunction", module, symbol.encode())

    def function_attributes(self, function: Any) -> FunctionAttributes:
        return FunctionAttributes(
            *(self._number("hipFuncGetAttribute", which, function) for which in hip.FUNCTION_ATTRIBUTES)
        )

    def allow_shared(self, function: Any, nbytes: int) -> None:
        """Nothing to do: a block may have all of its compute unit's memory that HIP reports."""

    def launcher(self, function: Any, shape: LaunchShape, arguments: int, stream: Any) -> Callable[[], None]:
        if shape.cluster is not None:
            raise DriverError(
                "a launch in clusters", hip.ERRORS["NotSupported"], "hipErrorNotSupported", ErrorKind.OTHER
            )
        name = "hipModuleLaunchCooperativeKernel" if shape.cooperative else "hipModuleLaunchKernel"
        enqueue = getattr(self._library, name)
        given: tuple[Any, ...] = (function, *shape.grid, *shape.block, shape.shared, stream, arguments)
        given = given if shape.cooperative else (*given, None)

        def launch() -> None:
            code = enqueue(*given)
            if code:
                raise _error(name, code)

        return launch

    # Time and graphs

    def create_event(self) -> Any:
        return self._made("hipEventCreateWithFlags", 0)

    def destroy_event(self, event: Any) -> None:
        self._call("hipEventDestroy", event)

    def record(self, event: Any, stream: Any) -> None:
        self._call("hipEventRecord", event, stream)

    def finished(self, event: Any) -> bool:
        code = self._library.hipEventQuery(event)
        if code not in (0, hip.ERRORS["NotReady"]):
            raise _error("hipEventQuery", code)
        return bool(code == 0)

    def elapsed(self, start: Any, end: Any) -> float:
        milliseconds = c_float()
        self._call("hipEventElapsedTime", byref(milliseconds), start, end)
        return milliseconds.value * 1e-3

    def begin_capture(self, stream: Any) -> None:
        self._call("hipStreamBeginCapture", stream, _CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: Any) -> Any:
        template = c_void_p()
        self._call("hipStreamEndCapture", stream, byref(template))
        try:
            graph = self._made("hipGraphInstantiateWithFlags", template, 0)
        finally:
            self._call("hipGraphDestroy", template)
        if getattr(self._library, "hipGraphUpload", None) is not None:
            self._call("hipGraphUpload", graph, stream)
        return graph

    def launch_graph(self, graph: Any, stream: Any) -> None:
        self._call("hipGraphLaunch", graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        self._call("hipGraphExecDestroy", graph)

    def wait_for_flag(self, flag: Flag, stream: Any) -> None:
        self._call("hipStreamWaitValue32", stream, flag.device, 1, _WAIT_GEQ, 0xFFFFFFFF)

    def blocking_kernel(self) -> tuple[bytes, str] | None:
        """None: code for AMD GPUs differs from chip to chip, so the stream waits for the flag itself."""

    def reset_persisting_cache(self) -> bool:
        """False: no AMD GPU has such lines."""
        return False

    def explain_image(self, error: DriverError, architecture: str, stages: Mapping[str, bytes]) -> str:
        del stages  # no stage says which ROCm it needs
        return (
            f"the HIP runtime {self.versions()['hip']} refused a binary for {architecture} ({error.name}); install a "
            f"ROCm that lists {architecture} as supported"
        )


def _error(call: str, code: int) -> DriverError:
    name = _ERROR_NAMES.get(code, f"hipError {code}")
    return DriverError(call, code, name, hip.KINDS.get(name.removeprefix("hipError"), ErrorKind.OTHER))
