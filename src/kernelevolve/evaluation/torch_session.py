"""An open PyTorch device: buffers that implementations read their inputs from, and the two clocks that time them.

On the host's processor the clock is the host's, around one call, allocation of the outputs included. On a GPU only what
the **device** does is counted. Before the start event the stream gets a kernel that spins, and the call is enqueued
behind it, so that the device never waits for Python; an event that was already reached once the call had returned shows
that the spin was too short, and the sample is taken again behind a longer one. That is PyTorch as a program runs it
that keeps its GPU busy: the caching allocator included, the host's time not.

A captured CUDA graph would hide the host as well, and is not used: capture refuses implementations that synchronise,
gives the allocator a private pool, and copies inputs unless they stay in place; and candidates are launched into a
stream too. What it would save is some of the gap of a microsecond or less between the kernels of one call.
"""

from __future__ import annotations

__all__ = ["DeviceClock", "HostClock", "Implementation", "TorchSession", "failure"]

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import torch
from attrs import define, frozen

from kernelevolve.accelerator import Artifact, Buffer, BufferSpec, Device, Sample, Source
from kernelevolve.outcome import CandidateError, CompileError, DeviceFault, LaunchError, OutOfMemory, Unstable
from kernelevolve.plan import PlannedLaunch
from kernelevolve.problem import Problem, Workload

Tensors = tuple[torch.Tensor, ...]
#: How long the first spin is (seconds), and the longest one: no call that leaves its work to the device takes longer.
FIRST_SPIN: Final = 200e-6
LONGEST_SPIN: Final = 50e-3
#: Cycles of `torch.cuda._sleep` per second: at least the clock of any GPU, so that a spin is never shorter than asked.
_CYCLES: Final = 2.5e9


@define(eq=False)
class Implementation:
    """One way to compute a problem in PyTorch: takes the inputs in their declared order, returns all outputs."""

    problem: Problem
    workload: Workload
    name: str
    run: Callable[..., Tensors]
    #: Whether the call waits for the device: then the device waits for the host as well, and that time is its own.
    synchronises: bool = False


class Clock(Protocol):
    """Takes one sample of a call; `flush` beforehand makes it a cold one."""

    def take(self, run: Callable[[], Tensors], *, synchronises: bool) -> tuple[Sample, Tensors]: ...

    def flush(self, nbytes: int) -> None: ...

    def hides(self, run: Callable[[], Tensors]) -> bool: ...


