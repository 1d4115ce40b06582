"""The contract between the core and a chip: two protocols, and the plain data they exchange.

A plugin imports types from here and subclasses nothing. It supplies primitives (compile, launch, one timed sample,
copy); statistics, isolation, comparison and caching are the core's.

Three places where this differs from a textbook device API, and why:

- A `Call` is bound once (`Session.bind`) and launched many times, so that argument handling stays out of timed loops.
- Buffers carry **guard zones**; the core reads them back to see writes outside the payload.
- There is no device-side comparison with expected values: the process that runs candidates must never hold them.
"""

from __future__ import annotations

__all__ = [
    "API",
    "Accelerator",
    "Artifact",
    "Availability",
    "Buffer",
    "BufferSpec",
    "Call",
    "CompilesOnHost",
    "Device",
    "FlushesCache",
    "Interprets",
    "Peaks",
    "Profiles",
    "Program",
    "Realm",
    "Sample",
    "Sanitizes",
    "Session",
    "Source",
    "Status",
    "Target",
]

import enum
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, runtime_checkable

from attrs import field, frozen

from kernelevolve.plan import LaunchPlan, PlannedLaunch

#: Version of this contract: (major, minor). A plugin written against another major version is not loaded.
API: Final = (1, 0)


class Realm(enum.StrEnum):
    """What a device is, hence what its times mean. Times of different realms are never ranked together."""

    HARDWARE = "hardware"
    EMULATED = "emulated"
    INTERPRETED = "interpreted"
    """Functional only: results, no time."""
    REPLAY = "replay"
    """Recorded measurements of somebody else's run."""

    @property
    def has_clock(self) -> bool:
        """Whether a time exists in this realm at all."""
        return self is not Realm.INTERPRETED


class Source(enum.StrEnum):
    """Where a time comes from. Mandatory in every sample."""

    DEVICE_EVENT = "device-event"
    DEVICE_PROFILER = "device-profiler"
    HOST_WALL = "host-wall"
    EMULATED_CYCLES = "emulated-cycles"
    ANALYTIC = "analytic"
    """From a formula: may rank and prune, never reported as a speed-up."""
    RECORDED = "recorded"


class Status(enum.StrEnum):
    """Whether an accelerator can be used here."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@frozen
class Availability:
    """The answer of `Accelerator.probe`."""

    status: Status
    #: One sentence: what is missing and how to install it, or why it is broken, or what was found.
    message: str = ""


@frozen
class Target:
    """What to compile for: ``cuda:sm_90``, ``opencl:pocl``. The name is unique within an accelerator."""

    name: str
    options: Mapping[str, str] = field(factory=dict, hash=False)


@frozen
class Peaks:
    """Upper bounds that physics sets on a device; None where nothing trustworthy is known."""

    bytes_per_second: float | None
    #: For the fastest type the device has; a bound, not an expectation.
    operations_per_second: float | None
    #: Where the numbers come from, in one line.
    source: str


@frozen
class Device:
    """A thing that can run a target now."""

    accelerator: str
    index: int
    name: str
    target: Target
    realm: Realm
    #: What kernel expressions may use: ``num_units``, ``warp_size``, ``max_group_size``.
    facts: Mapping[str, int] = field(hash=False)
    #: Bytes: ``global``, ``local``, ``cache`` (last level), ``max_allocation``; absent where unknown.
    memory: Mapping[str, int] = field(factory=dict, hash=False)
    peaks: Peaks | None = None
    #: Driver, versions, clock and the like, for the record.
    description: Mapping[str, str] = field(factory=dict, hash=False)
    #: Element types the device computes with.
    dtypes: frozenset[str] = frozenset({"float32", "int32"})
    #: What candidates run on while timed on the host's own processor: threads; None for a discrete device.
    host_threads: int | None = None

    @property
    def label(self) -> str:
        """``opencl:0 (pthread-…)``."""
        return f"{self.accelerator}:{self.index} ({self.name})"


@frozen
class Artifact:
    """What a compile returns."""

    #: Named stages in the toolchain's order (``ttir``, ``ptx``, ``cubin``, ``binary``…).
    stages: Mapping[str, bytes] = field(hash=False, repr=False)
    #: Per entry: registers, spills, local and private bytes, preferred group multiple…; what the toolchain reports.
    resources: Mapping[str, Mapping[str, int]] = field(factory=dict, hash=False)
    toolchain: Mapping[str, str] = field(factory=dict, hash=False)
    #: The toolchain's output (warnings).
    log: str = ""
    #: Anything the accelerator itself wants to find again at `Session.load`; JSON values.
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen
class BufferSpec:
    """Device memory: `nbytes` of payload between two guard zones of `guard` bytes each."""

    nbytes: int
    guard: int = 0


@frozen
class Sample:
    """One timed sample: seconds **per launch of the plan**, averaged over `launches` back-to-back ones."""

    seconds: float
    source: Source
    launches: int = 1
    #: The host clock around the same work, per launch: a second witness.
    host_seconds: float | None = None
    #: Emulated cycles, where the source has them.
    cycles: int | None = None


class Program(Protocol):
    """A loaded artifact. Opaque to the core."""


class Buffer(Protocol):
    """Allocated device memory. Opaque to the core, but for its size."""

    @property
    def spec(self) -> BufferSpec: ...


class Call(Protocol):
    """A program bound to its buffers and numbers. Opaque to the core."""


@runtime_checkable
class Session(Protocol):
    """One open device in one process. Failures are raised as `kernelevolve.outcome` exceptions."""

    device: Device

    def load(self, artifact: Artifact) -> Program:
        """Make an artifact launchable."""
        ...

    def allocate(self, spec: BufferSpec) -> Buffer:
        """Reserve memory; contents are undefined. Raises `OutOfMemory` with the sizes."""
        ...

    def free(self, buffer: Buffer) -> None:
        """Give memory back."""
        ...

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:
        """Set every byte of the payload to `pattern` (0–255); with `guards`, those of the guard zones too."""
        ...

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        """Copy to the payload. `data` has exactly its size."""
        ...

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:
        """The payload, or with `guards` front guard + payload + back guard. Waits for what was launched before."""
        ...

    def bind(self, program: Program, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> Call:
        """Prepare the plan's launches on these buffers."""
        ...

    def launch(self, call: Call) -> None:
        """Enqueue the plan's launches in order; returns before they ran."""
        ...

    def synchronize(self) -> None:
        """Wait for the whole device. Raises what a launch failed with."""
        ...

    def time(self, call: Call, *, launches: int = 1) -> Sample:
        """One sample over `launches` runs of the plan. No warm-up, no statistics, no cache handling."""
        ...


