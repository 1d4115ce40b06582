"""Accelerator ``opencl``: any OpenCL device — PoCL on the CPU, NVIDIA, AMD, Intel.

Kernels get each tunable as ``-D NAME=value`` and each tensor's element type as ``-D x_t=float``. `pyopencl` is imported
on first use.
"""

from __future__ import annotations

__all__ = ["OpenCL"]

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Final

from kernelevolve.accelerator import Artifact, Availability, Device, Peaks, Realm, Status, Target
from kernelevolve.backends._oclgrind import announce, is_simulator
from kernelevolve.backends._opencl_session import OpenCLSession
from kernelevolve.backends._pocl import name_processor
from kernelevolve.errors import KernelEvolveError
from kernelevolve.kernel import Value
from kernelevolve.outcome import CompileError, DeviceLost, ResourceExceeded, ToolchainError
from kernelevolve.plan import LaunchPlan
from kernelevolve.registry import language

#: OpenCL C's name of each element type. bfloat16 and float8 have none, so no device here offers them.
TYPE_NAMES: Final[Mapping[str, str]] = {
    "float64": "double",
    "float32": "float",
    "float16": "half",
    "int64": "long",
    "int32": "int",
    "int16": "short",
    "int8": "char",
    "uint8": "uchar",
    "bool": "uchar",
}
_INSTALL: Final = "pip install 'kernelevolve[opencl]' brings pyopencl with PoCL, which runs on any x86-64 or Arm CPU"
#: ``file.cl:12:5: error: …`` (clang, NVIDIA, others) and ``error: file.cl:12:5: …`` (PoCL).
_ERROR_LINE: Final = re.compile(r":(\d+):(?:\d+:)?\s*(?:fatal )?error:\s*(.+)|error: \S+?:(\d+):(?:\d+:)?\s*(.+)")
#: The driver's temporary copy of the source: its path says nothing to anybody.
_TEMPORARY: Final = re.compile(r"(?:/[^\s:/]+)+/[^\s:/]+\.cl(?=:\d)")
#: Variables that choose a driver or a device; everything else stays out of a worker.
_ENVIRONMENT: Final = re.compile(
    r"OCL_ICD_\w+|OCLGRIND_\w+|OPENCL_\w+|POCL_\w+|CUDA_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES|LD_LIBRARY_PATH"
)


