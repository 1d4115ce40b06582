"""What a GPU driver must do for `kernelevolve.backends._gpu.session.GpuSession`, and how it fails.

CUDA's driver API and HIP offer the same few things under other names; this protocol has them once. Handles (streams,
events, modules, functions, graphs) are opaque; addresses are plain integers. Every method raises `DriverError`.
"""

from __future__ import annotations

__all__ = ["Attribute", "DriverError", "ErrorKind", "Flag", "FunctionAttributes", "GpuDriver", "LaunchShape"]

import enum
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import frozen

Dim3 = tuple[int, int, int]


class ErrorKind(enum.Enum):
    """What a driver's error code means to a session."""

    MEMORY = "out of memory"
    FAULT = "the device or its context is broken until the process ends"
    LOST = "the device is gone"
    IMAGE = "the driver does not take the binary"
    UNSUPPORTED = "the driver or the device cannot do this"
    OTHER = "anything else"


class DriverError(Exception):
    """A driver call that failed."""

    def __init__(self, call: str, code: int, name: str, kind: ErrorKind) -> None:
        self.call, self.code, self.name, self.kind = call, code, name, kind
        super().__init__(f"{call} failed with {name} ({code})")


class Attribute(enum.Enum):
    """Facts about a device that need no context. Sizes in bytes, clocks in kHz, the bus in bits."""

    UNITS = enum.auto()
    """Streaming multiprocessors; compute units, or pairs of them where the driver counts those (RDNA)."""
    WARP_SIZE = enum.auto()
    MAX_THREADS_PER_BLOCK = enum.auto()
    MAX_BLOCK_X = enum.auto()
    MAX_BLOCK_Y = enum.auto()
    MAX_BLOCK_Z = enum.auto()
    MAX_GRID_X = enum.auto()
    MAX_GRID_Y = enum.auto()
    MAX_GRID_Z = enum.auto()
    SHARED_PER_BLOCK = enum.auto()
    """What a block gets without asking."""
    SHARED_PER_BLOCK_OPTIN = enum.auto()
    """What a block gets at most, once `GpuDriver.allow_shared` was called."""
    REGISTERS_PER_BLOCK = enum.auto()
    CACHE = enum.auto()
    """The L2 cache."""
    CLOCK = enum.auto()
    MEMORY_CLOCK = enum.auto()
    MEMORY_BUS = enum.auto()
    ECC = enum.auto()
    COOPERATIVE = enum.auto()


@frozen
class FunctionAttributes:
    """What the driver knows of a loaded kernel. Bytes are per thread (`local_bytes`) and per block (`shared_bytes`)."""

    registers: int
    local_bytes: int
    shared_bytes: int
    """Static shared memory."""
    max_threads: int
    """Threads per block at most, with the registers it uses."""


@frozen
class LaunchShape:
    """How a kernel is launched. `grid` counts blocks, not clusters."""

    grid: Dim3
    block: Dim3
    #: Dynamic shared memory, bytes.
    shared: int = 0
    cluster: Dim3 | None = None
    #: All blocks resident at once, so that they may wait for each other.
    cooperative: bool = False


@frozen
class Flag:
    """Two 32-bit words that host and device both see: the first opens a gate, the second tells of a time-out."""

    host: int
    device: int


