"""An open GPU: buffers with guard zones, launches, one timed sample. Knows a driver, and no vendor."""

from __future__ import annotations

__all__ = ["GpuSession"]

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import numpy as np

from kernelevolve.accelerator import Artifact, Buffer, BufferSpec, Device, Sample, Source
from kernelevolve.backends._gpu.binding import Binder, DeviceLimits, GpuBuffer
from kernelevolve.backends._gpu.calls import GpuCall, GpuProgram, LoadedEntry, Owned
from kernelevolve.backends._gpu.driver import DriverError, ErrorKind, GpuDriver
from kernelevolve.backends._gpu.entries import Entry, read_entries
from kernelevolve.backends._gpu.failures import outcome_of
from kernelevolve.backends._gpu.stopwatch import Reading, Stopwatch
from kernelevolve.backends._gpu.telemetry import SLOWDOWNS, snapshot
from kernelevolve.outcome import CandidateError, DeviceFault, DeviceLost, OutOfMemory, PluginBug, ToolchainError
from kernelevolve.plan import PlannedLaunch

#: Of payloads, bytes: what drivers align allocations to at least, so kernels may count on it.
ALIGNMENT: Final = 256
#: The flush writes this much at least: what a driver reports may be one cache of several.
_LEAST_FLUSH: Final = 32 << 20
#: For how long a call runs while clocks and power are read (seconds), and how often at most.
_BUSY: Final = 2e-3
_MAX_BUSY: Final = 100
#: How far the device's clock may be ahead of the host's on the same work: drift, and a resolution of half a microsecond
#: ("cuEventElapsedTime" in the CUDA driver API) at either end.
_CLOCK_DRIFT: Final = 1.05
_CLOCK_RESOLUTION: Final = 1e-6
#: Odd, so that the flush writes another word each time.
_PATTERN_STEP: Final = 0x9E3779B1