@runtime_checkable
class FlushesCache(Protocol):
    """A session that can evict its caches, so that every timed launch starts cold."""

    def flush(self) -> None:
        """Leave nothing of earlier launches in any cache (write twice the last level's size)."""
        ...


@runtime_checkable
class Profiles(Protocol):
    """A session that knows where a call's time goes."""

    def profile(self, call: Call) -> Mapping[str, Any]:
        """JSON values for whoever wants to make the kernel faster; ``bottleneck`` is one sentence. May run the plan."""
        ...


@runtime_checkable
class Sanitizes(Protocol):
    """An accelerator with a device on which bad accesses and races show, whether they change a result or not."""

    def sanitizer(self) -> Device:
        """That device, of the realm INTERPRETED. Raises `KernelEvolveError` where a part it needs is missing."""
        ...


@runtime_checkable
class CompilesOnHost(Protocol):
    """An accelerator whose compiler needs no open device: the core compiles in processes of their own, several at once,
    while the device is left to launches.
    """

    #: Whether it is so.
    compiles_on_host: bool


@runtime_checkable
class Interprets(Protocol):
    """An accelerator with a device of the realm INTERPRETED that runs sources; the compiler is not asked for these."""

    def interpret(self, plan: LaunchPlan) -> Artifact:
        """What that device's session loads in place of a compiled artifact. Runs nothing and compiles nothing."""
        ...

    def stand_in(self, target: Target) -> Device:
        """That device with the facts of a chip that runs `target`, for which kernels are then compiled."""
        ...


@runtime_checkable
class Accelerator(Protocol):
    """A plugin for one toolchain + chip family."""

    name: str
    #: The contract it was written against (`API`).
    api: tuple[int, int]
    languages: frozenset[str]

    def probe(self) -> Availability:
        """Whether it can be used here. Under a second; opens nothing."""
        ...

    def targets(self) -> Sequence[Target]:
        """What can be compiled for here, with or without a device."""
        ...

    def devices(self) -> Sequence[Device]:
        """What can run here now."""
        ...

    def compile_key(self, plan: LaunchPlan) -> Mapping[str, Any]:
        """Everything about `plan` that changes the binary, as JSON values; the core adds target and toolchain."""
        ...

    def toolchain(self) -> Mapping[str, str]:
        """Names and versions of everything that takes part in a compile.

        An entry called ``NAME of TARGET`` takes part in compiles for that target only.
        """
        ...

    def compile(self, plan: LaunchPlan, target: Target) -> Artifact:
        """Compile. Raises `CompileError`, `ToolchainError` or `ResourceExceeded`."""
        ...

    def open(self, device: Device) -> AbstractContextManager[Session]:
        """Open a device in this process."""
        ...