class OpenCL:
    """The `kernelevolve.accelerator.Accelerator` for OpenCL."""

    name = "opencl"
    api = (1, 0)
    languages = frozenset({"opencl"})

    def __init__(self) -> None:
        self._contexts: dict[str, Any] = {}

    def probe(self) -> Availability:
        """Whether `pyopencl` is installed and finds a platform."""
        if find_spec("pyopencl") is None:
            return Availability(Status.MISSING, f"the package pyopencl is not installed; {_INSTALL}")
        try:
            platforms = self._platforms
        except ImportError as error:
            return Availability(Status.BROKEN, f"pyopencl does not import: {error}")
        if not platforms:
            return Availability(
                Status.MISSING, f"no OpenCL platform was found; install a vendor's driver, or: {_INSTALL}"
            )
        listed = ", ".join(f"{platform.name.strip()} ({_short(platform.version)})" for platform in platforms)
        return Availability(Status.OK, listed)

    def environment(self) -> Mapping[str, str]:
        """Variables a worker needs: those that choose a driver, and PoCL's threads pinned to cores (less noise)."""
        chosen = {name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)}
        return {"POCL_AFFINITY": "1", "PYOPENCL_NO_CACHE": "1", **chosen}

    def sanitizer(self) -> Device:
        """A device that sees every access outside a buffer and every race, and has no time: Oclgrind's simulator.

        Must be asked for before any other device. Raises `KernelEvolveError` where Oclgrind is not installed.
        """
        announce()
        for device in self.devices():
            if device.realm is Realm.INTERPRETED:
                return device
        raise KernelEvolveError(
            "Oclgrind is installed, and the OpenCL loader does not list it; see its log with OCL_ICD_DEBUG=15"
        )

    @cached_property
    def _platforms(self) -> list[Any]:
        import pyopencl as cl  # noqa: PLC0415  # a toolchain is imported where it is used

        try:
            return list(cl.get_platforms())
        except cl.Error:  # the loader's "no platform" is an error code, not an empty list
            return []

    @cached_property
    def _found(self) -> list[tuple[Device, Any]]:
        import pyopencl as cl  # noqa: PLC0415

        found: list[tuple[Device, Any]] = []
        for platform in sorted(self._platforms, key=lambda one: is_simulator(one.name)):
            try:
                handles = platform.get_devices()
            except cl.Error:  # CL_DEVICE_NOT_FOUND: a platform without a device is no fault
                continue
            for handle in handles:
                if "PoCL" in platform.version:
                    name_processor(handle.int_ptr)
                found.append((_describe(cl, platform, handle, len(found)), handle))
        return found

    def devices(self) -> Sequence[Device]:
        """Every device of every platform, in the loader's order."""
        return [device for device, _ in self._found]

    def targets(self) -> Sequence[Target]:
        """One target per device: OpenCL C is compiled by the driver that runs it."""
        return [device.target for device in self.devices()]

    def toolchain(self) -> Mapping[str, str]:
        """Versions of `pyopencl` and of every platform's driver."""
        import pyopencl as cl  # noqa: PLC0415

        versions = {f"driver of {device.target.name}": device.description["driver"] for device in self.devices()}
        return {"pyopencl": cl.VERSION_TEXT, **versions}

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        """Source and build options; sizes are run-time arguments in OpenCL."""
        return {"source": plan.source, "options": _options(plan), "prefix": _prefix(plan)}

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:
        """Build for one device; the artifact is the driver's binary."""
        import pyopencl as cl  # noqa: PLC0415

        device, handle = self._handle(target)
        _check_types(plan, device)
        context = self._context(target)
        try:
            program: Any = cl.Program(context, _prefix(plan) + plan.source)
            program.build(options=_options(plan), devices=[handle])
            binary = program.get_info(cl.program_info.BINARIES)[0]
            log = program.get_build_info(handle, cl.program_build_info.LOG) or ""
            resources = {launch.entry: _resources(cl, program, launch.entry, handle) for launch in plan.launches}
        except cl.Error as error:
            raise _build_failure(str(error)) from None
        _check_resources(plan, resources, device)
        return Artifact(
            stages={"binary": bytes(binary)},
            resources=resources,
            toolchain=self.toolchain(),
            log=log.strip(),
            extra={"parameters": _parameter_types(plan)},
        )

    @contextmanager
    def open(self, device: Device) -> Iterator[OpenCLSession]:
        """Open a device: one context and one in-order queue with profiling."""
        _, handle = self._handle(device.target)
        session = OpenCLSession(device, self._context(device.target), handle)
        try:
            yield session
        finally:
            session.close()

    def _handle(self, target: Target) -> tuple[Device, Any]:
        for device, handle in self._found:
            if device.target == target:
                return device, handle
        known = ", ".join(device.target.name for device in self.devices()) or "none"
        raise DeviceLost(f"no OpenCL device for target {target.name!r}; there is {known}")

    def _context(self, target: Target) -> Any:
        import pyopencl as cl  # noqa: PLC0415

        if target.name not in self._contexts:
            self._contexts[target.name] = cl.Context([self._handle(target)[1]])
        return self._contexts[target.name]


def _short(version: str) -> str:
    return re.sub(r"\s+", " ", version).strip()


def _describe(cl: Any, platform: Any, handle: Any, index: int) -> Device:
    is_cpu = bool(handle.type & cl.device_type.CPU)
    extensions = handle.extensions.split()
    extra = {"float16"} if "cl_khr_fp16" in extensions else set()
    extra |= {"float64"} if "cl_khr_fp64" in extensions else set()
    units = int(handle.max_compute_units)
    slug = re.sub(r"[^a-z0-9]+", "-", f"{platform.name} {handle.name}".lower()).strip("-")
    return Device(
        accelerator="opencl",
        index=index,
        name=handle.name.strip(),
        target=Target(f"opencl:{slug}:{index}"),
        realm=Realm.INTERPRETED if is_simulator(platform.name) else Realm.HARDWARE,
        facts={
            "num_units": units,
            "warp_size": _warp_size(handle, is_cpu=is_cpu),
            "max_group_size": int(handle.max_work_group_size),
        },
        memory={
            "global": int(handle.global_mem_size),
            "local": int(handle.local_mem_size),
            "cache": int(handle.global_mem_cache_size),
            "max_allocation": int(handle.max_mem_alloc_size),
        },
        peaks=_peaks(units, int(handle.max_clock_frequency), is_cpu=is_cpu),
        description={
            "platform": platform.name.strip(),
            "version": _short(handle.version),
            "driver": _short(f"{platform.version} {handle.driver_version}"),
            "vendor": handle.vendor.strip(),
            "opencl_c": _short(handle.opencl_c_version),
            "clock_mhz": str(handle.max_clock_frequency),
        },
        dtypes=frozenset({"float32", "int64", "int32", "int16", "int8", "uint8", "bool", *extra}),
        host_threads=units if is_cpu and not is_simulator(platform.name) else None,
    )


def _warp_size(handle: Any, *, is_cpu: bool) -> int:
    """NVIDIA and AMD report it by extension; a CPU's is its native float vector."""
    for attribute in ("warp_size_nv", "wavefront_width_amd"):
        try:
            return int(getattr(handle, attribute))
        except Exception:  # noqa: S112  # pyopencl raises its own LogicError, or AttributeError
            continue
    return int(handle.native_vector_width_float or 1) if is_cpu else 32


