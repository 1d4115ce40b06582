"""An open OpenCL device: buffers with guard zones, launches, one timed sample."""

from __future__ import annotations

__all__ = ["OpenCLBuffer", "OpenCLCall", "OpenCLProgram", "OpenCLSession"]

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import define, frozen

from kernelevolve.accelerator import Artifact, Buffer, BufferSpec, Device, Realm, Sample, Source
from kernelevolve.backends._oclgrind import LOG, raise_findings
from kernelevolve.outcome import DeviceFault, LaunchError, OutOfMemory, ResourceExceeded, ToolchainError
from kernelevolve.plan import BufferArgument, LocalArgument, PlannedLaunch, ScalarArgument

#: A pattern this wide is filled at memory speed; PoCL takes fifty times as long byte by byte.
_PATTERN_BYTES: Final = 128
#: What a number is passed as, by the parameter's declared type.
_SCALARS: Final[Mapping[str, Any]] = {
    "char": np.int8,
    "uchar": np.uint8,
    "short": np.int16,
    "ushort": np.uint16,
    "int": np.int32,
    "uint": np.uint32,
    "long": np.int64,
    "ulong": np.uint64,
    "half": np.float16,
    "float": np.float32,
    "double": np.float64,
    "unsigned": np.uint32,
    "unsigned int": np.uint32,
    "unsigned long": np.uint64,
}
_BY_DTYPE: Final = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "int32": np.int32,
    "int64": np.int64,
}


@frozen
class OpenCLProgram:
    """A loaded binary with one kernel object per entry: fetching one for each call costs seven times the launch."""

    kernels: Mapping[str, Any]
    parameters: Mapping[str, Mapping[str, str]]
    max_group_size: Mapping[str, int]


@define(eq=False)
class OpenCLBuffer:
    """Front guard, payload, back guard in one allocation; kernels get the payload as a sub-buffer."""

    spec: BufferSpec
    #: The guard's size, rounded up to the device's alignment of sub-buffers.
    guard: int
    whole: Any
    payload: Any
    allocated: int


@frozen
class OpenCLCall:
    """Kernels with their arguments and sizes, in launch order."""

    steps: tuple[tuple[Any, tuple[Any, ...], tuple[int, ...], tuple[int, ...] | None], ...]