class HostClock:
    """The host's wall clock around one call."""

    def __init__(self) -> None:
        self._flusher = torch.zeros(1, dtype=torch.int32)

    def take(self, run: Callable[[], Tensors], *, synchronises: bool) -> tuple[Sample, Tensors]:  # noqa: ARG002
        """One call."""
        begin = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - begin
        return Sample(seconds, Source.HOST_WALL, 1, seconds), result

    def flush(self, nbytes: int) -> None:
        """Write `nbytes`."""
        count = max(1, nbytes // 4)
        if self._flusher.numel() != count:
            self._flusher = torch.zeros(count, dtype=torch.int32)
        self._flusher.add_(1)

    def hides(self, run: Callable[[], Tensors]) -> bool:
        """The host's own work is what is timed here."""
        run()
        return True


class DeviceClock:
    """Device events around one call that waits, completely enqueued, behind a spinning kernel.

    `cuda` is ``torch.cuda``; `cache` the last-level cache in bytes; `now` the host's clock, the second witness.
    """

    def __init__(self, cuda: Any, cache: int, now: Callable[[], float] = time.perf_counter) -> None:
        self._cuda, self._cache, self._now = cuda, cache, now
        self._spin = FIRST_SPIN
        self._flusher: Any = None
        self._flushed: int | None = None

    def flush(self, nbytes: int) -> None:
        """Write twice the cache, or `nbytes` if that is more."""
        size = max(nbytes, 2 * self._cache, 1)
        if self._flusher is None or self._flusher.numel() < size:
            self._flusher = torch.empty(size, dtype=torch.uint8, device="cuda")
        self._flusher.fill_(1)
        self._flushed = nbytes

    def take(self, run: Callable[[], Tensors], *, synchronises: bool) -> tuple[Sample, Tensors]:
        """One sample. Raises `Unstable` where the host cannot be hidden although the call need not wait for it."""
        cold, self._flushed = self._flushed, None
        while True:
            sample, result, hidden = self._once(run)
            if hidden or synchronises:
                return sample, result
            if not self._longer():
                message = f"the host took longer to enqueue one call than {LONGEST_SPIN:g} s"
                raise Unstable(message, spread=None)
            if cold is not None:
                self.flush(cold)
                self._flushed = None

    def hides(self, run: Callable[[], Tensors]) -> bool:
        """Whether a call can be enqueued behind a spin: not where it waits for the device itself.

        Finds out how long a spin must be.
        """
        while True:
            if self._once(run)[2]:
                return True
            if not self._longer():
                self._spin = FIRST_SPIN  # of the next implementation
                return False

    def _longer(self) -> bool:
        if self._spin >= LONGEST_SPIN:
            return False
        self._spin = min(LONGEST_SPIN, 4 * self._spin)
        return True

    def _once(self, run: Callable[[], Tensors]) -> tuple[Sample, Tensors, bool]:
        """One sample, its results, and whether everything was enqueued before the device began.

        The host's clock runs from the last instant known to precede the start.
        """
        cuda, now = self._cuda, self._now
        start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize()
        cuda._sleep(int(self._spin * _CYCLES))  # noqa: SLF001  # PyTorch's own tests time with it; nothing public spins
        before = now()
        start.record()
        result = run()
        hidden = not start.query()
        end.record()
        while hidden:
            seen = now()
            if start.query():
                break
            before = seen
        end.synchronize()
        host = now() - before
        return Sample(start.elapsed_time(end) * 1e-3, Source.DEVICE_EVENT, 1, host), result, hidden


@frozen(eq=False)
class _Buffer:
    """Bytes on the device. Implementations write nothing but their own results, so guard zones have no meaning here."""

    spec: BufferSpec
    data: torch.Tensor

    def view(self, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
        return self.data.view(getattr(torch, dtype)).view(shape)


@frozen(eq=False)
class _Call:
    implementation: Implementation
    inputs: Tensors
    outputs: Tensors

    def __call__(self) -> Tensors:
        return self.implementation.run(*self.inputs)


class TorchSession:
    """The `kernelevolve.accelerator.Session` of PyTorch; `build` makes the implementation an artifact describes."""

    def __init__(self, device: Device, place: torch.device, clock: Clock, build: Callable[[Artifact], Any]) -> None:
        self.device, self.place, self.clock = device, place, clock
        self._build = build
        #: Bytes that `flush` writes at least; set by whoever knows the caches of the host.
        self.flush_bytes = 0

    def load(self, artifact: Artifact) -> Any:
        """The implementation; compiled anew where another process compiled it."""
        return self._build(artifact)

    def allocate(self, spec: BufferSpec) -> _Buffer:
        """Memory of PyTorch's allocator."""
        try:
            return _Buffer(spec, torch.empty(spec.nbytes, dtype=torch.uint8, device=self.place))
        except RuntimeError as error:
            raise failure(error, "allocation") from None

    def free(self, buffer: Buffer) -> None:
        """Nothing: a tensor nobody refers to gives its memory back."""

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:  # noqa: ARG002  # there are no guards
        """Set every byte."""
        _own(buffer).data.fill_(pattern)

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        """Copy to the device, and wait."""
        host = torch.empty(data.nbytes, dtype=torch.uint8)
        np.copyto(host.numpy(), np.frombuffer(data, np.uint8))
        _own(buffer).data.copy_(host)

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:  # noqa: ARG002
        """Copy from the device, and wait."""
        return _own(buffer).data.cpu().numpy().tobytes()

    def bind(self, program: Any, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> _Call:  # noqa: ARG002
        """The implementation on these buffers."""
        problem, workload = program.problem, program.workload
        dtypes = problem.dtypes(workload)

        def tensors(specs: Sequence[Any]) -> Tensors:
            return tuple(_own(buffers[s.name]).view(dtypes[s.name], s.sizes(workload.axes)) for s in specs)

        return _Call(program, tensors(problem.inputs), tensors(problem.outputs))

    def launch(self, call: Any) -> None:
        """One run, its results in the output buffers."""
        try:
            with torch.inference_mode():
                self._keep(call, call())
        except Exception as error:  # the problem's author or PyTorch may raise anything; it becomes an outcome
            raise failure(error, call.implementation.name) from error

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.place.type == "cuda":
            try:
                torch.cuda.synchronize()
            except RuntimeError as error:
                raise failure(error, "synchronize") from error

    def time(self, call: Any, *, launches: int = 1) -> Sample:  # noqa: ARG002  # the worker asks for single ones
        """One sample; its results are copied to the output buffers once it is taken, so that they can be verified."""
        try:
            with torch.inference_mode():
                sample, results = self.clock.take(call, synchronises=call.implementation.synchronises)
                self._keep(call, results)
        except Exception as error:  # see `launch`
            raise failure(error, call.implementation.name) from error
        return sample

    def flush(self) -> None:
        """Evict the caches."""
        self.clock.flush(self.flush_bytes)

    def _keep(self, call: _Call, results: Tensors) -> None:
        for spec, place, result in zip(call.implementation.problem.outputs, call.outputs, results, strict=True):
            if result.shape != place.shape:
                message = f"{call.implementation.name} returned {spec.name!r} of shape {tuple(result.shape)}"
                raise LaunchError(f"{message}; the problem declares {tuple(place.shape)}", code="shape")
            place.copy_(result)


def _own(buffer: Buffer) -> _Buffer:
    if not isinstance(buffer, _Buffer):
        raise TypeError(f"a {type(buffer).__name__} is no buffer of this session")
    return buffer


def failure(error: BaseException, what: str, *, compiling: bool = False) -> CandidateError:
    """What an exception of PyTorch means for an implementation; a fault of the device ends the process."""
    if isinstance(error, CandidateError):
        return error
    text = str(error).strip()
    first = text.splitlines()[0][:300] if text else "no message"
    message = f"{what}: {type(error).__name__}: {first}"
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        return OutOfMemory(message, needed=None, limit=None)
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in text or "HIP error" in text:
        return DeviceFault(message, signal=None)
    if compiling:
        trace = "".join(traceback.format_exception(error))
        return CompileError(message, stage="torch.compile", log=trace[-8000:], line=None)
    return LaunchError(message, code=type(error).__name__)
