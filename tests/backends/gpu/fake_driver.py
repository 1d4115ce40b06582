"""A small GPU in memory, strict about how it is driven: an asynchronous queue, virtual clocks, errors on demand.

Time is virtual. Each driver call costs the host `LATENCY`; the device works through its queue meanwhile. Memory is byte
arrays at made-up addresses; an access outside an allocation is an assertion, not an error code.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from kernelevolve.accelerator import Artifact, Device
from kernelevolve.backends._gpu.arguments import FORMATS
from kernelevolve.backends._gpu.devices import describe
from kernelevolve.backends._gpu.driver import Attribute, DriverError, ErrorKind, Flag, FunctionAttributes, LaunchShape
from kernelevolve.backends._gpu.gate import LIMIT

#: Host seconds of a driver call, and of reading the clock.
LATENCY = 5e-6
TICK = 1e-7
MEMORY = 1 << 26
#: Operations that wait at most; one more, and the host waits.
QUEUE = 1024
#: Bytes per second of memset and copies.
BANDWIDTH = 1e12

ATTRIBUTES = {
    Attribute.UNITS: 4,
    Attribute.WARP_SIZE: 32,
    Attribute.MAX_THREADS_PER_BLOCK: 1024,
    Attribute.MAX_BLOCK_X: 1024,
    Attribute.MAX_BLOCK_Y: 1024,
    Attribute.MAX_BLOCK_Z: 64,
    Attribute.MAX_GRID_X: 2**31 - 1,
    Attribute.MAX_GRID_Y: 65535,
    Attribute.MAX_GRID_Z: 65535,
    Attribute.SHARED_PER_BLOCK: 48 << 10,
    Attribute.SHARED_PER_BLOCK_OPTIN: 227 << 10,
    Attribute.REGISTERS_PER_BLOCK: 65536,
    Attribute.CACHE: 1 << 20,
    Attribute.CLOCK: 1_980_000,
    Attribute.MEMORY_CLOCK: 2_619_000,
    Attribute.MEMORY_BUS: 5120,
    Attribute.ECC: 1,
    Attribute.COOPERATIVE: 1,
}


@define(eq=False)
class Kernel:
    """What a launch does: `run` gets the driver, the values of the parameters (by `types`) and the shape."""

    symbol: str
    types: tuple[str, ...] = ()
    run: Callable[[FakeDriver, tuple[Any, ...], LaunchShape], None] = lambda driver, values, shape: None
    seconds: float = 10e-6
    attributes: FunctionAttributes = FunctionAttributes(32, 0, 0, 1024)
    #: The driver waits for the device when it is launched for the first time.
    waits_first: bool = False
    waits_always: bool = False
    capturable: bool = True
    dynamic_shared: int = 0
    launched: int = 0


@define(eq=False)
class Operation:
    name: str
    seconds: float
    run: Callable[[], None] = lambda: None
    enqueued: float = 0.0
    gate: Any = None


@define(eq=False)
class Event:
    at: float | None = None


@define(eq=False)
class Stream:
    queue: deque[Operation] = field(factory=deque)
    capturing: list[Operation] | None = None


def fault(name: str = "CUDA_ERROR_ILLEGAL_ADDRESS", code: int = 700, kind: ErrorKind = ErrorKind.FAULT) -> DriverError:
    return DriverError("a kernel", code, name, kind)


class FakeDriver:
    """Implements `kernelevolve.backends._gpu.driver.GpuDriver`."""

    platform = "cuda"
    binary = "cubin"

    def __init__(self, *kernels: Kernel, gate: str = "kernel") -> None:
        self.kernels = {kernel.symbol: kernel for kernel in kernels}
        self.gate = gate  # "kernel", "wait", "deaf" (a kernel that never sees the host's word) or "none"
        self.now = 0.0
        self.device_now = 0.0
        #: Errors that the next call of a name raises.
        self.fail: dict[str, DriverError] = {}
        self.broken: DriverError | None = None
        self.opened: int | None = None
        self.live: dict[str, set[Any]] = {name: set() for name in ("stream", "event", "module", "graph", "flag")}
        self.memory: dict[int, bytearray] = {}
        self.calls: list[str] = []
        self.launches: list[tuple[str, tuple[Any, ...], LaunchShape]] = []
        self.flags: dict[int, Any] = {}
        self._addresses = itertools.count(0x7F00_0000_0000, MEMORY * 4)
        self._numbers = itertools.count(1)
        self.persisting = True
        self.marked: set[str] = set()
        self.attributes = dict(ATTRIBUTES)

    # Time

    def clock(self) -> float:
        """The host's clock; stands in for `time.perf_counter`."""
        self.now += TICK
        self._progress()
        return self.now

    def _enter(self, name: str) -> None:
        self.calls.append(name)
        self.now += LATENCY
        self._progress()
        if self.broken is not None:
            raise self.broken
        if name in self.fail:
            raise self.fail.pop(name)

    def _progress(self) -> None:
        for stream in self.live["stream"]:
            while stream.queue and self._step(stream, self.now):
                pass

    def _step(self, stream: Stream, until: float) -> bool:
        """Finish the first operation if it ends by `until`."""
        operation = stream.queue[0]
        begin = max(self.device_now, operation.enqueued)
        if operation.gate is not None:
            words, limit = operation.gate
            if words[0]:  # opened some time before this look
                end = max(begin, min(self.now, until))
            elif limit is not None and until >= begin + limit:
                words[1] = 1
                end = begin + limit
            else:
                return False
        else:
            end = begin + operation.seconds
        if end > until:
            return False
        stream.queue.popleft()
        self.device_now = end
        if self.broken is None:
            try:
                operation.run()
            except DriverError as error:
                self.broken = error
        return True

    def _drain(self, stream: Stream) -> None:
        while stream.queue:
            operation = stream.queue[0]
            gate = operation.gate
            if gate is not None and not gate[0][0]:
                if gate[1] is None:  # the host's own timer must open it
                    _wait_for(gate[0])
                self.now = max(self.now, self.device_now, operation.enqueued) + LIMIT
            else:
                self.now = max(self.now, max(self.device_now, operation.enqueued) + operation.seconds)
            self._step(stream, self.now)

    def _enqueue(self, stream: Stream, name: str, seconds: float, run: Callable[[], None], gate: Any = None) -> None:
        assert stream in self.live["stream"]
        assert stream.capturing is None, f"{name} while a stream is captured"
        if len(stream.queue) >= QUEUE:
            self._drain(stream)
        stream.queue.append(Operation(name, seconds, run, self.now, gate))

    def _check(self, kind: str, handle: Any) -> None:
        assert handle in self.live[kind], f"a {kind} that is not there"

    # Devices

    def versions(self) -> Mapping[str, str]:
        return {"cuda": "12.4", "driver": "550.54.15"}

    def device_count(self) -> int:
        return 1

    def device_name(self, index: int) -> str:
        return "NVIDIA Fake 100"

    def architecture(self, index: int) -> str:
        return "sm_90"

    def device_memory(self, index: int) -> int:
        return MEMORY

    def pci_address(self, index: int) -> str:
        return "0000:17:00.0"

    def attribute(self, index: int, attribute: Attribute) -> int | None:
        return self.attributes.get(attribute)

    def open(self, index: int) -> None:
        self._enter("open")
        assert self.opened is None
        self.opened = index

    def close(self) -> None:
        self.opened = None

    # Memory

    def memory_info(self) -> tuple[int, int]:
        self._enter("memory_info")
        return MEMORY - sum(map(len, self.memory.values())), MEMORY

    def allocate(self, nbytes: int) -> int:
        self._enter("allocate")
        assert nbytes > 0
        if nbytes > MEMORY - sum(map(len, self.memory.values())):
            raise DriverError("allocate", 2, "CUDA_ERROR_OUT_OF_MEMORY", ErrorKind.MEMORY)
        address = next(self._addresses)
        self.memory[address] = bytearray(b"\xa5" * nbytes)
        return address

    def free(self, address: int) -> None:
        self._enter("free")
        for stream in self.live["stream"]:
            self._drain(stream)
        if self.broken is not None:
            raise self.broken
        del self.memory[address]

    def allocate_flag(self) -> Flag:
        self._enter("allocate_flag")
        words = (ctypes.c_uint32 * 2)()
        address = ctypes.addressof(words)
        self.flags[address] = words
        flag = Flag(address, address)
        self.live["flag"].add(flag)
        return flag

    def free_flag(self, flag: Flag) -> None:
        self._enter("free_flag")
        self.live["flag"].remove(flag)
        del self.flags[flag.host]

    def span(self, address: int, nbytes: int) -> memoryview:
        """Device memory; an access that crosses the end of an allocation is a bug of whoever drives."""
        for base, data in self.memory.items():
            if base <= address and address + nbytes <= base + len(data):
                return memoryview(data)[address - base : address - base + nbytes]
        raise AssertionError(f"{nbytes} bytes at {address:#x} are outside every allocation")

    def set8(self, address: int, value: int, count: int, stream: Any) -> None:
        self._enter("set8")
        assert 0 <= value <= 255
        where = self.span(address, count)
        self._enqueue(stream, "set8", count / BANDWIDTH, lambda: _assign(where, bytes([value]) * count))

    def set32(self, address: int, value: int, count: int, stream: Any) -> None:
        self._enter("set32")
        assert address % 4 == 0
        where = self.span(address, 4 * count)
        word = struct.pack("<I", value)
        self._enqueue(stream, "set32", 4 * count / BANDWIDTH, lambda: _assign(where, word * count))

    def copy_in(self, address: int, host: int, nbytes: int, stream: Any) -> None:
        self._enter("copy_in")
        where = self.span(address, nbytes)
        run = lambda: _assign(where, ctypes.string_at(host, nbytes))  # noqa: E731
        self._enqueue(stream, "copy_in", nbytes / BANDWIDTH, run)

    def copy_out(self, host: int, address: int, nbytes: int, stream: Any) -> None:
        self._enter("copy_out")
        where = self.span(address, nbytes)
        run = lambda: ctypes.memmove(host, bytes(where), nbytes)  # noqa: E731
        self._enqueue(stream, "copy_out", nbytes / BANDWIDTH, run)

    # Streams, events

    def create_stream(self) -> Any:
        self._enter("create_stream")
        stream = Stream()
        self.live["stream"].add(stream)
        return stream

    def destroy_stream(self, stream: Any) -> None:
        self._enter("destroy_stream")
        self.live["stream"].remove(stream)

    def synchronize(self, stream: Any) -> None:
        self._enter("synchronize")
        self._drain(stream)
        if self.broken is not None:
            raise self.broken

    def create_event(self) -> Any:
        self._enter("create_event")
        event = Event()
        self.live["event"].add(event)
        return event

    def destroy_event(self, event: Any) -> None:
        self._enter("destroy_event")
        self.live["event"].remove(event)

    def record(self, event: Any, stream: Any) -> None:
        self._enter("record")
        self._check("event", event)
        event.at = None

        def run() -> None:
            event.at = self.device_now

        self._enqueue(stream, "record", 0.0, run)

    def finished(self, event: Any) -> bool:
        self._enter("finished")
        return event.at is not None

    def elapsed(self, start: Any, end: Any) -> float:
        self._enter("elapsed")
        return float(end.at - start.at)

    # Kernels

    def load(self, binary: bytes) -> Any:
        self._enter("load")
        if not binary.startswith(b"FAKE:"):
            raise DriverError("load", 222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", ErrorKind.IMAGE)
        module = (next(self._numbers), binary.removeprefix(b"FAKE:").decode())
        self.live["module"].add(module)
        return module

    def unload(self, module: Any) -> None:
        self._enter("unload")
        self.live["module"].remove(module)

    def function(self, module: Any, symbol: str) -> Any:
        self._enter("function")
        self._check("module", module)
        if symbol != module[1]:
            raise DriverError("function", 500, "CUDA_ERROR_NOT_FOUND", ErrorKind.OTHER)
        return symbol

    def function_attributes(self, function: Any) -> FunctionAttributes:
        self._enter("function_attributes")
        return self.kernels[function].attributes

    def allow_shared(self, function: Any, nbytes: int) -> None:
        self._enter("allow_shared")
        self.kernels[function].dynamic_shared = nbytes

    def launcher(self, function: Any, shape: LaunchShape, arguments: int, stream: Any) -> Callable[[], None]:
        def launch() -> None:
            self._enter("launch")
            self._launch(function, shape, arguments, stream)

        return launch

    def _launch(self, function: str, shape: LaunchShape, arguments: int, stream: Stream) -> None:
        if function == "gate":
            address, nanoseconds = read(arguments, ("u64", "u64"))
            limit = nanoseconds * 1e-9
            words = (ctypes.c_uint32 * 2)() if self.gate == "deaf" else self.flags[address]
            if self.gate == "deaf":  # what the host writes never arrives, what the device writes does
                seen = self.flags[address]
                self._enqueue(stream, "gate", limit, lambda: seen.__setitem__(1, 1))
                return
            self._enqueue(stream, "gate", 0.0, lambda: None, gate=(words, limit))
            return
        kernel = self.kernels[function]
        values = read(arguments, kernel.types)
        available = max(kernel.dynamic_shared, (48 << 10) - kernel.attributes.shared_bytes)
        if shape.shared > available:
            raise DriverError("launch", 1, "CUDA_ERROR_INVALID_VALUE", ErrorKind.OTHER)
        self.launches.append((function, values, shape))
        if stream.capturing is not None:
            if not kernel.capturable:
                raise DriverError("launch", 900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", ErrorKind.OTHER)
            stream.capturing.append(Operation(function, kernel.seconds, lambda: kernel.run(self, values, shape)))
            return
        if kernel.waits_always or (kernel.waits_first and not kernel.launched):
            self._drain(stream)
        kernel.launched += 1
        self._enqueue(stream, function, kernel.seconds, lambda: kernel.run(self, values, shape))

    # Graphs and gates

    def begin_capture(self, stream: Any) -> None:
        self._enter("begin_capture")
        assert stream.capturing is None
        stream.capturing = []

    def end_capture(self, stream: Any) -> Any:
        self._enter("end_capture")
        noted, stream.capturing = stream.capturing, None
        assert noted is not None
        graph = (next(self._numbers), tuple(noted))
        self.live["graph"].add(graph)
        return graph

    def launch_graph(self, graph: Any, stream: Any) -> None:
        self._enter("launch_graph")
        self._check("graph", graph)
        operations = graph[1]

        def run() -> None:
            for operation in operations:
                operation.run()

        self._enqueue(stream, "graph", sum(operation.seconds for operation in operations), run)

    def destroy_graph(self, graph: Any) -> None:
        self._enter("destroy_graph")
        self.live["graph"].remove(graph)

    def wait_for_flag(self, flag: Flag, stream: Any) -> None:
        self._enter("wait_for_flag")
        if self.gate != "wait":
            raise DriverError("wait_for_flag", 801, "CUDA_ERROR_NOT_SUPPORTED", ErrorKind.UNSUPPORTED)
        self._enqueue(stream, "wait", 0.0, lambda: None, gate=(self.flags[flag.device], None))

    def blocking_kernel(self) -> tuple[bytes, str] | None:
        return (b"FAKE:gate", "gate") if self.gate in ("kernel", "deaf") else None

    def reset_persisting_cache(self) -> bool:
        self._enter("reset_persisting_cache")
        self.marked.clear()
        return self.persisting

    def explain_image(self, error: DriverError, architecture: str, stages: Mapping[str, bytes]) -> str:
        return f"refused for {architecture}: {error.name}, {sorted(stages)}"


def _wait_for(words: Any) -> None:
    deadline = time.monotonic() + 10
    while not words[0]:
        assert time.monotonic() < deadline, "a gate that nobody opens"
        time.sleep(1e-3)


def _assign(where: memoryview, data: bytes) -> None:
    where[:] = data


def read(arguments: int, types: tuple[str, ...]) -> tuple[Any, ...]:
    """Parameters as a driver reads them: through an array of pointers, each to a value of its type's size."""
    pointers = (ctypes.c_void_p * len(types)).from_address(arguments) if types else ()
    return tuple(
        struct.unpack(FORMATS[kind], ctypes.string_at(pointer, struct.calcsize(FORMATS[kind])))[0]
        for kind, pointer in zip(types, pointers, strict=True)
    )


def device_of(driver: FakeDriver) -> Device:
    return describe(driver, 0, "fake")


def artifact_of(**entries: Mapping[str, Any]) -> Artifact:
    """An artifact with one binary per entry; each entry overrides the usual description."""
    described = {
        name: {"symbol": name, "threads": 128, "shared": 0, "cooperative": False, "layout": [], **given}
        for name, given in entries.items()
    }
    stages = {f"cubin:{name}": b"FAKE:" + one["symbol"].encode() for name, one in described.items()}
    return Artifact(stages=stages, extra={"entries": described})