class GpuDriver(Protocol):
    """One vendor's driver. Opened on one device by one thread."""

    #: ``cuda`` or ``hip``; the prefix of targets.
    platform: str
    #: What `load` takes, as artifacts name it: ``cubin`` or ``hsaco``.
    binary: str

    def versions(self) -> Mapping[str, str]:
        """Versions of the driver and of the API it offers, for the record."""
        ...

    def device_count(self) -> int:
        """How many devices there are; 0 where the driver runs and finds none."""
        ...

    def device_name(self, index: int) -> str:
        """The product's name."""
        ...

    def architecture(self, index: int) -> str:
        """What to compile for: ``sm_90``, ``gfx942``."""
        ...

    def device_memory(self, index: int) -> int:
        """Bytes of device memory."""
        ...

    def pci_address(self, index: int) -> str:
        """``0000:17:00.0``; how management libraries name the device."""
        ...

    def attribute(self, index: int, attribute: Attribute) -> int | None:
        """One fact; None where the driver does not report it."""
        ...

    def open(self, index: int) -> None:
        """Make the device current in this thread; needed before everything below."""
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...

    def memory_info(self) -> tuple[int, int]:
        """Free and total bytes."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Device memory, aligned to 256 bytes at least."""
        ...

    def free(self, address: int) -> None:
        """Give device memory back; waits for work that may use it."""
        ...

    def allocate_flag(self) -> Flag:
        """Memory for a gate, zeroed."""
        ...

    def free_flag(self, flag: Flag) -> None:
        """Give a flag back."""
        ...

    def create_stream(self) -> Any:
        """A queue that runs in order and waits for no other."""
        ...

    def destroy_stream(self, stream: Any) -> None:
        """Give a stream back."""
        ...

    def synchronize(self, stream: Any) -> None:
        """Wait for a stream. Raises what its work failed with."""
        ...

    def set8(self, address: int, value: int, count: int, stream: Any) -> None:
        """Write a byte `count` times, asynchronously."""
        ...

    def set32(self, address: int, value: int, count: int, stream: Any) -> None:
        """Write a 32-bit word `count` times, asynchronously; `address` is a multiple of 4."""
        ...

    def copy_in(self, address: int, host: int, nbytes: int, stream: Any) -> None:
        """Copy from host memory; it must stay as it is until the stream was waited for."""
        ...

    def copy_out(self, host: int, address: int, nbytes: int, stream: Any) -> None:
        """Copy to host memory; done once the stream was waited for."""
        ...

    def load(self, binary: bytes) -> Any:
        """Make a binary's kernels available: a module."""
        ...

    def unload(self, module: Any) -> None:
        """Give a module back."""
        ...

    def function(self, module: Any, symbol: str) -> Any:
        """A kernel of a module, completely loaded: its first launch must not wait for the device."""
        ...

    def function_attributes(self, function: Any) -> FunctionAttributes:
        """What the driver knows of a kernel."""
        ...

    def allow_shared(self, function: Any, nbytes: int) -> None:
        """Raise the limit of a kernel's dynamic shared memory."""
        ...

    def launcher(self, function: Any, shape: LaunchShape, arguments: int, stream: Any) -> Callable[[], None]:
        """A callable that enqueues this launch: made once, called often.

        `arguments` is the address of an array of pointers to the parameters' values, which are read at each call.
        """
        ...

    def create_event(self) -> Any:
        """An event that takes the device's time."""
        ...

    def destroy_event(self, event: Any) -> None:
        """Give an event back."""
        ...

    def record(self, event: Any, stream: Any) -> None:
        """Enqueue an event."""
        ...

    def finished(self, event: Any) -> bool:
        """Whether a recorded event has happened."""
        ...

    def elapsed(self, start: Any, end: Any) -> float:
        """Seconds between two events that happened."""
        ...

    def begin_capture(self, stream: Any) -> None:
        """From here on, what is enqueued is noted down instead of run."""
        ...

    def end_capture(self, stream: Any) -> Any:
        """A graph of what was noted, ready to run: instantiated, and uploaded where the driver can."""
        ...

    def launch_graph(self, graph: Any, stream: Any) -> None:
        """Enqueue a graph."""
        ...

    def destroy_graph(self, graph: Any) -> None:
        """Give a graph back."""
        ...

    def wait_for_flag(self, flag: Flag, stream: Any) -> None:
        """Hold the stream until the flag's first word is not 0; has no time-out of its own."""
        ...

    def blocking_kernel(self) -> tuple[bytes, str] | None:
        """A module that holds a stream until a flag's first word is not 0, and its kernel's name; None where there is
        none. Parameters: the flag's device address (64 bits) and a limit in nanoseconds (64 bits); when that is over,
        the kernel writes 1 to the flag's second word and ends.
        """
        ...

    def reset_persisting_cache(self) -> bool:
        """Make cache lines that were marked to stay ordinary ones; False where the device knows no such lines."""
        ...

    def explain_image(self, error: DriverError, architecture: str, stages: Mapping[str, bytes]) -> str:
        """One sentence on a binary that was refused: what is installed, and what these stages of it need."""
        ...