class GpuSession:
    """The `kernelevolve.accelerator.Session` of one GPU; also flushes its cache.

    `index` is the driver's number of the device, where it is not `device.index`.
    """

    def __init__(self, device: Device, driver: GpuDriver, index: int | None = None) -> None:
        self.device = device
        self._driver = driver
        self._broken: CandidateError | None = None
        #: What programs and calls own; emptied when the session closes, if not before.
        self._owned: weakref.WeakSet[Owned] = weakref.WeakSet()
        self._allocated: set[int] = set()
        self._flush_buffer = 0
        self._flushes = 0
        number = device.index if index is None else index
        try:
            self._limits = DeviceLimits.of(driver, number)
            driver.open(number)
            self._stream = driver.create_stream()
            self._stopwatch = Stopwatch(driver, self._stream)
        except DriverError as error:
            raise DeviceLost(f"{device.label} could not be opened: {error}", log=str(error)) from None

    @property
    def gate(self) -> str:
        """What holds the stream while timed work is enqueued: ``kernel``, ``stream`` or ``none``. For the record."""
        return self._stopwatch.gate

    def close(self) -> None:
        """Wait for the device and give everything back."""
        driver = self._driver
        if self._broken is None:
            with suppress(DriverError):  # a launch that nobody waited for; there is no one to tell any more
                driver.synchronize(self._stream)
            for owned in list(self._owned):
                owned.dispose()
            with suppress(DriverError):
                for address in self._allocated:
                    driver.free(address)
                self._stopwatch.dispose()
                driver.destroy_stream(self._stream)
        with suppress(DriverError):
            driver.close()

    def _ready(self) -> None:
        if self._broken is not None:
            raise self._broken

    def _failed(self, error: DriverError, doing: str) -> CandidateError:
        outcome = outcome_of(error, doing)
        if isinstance(outcome, DeviceFault | DeviceLost):
            self._broken = outcome
        return outcome

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """Driver calls that turn into outcomes; none at all once the device is broken."""
        self._ready()
        try:
            yield
        except DriverError as error:
            raise self._failed(error, what) from None

    # Programs

    def load(self, artifact: Artifact) -> GpuProgram:
        """Load the binary of every entry. Raises `ToolchainError` where the driver does not take it."""
        self._ready()
        entries, loaded, owned = read_entries(artifact.extra), {}, Owned()
        self._owned.add(owned)
        try:
            for entry in entries.values():
                loaded[entry.name] = self._load(entry, artifact.stages, owned)
        except BaseException:
            owned.dispose()
            raise
        program = GpuProgram(loaded, owned)
        weakref.finalize(program, owned.dispose).atexit = False
        return program

    def _load(self, entry: Entry, stages: Mapping[str, bytes], owned: Owned) -> LoadedEntry:
        driver = self._driver
        binary = stages.get(f"{driver.binary}:{entry.name}", stages.get(driver.binary))
        if binary is None:
            raise PluginBug(f"the artifact has no {driver.binary} for {entry.name}", traceback="")
        try:
            module = driver.load(binary)
            owned.add(lambda: driver.unload(module))
            function = driver.function(module, entry.symbol)
            return LoadedEntry(entry, function, driver.function_attributes(function))
        except DriverError as error:
            if error.kind is ErrorKind.IMAGE:
                architecture = self.device.target.name.rpartition(":")[2]
                message = driver.explain_image(error, architecture, stages)
                raise ToolchainError(f"{entry.name}: {message}", log=str(error)) from None
            failed = self._failed(error, f"loading {entry.name}")
            if failed is self._broken or isinstance(failed, OutOfMemory):
                raise failed from None
            raise ToolchainError(f"{entry.name} could not be loaded: {error}", log=str(error)) from None

    # Memory

    def allocate(self, spec: BufferSpec) -> GpuBuffer:
        """One allocation for guards and payload."""
        self._ready()
        guard = -(-spec.guard // ALIGNMENT) * ALIGNMENT
        nbytes = 2 * guard + spec.nbytes
        base = self._allocate(nbytes)
        return GpuBuffer(spec, guard, base, base + guard, nbytes)

    def _allocate(self, nbytes: int) -> int:
        try:
            address = self._driver.allocate(max(nbytes, 1))
        except DriverError as error:
            if error.kind is not ErrorKind.MEMORY:
                raise self._failed(error, f"allocating {nbytes} bytes") from None
            free, total = self._driver.memory_info()
            message = f"{nbytes} bytes of device memory are needed; {free} of {total} are free"
            raise OutOfMemory(message, needed=nbytes, limit=free) from None
        self._allocated.add(address)
        return address

    def free(self, buffer: Buffer) -> None:
        """Give the allocation back."""
        own = _own(buffer)
        self._allocated.discard(own.base)
        with self._doing("freeing memory"):
            self._driver.free(own.base)

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:
        """Set bytes, asynchronously."""
        address, count = _extent(_own(buffer), guards=guards)
        with self._doing("filling a buffer"):
            if count:
                self._driver.set8(address, pattern, count, self._stream)

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        """Copy to the payload, and wait."""
        own = _own(buffer)
        if data.nbytes != own.spec.nbytes:
            raise ValueError(f"{data.nbytes} bytes for a buffer of {own.spec.nbytes}")
        host = np.frombuffer(data, np.uint8)
        with self._doing("copying to the device"):
            if host.size:
                self._driver.copy_in(own.address, host.ctypes.data, host.size, self._stream)
                self._driver.synchronize(self._stream)

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:
        """Copy from the device, and wait."""
        address, count = _extent(_own(buffer), guards=guards)
        host = np.empty(count, np.uint8)
        with self._doing("copying from the device"):
            if count:
                self._driver.copy_out(host.ctypes.data, address, count, self._stream)
                self._driver.synchronize(self._stream)
        return host.tobytes()

    # Launches

    def bind(self, program: Any, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> GpuCall:
        """Check every launch against the device and pack its parameters, once."""
        owned, label = Owned(), ", ".join(launch.entry for launch in launches)
        self._owned.add(owned)
        own = {name: _own(buffer) for name, buffer in buffers.items()}
        binder = Binder(self._driver, self._limits, self._stream, own, owned)
        try:
            with self._doing(f"preparing {label}"):
                bound = [binder.bind(launch, program.entries[launch.entry]) for launch in launches]
        except BaseException:
            owned.dispose()
            raise
        steps, arguments = tuple(step for step, _ in bound), tuple(packed for _, packed in bound)
        call = GpuCall(self._driver, self._stream, program, steps, label, arguments, owned)
        weakref.finalize(call, owned.dispose).atexit = False
        return call

    def launch(self, call: Any) -> None:
        """Enqueue every launch."""
        self._ready()
        try:
            call.run()
        except DriverError as error:
            raise self._failed(error, f"launching {call.label}") from None
        call.warm = True

    def synchronize(self) -> None:
        """Wait for the stream; nothing runs on any other."""
        with self._doing("running kernels"):
            self._driver.synchronize(self._stream)

    def time(self, call: Any, *, launches: int = 1) -> Sample:
        """Device events around the work, all enqueued before it starts; the host's clock where those make no sense.

        What was enqueued before (poison, flush) runs first and is not in the time. A call that never ran is not held
        back by a gate: drivers may wait for the device when they launch a kernel for the first time.
        """
        with self._doing(f"timing {call.label}"):
            work, gated = call.work(launches)
            reading = self._stopwatch.measure(work, gated=gated)
        call.warm = True
        call.stalls = call.stalls or not reading.held
        sample = _sample(reading, launches)
        call.seconds = sample.seconds
        return sample

    def profile(self, call: Any) -> Mapping[str, Any]:
        """Under ``telemetry`` the clocks, the power and what limits them while the call runs again and again; nothing
        where no management library is installed.
        """
        with self._doing(f"running {call.label}"):
            for _ in range(_runs_within(_BUSY, call.seconds)):
                call.run()
            found = snapshot(self._driver.platform, self.device.description.get("pci", ""))
            self._driver.synchronize(self._stream)
        if not found:
            return {}
        reasons = [one for one in found.get("throttled", ()) if one in SLOWDOWNS]
        held = {"bottleneck": f"the device holds its clocks back: {', '.join(reasons)}"} if reasons else {}
        return {"telemetry": dict(found), **held}

    def flush(self) -> None:
        """Write twice the last cache, asynchronously: the device is busy while the host enqueues what comes next.

        Lines that a kernel marked to stay are made ordinary first, or they would outlive it.
        """
        driver = self._driver
        nbytes = max(2 * self.device.memory.get("cache", 0), _LEAST_FLUSH) // 4 * 4
        with self._doing("flushing the cache"):
            if not self._flush_buffer:
                self._flush_buffer = self._allocate(nbytes)
            driver.synchronize(self._stream)  # the reset acts at once; what still runs could mark lines after it
            driver.reset_persisting_cache()
            self._flushes += 1
            word = self._flushes * _PATTERN_STEP & 0xFFFFFFFF
            driver.set32(self._flush_buffer, word, nbytes // 4, self._stream)


def _runs_within(seconds: float, once: float) -> int:
    """How often a call that takes `once` fits; at least once, also where nobody knows."""
    return max(1, min(_MAX_BUSY, round(seconds / once))) if once > 0 else 1


def _sample(reading: Reading, launches: int) -> Sample:
    host = reading.host / launches
    if 0 < reading.device <= reading.host * _CLOCK_DRIFT + _CLOCK_RESOLUTION:
        return Sample(reading.device / launches, Source.DEVICE_EVENT, launches, host)
    return Sample(host, Source.HOST_WALL, launches, host)


def _extent(buffer: GpuBuffer, *, guards: bool) -> tuple[int, int]:
    """Address and size of the payload, or of all of the allocation."""
    return (buffer.base, buffer.nbytes) if guards else (buffer.address, buffer.spec.nbytes)


def _own(buffer: Buffer) -> GpuBuffer:
    if not isinstance(buffer, GpuBuffer):
        raise TypeError(f"a {type(buffer).__name__} is no buffer of this session")
    return buffer