def _peaks(units: int, clock_mhz: int, *, is_cpu: bool) -> Peaks:
    """Bounds no kernel can beat. Loose on purpose: they catch broken clocks and fake results, they grade nobody."""
    hertz = 2 * clock_mhz * 1e6
    if is_cpu:
        return Peaks(
            bytes_per_second=units * hertz * 128,
            operations_per_second=units * hertz * 64,
            source="per core and cycle two 512-bit loads and two 512-bit FMAs (AVX-512), at twice the reported clock",
        )
    return Peaks(
        bytes_per_second=None,
        operations_per_second=units * hertz * 256,
        source="per compute unit and cycle 128 FMAs, at twice the reported clock",
    )


def _options(plan: LaunchPlan) -> list[str]:
    defines = [f"-D{name}={_define(value)}" for name, value in sorted(plan.configuration.items())]
    types = [f"-D{buffer.name}_t={TYPE_NAMES[buffer.dtype]}" for buffer in plan.buffers if buffer.dtype in TYPE_NAMES]
    return [*defines, *types]


def _define(value: Value) -> str:
    return str(int(value)) if isinstance(value, bool | int) else value


def _prefix(plan: LaunchPlan) -> str:
    """Extensions that the tensors' types need, on a line that does not count."""
    dtypes = {buffer.dtype for buffer in plan.buffers}
    needed = [name for dtype, name in (("float16", "cl_khr_fp16"), ("float64", "cl_khr_fp64")) if dtype in dtypes]
    lines = [f"#pragma OPENCL EXTENSION {name} : enable\n" for name in needed]
    return "".join([*lines, "#line 1\n"]) if lines else ""


def _check_types(plan: LaunchPlan, device: Device) -> None:
    for buffer in plan.buffers:
        if buffer.dtype not in device.dtypes or buffer.dtype not in TYPE_NAMES:
            known = ", ".join(sorted(device.dtypes))
            message = f"{device.name} has no {buffer.dtype} (buffer {buffer.name!r}); it has {known}"
            raise ResourceExceeded(message, resource=f"dtype {buffer.dtype}", needed=1, limit=0)


def _build_failure(text: str) -> CompileError | ToolchainError:
    text = _TEMPORARY.sub("<kernel>", text)
    log = (
        "\n".join(
            line for line in text.partition("Build on")[2].splitlines()[1:] if line.strip() and "(options:" not in line
        )
        or text
    )
    match = _ERROR_LINE.search(text)
    if match:
        line, reason = match[1] or match[3], (match[2] or match[4]).strip()
        return CompileError(f"line {line}: {reason}", stage="build", log=log[-8000:], line=int(line))
    if "BUILD_PROGRAM_FAILURE" in text:
        return CompileError("the driver refused the source; see the log", stage="build", log=log[-8000:], line=None)
    return ToolchainError(f"the OpenCL compiler failed: {text.splitlines()[0][:300]}", log=log[-8000:])


def _resources(cl: Any, program: Any, entry: str, handle: Any) -> dict[str, int]:
    kernel = cl.Kernel(program, entry)
    info = cl.kernel_work_group_info
    asked = {
        "private_bytes": info.PRIVATE_MEM_SIZE,
        "local_bytes": info.LOCAL_MEM_SIZE,
        "preferred_multiple": info.PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
        "max_group_size": info.WORK_GROUP_SIZE,
    }
    return {name: int(kernel.get_work_group_info(parameter, handle)) for name, parameter in asked.items()}


def _check_resources(plan: LaunchPlan, resources: Mapping[str, Mapping[str, int]], device: Device) -> None:
    for launch in plan.launches:
        have = resources[launch.entry]
        size = 1
        for extent in launch.block:
            size *= extent
        limit = have["max_group_size"]
        if size > limit:
            message = f"{launch.entry} is launched with groups of {size}; as compiled it runs at most {limit}"
            raise ResourceExceeded(message, resource="group size", needed=size, limit=limit)
        dynamic = sum(getattr(argument, "nbytes", 0) for argument in launch.arguments)
        local = have["local_bytes"] + dynamic
        if local > device.memory["local"]:
            message = f"{launch.entry} needs {local} bytes of local memory; the device has {device.memory['local']}"
            raise ResourceExceeded(message, resource="local memory", needed=local, limit=device.memory["local"])


def _parameter_types(plan: LaunchPlan) -> dict[str, dict[str, str]]:
    """The declared type of each parameter, by entry and name: the session needs it to pass numbers."""
    entries = language("opencl").entries(plan.source)
    known = {f"{buffer.name}_t": TYPE_NAMES[buffer.dtype] for buffer in plan.buffers if buffer.dtype in TYPE_NAMES}
    return {
        launch.entry: {one.name: known.get(one.type, one.type) for one in entries[launch.entry]}
        for launch in plan.launches
    }