class OpenCLSession:
    """The `kernelevolve.accelerator.Session` of one OpenCL device."""

    def __init__(self, device: Device, context: Any, handle: Any) -> None:
        import pyopencl as cl  # noqa: PLC0415  # a toolchain is imported where it is used

        self.device = device
        self._cl = cl
        self._context = context
        self._handle = handle
        self._queue = cl.CommandQueue(context, properties=cl.command_queue_properties.PROFILING_ENABLE)
        self._alignment = max(int(handle.mem_base_addr_align) // 8, _PATTERN_BYTES)
        self._simulated = device.realm is Realm.INTERPRETED
        self._flusher: Any = None
        self._flush_count = 0

    def close(self) -> None:
        """Wait for the queue; memory goes back with the context."""
        self._queue.finish()

    def load(self, artifact: Artifact) -> OpenCLProgram:
        """Make the driver's binary launchable."""
        cl = self._cl
        try:
            program = cl.Program(self._context, [self._handle], [artifact.stages["binary"]]).build()
            kernels = {entry: cl.Kernel(program, entry) for entry in artifact.resources}
        except cl.Error as error:
            raise ToolchainError(f"the driver does not load its own binary: {error}", log=str(error)) from None
        limits = {entry: resources["max_group_size"] for entry, resources in artifact.resources.items()}
        return OpenCLProgram(kernels, artifact.extra["parameters"], limits)

    def allocate(self, spec: BufferSpec) -> OpenCLBuffer:
        """One allocation for guards and payload."""
        cl = self._cl
        # A simulator sees the bounds of an allocation, so there the allocation is the buffer and nothing more.
        guard = 0 if self._simulated else _round_up(spec.guard, self._alignment)
        total = spec.nbytes if self._simulated else _round_up(2 * guard + spec.nbytes, _PATTERN_BYTES)
        limit = self.device.memory["max_allocation"]
        if total > limit:
            raise OutOfMemory(
                f"a buffer of {total} bytes; the device allocates at most {limit}", needed=total, limit=limit
            )
        try:
            whole = cl.Buffer(self._context, cl.mem_flags.READ_WRITE, size=total)
            payload = whole.get_sub_region(guard, spec.nbytes) if guard else whole
        except cl.MemoryError:
            have = self.device.memory["global"]
            raise OutOfMemory(f"the device refused {total} bytes (it has {have})", needed=total, limit=have) from None
        return OpenCLBuffer(spec, guard, whole, payload, total)

    def free(self, buffer: Buffer) -> None:
        """Release both views."""
        own = _own(buffer)
        if own.payload is not own.whole:
            own.payload.release()
        own.whole.release()

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:
        """Fill with one byte value, widened to a pattern the driver is fast with."""
        own = _own(buffer)
        wide = np.full(_PATTERN_BYTES, pattern, np.uint8)
        if guards and not self._simulated:
            self._cl.enqueue_fill_buffer(self._queue, own.whole, wide, 0, own.allocated)
            return
        body = own.spec.nbytes // _PATTERN_BYTES * _PATTERN_BYTES
        if body:
            self._cl.enqueue_fill_buffer(self._queue, own.payload, wide, 0, body)
        if own.spec.nbytes > body:
            rest = own.spec.nbytes - body
            self._cl.enqueue_fill_buffer(self._queue, own.payload, np.full(1, pattern, np.uint8), body, rest)

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        """Copy to the payload, and wait."""
        own = _own(buffer)
        if data.nbytes != own.spec.nbytes:
            raise ValueError(f"{data.nbytes} bytes for a buffer of {own.spec.nbytes}")
        self._cl.enqueue_copy(self._queue, own.payload, np.frombuffer(data, np.uint8))

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:
        """Copy from the device, and wait."""
        own = _own(buffer)
        size = 2 * own.guard + own.spec.nbytes if guards else own.spec.nbytes
        host = np.empty(size, np.uint8)
        with self._faults():
            self._cl.enqueue_copy(self._queue, host, own.whole if guards else own.payload)
        return host.tobytes()

    def bind(self, program: Any, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> OpenCLCall:
        """Resolve arguments to driver objects once."""
        steps = []
        for launch in launches:
            size = math.prod(launch.block)
            limit = program.max_group_size[launch.entry]
            if size > limit:
                message = f"{launch.entry}: groups of {size}; as compiled it runs at most {limit}"
                raise ResourceExceeded(message, resource="group size", needed=size, limit=limit)
            types = program.parameters[launch.entry]
            arguments = tuple(self._argument(argument, types, buffers) for argument in launch.arguments)
            block = launch.block or None
            items = tuple(g * b for g, b in zip(launch.grid, launch.block, strict=True)) if block else launch.grid
            steps.append((program.kernels[launch.entry], arguments, items, block))
        return OpenCLCall(tuple(steps))

    def _argument(self, argument: Any, types: Mapping[str, str], buffers: Mapping[str, Buffer]) -> Any:
        match argument:
            case BufferArgument(buffer=name):
                return _own(buffers[name]).payload
            case LocalArgument(nbytes=nbytes):
                return self._cl.LocalMemory(nbytes)
            case ScalarArgument(parameter=name, value=value, dtype=dtype):
                declared = " ".join(word for word in types.get(name, "").split() if word not in ("const", "__private"))
                kind: Any = _SCALARS.get(declared) or _BY_DTYPE.get(dtype or "") or np.int32
                info = None if issubclass(kind, np.floating) else np.iinfo(kind)
                if info is not None and not info.min <= value <= info.max:
                    message = f"parameter {name!r} is declared {declared or 'int'}, which cannot hold {value}"
                    raise LaunchError(message, code="INVALID_ARG_VALUE")
                return kind(value)
        raise AssertionError(argument)

    def launch(self, call: Any) -> None:
        """Enqueue every step."""
        self._enqueue(call)

    def _enqueue(self, call: OpenCLCall) -> list[Any]:
        cl = self._cl
        events = []
        try:
            for kernel, arguments, items, block in call.steps:
                kernel.set_args(*arguments)
                events.append(cl.enqueue_nd_range_kernel(self._queue, kernel, items, block))
        except cl.MemoryError as error:
            raise OutOfMemory(f"the driver found no memory for the launch: {error}", needed=None, limit=None) from None
        except cl.Error as error:
            raise LaunchError(f"the driver refused the launch: {error}", code=str(getattr(error, "code", ""))) from None
        return events

    def synchronize(self) -> None:
        """Wait for the queue; on a simulator, raise what it found meanwhile."""
        with self._faults():
            self._queue.finish()
        if self._simulated:
            raise_findings(Path(LOG))

    def _faults(self) -> _Faults:
        return _Faults(self._cl)

    def time(self, call: Any, *, launches: int = 1) -> Sample:
        """Device events around the first start and the last end; the host clock where those make no sense."""
        with self._faults():
            self._queue.finish()
            begin = time.perf_counter()
            events = [event for _ in range(launches) for event in self._enqueue(call)]
            self._queue.finish()
            host = (time.perf_counter() - begin) / launches
        device = _event_seconds(events) / launches
        if 0 < device <= host * 1.05:
            return Sample(device, Source.DEVICE_EVENT, launches, host)
        return Sample(host, Source.HOST_WALL, launches, host)

    def flush(self) -> None:
        """Write twice the reported last-level cache (at least 32 MiB where none is reported)."""
        size = max(2 * self.device.memory.get("cache", 0), 32 << 20)
        size = _round_up(min(size, self.device.memory["max_allocation"] // 2), _PATTERN_BYTES)
        if self._flusher is None:
            self._flusher = self._cl.Buffer(self._context, self._cl.mem_flags.READ_WRITE, size=size)
        self._flush_count += 1
        pattern = np.full(_PATTERN_BYTES, self._flush_count % 256, np.uint8)
        self._cl.enqueue_fill_buffer(self._queue, self._flusher, pattern, 0, size)
        self._queue.finish()


class _Faults:
    """Turns the driver's errors while waiting into a device fault."""

    def __init__(self, cl: Any) -> None:
        self._cl = cl

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._cl.Error):
            raise DeviceFault(f"the device failed while running: {error}", signal=None) from error


def _own(buffer: Buffer) -> OpenCLBuffer:
    if not isinstance(buffer, OpenCLBuffer):
        raise TypeError(f"a {type(buffer).__name__} is no buffer of this session")
    return buffer


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _event_seconds(events: Sequence[Any]) -> float:
    """From the first start to the last end, in seconds; 0 where the driver's clock makes no sense."""
    starts, ends = [event.profile.start for event in events], [event.profile.end for event in events]
    if any(not start < end for start, end in zip(starts, ends, strict=True)):
        return 0.0
    return float(max(ends) - min(starts)) * 1e-9
