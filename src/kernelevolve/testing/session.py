"""An open reference device: strict about how it is used, and with a made-up clock.

Launches are queued and run when somebody waits, in a group order that changes from launch to launch. A misuse by the
caller is a `ContractError`; a candidate's failure is an exception of `kernelevolve.outcome`. A fault is sticky.
"""

from __future__ import annotations

__all__ = ["CLOCK_HERTZ", "MAX_GROUPS", "ReferenceSession"]

import ast
import builtins
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from attrs import field, frozen

from kernelevolve.accelerator import Artifact, Buffer, BufferSpec, Call, Device, Program, Sample, Source
from kernelevolve.expressions import Expression, ExpressionError
from kernelevolve.outcome import CandidateError, DeviceFault, DeviceLost, LaunchError, OutOfMemory
from kernelevolve.plan import Argument, BufferArgument, LocalArgument, PlannedLaunch, ScalarArgument, TextArgument
from kernelevolve.testing.compiler import Markers, read_markers, toolchain
from kernelevolve.testing.language import BUILTINS, ReferenceLanguage, parse_source
from kernelevolve.testing.memory import ContractError, ReferenceBuffer, require
from kernelevolve.testing.primitives import PluginBrokenError, Primitives

#: Cycles per second of the made-up clock.
CLOCK_HERTZ: Final = 1_000_000_000
#: The driver refuses a launch of more groups than this.
MAX_GROUPS: Final = 2**24
_FILENAME: Final = "<kernel>"
_IMPORTS: Final = (ast.Import, ast.ImportFrom)


@frozen(eq=False)
class _Program:
    owner: ReferenceSession
    artifact: Artifact
    markers: Markers
    entries: Mapping[str, Callable[..., None]]


@frozen
class _Local:
    """Stands for local memory until a group runs and gets its own."""

    nbytes: int


@frozen(eq=False)
class _Bound:
    """One launch with its arguments in place and its price."""

    launch: PlannedLaunch
    entry: Callable[..., None]
    arguments: tuple[Any, ...]
    cold_cycles: int
    warm_cycles: int


@frozen(eq=False)
class _Call:
    owner: ReferenceSession
    program: _Program
    bound: tuple[_Bound, ...]
    buffers: tuple[ReferenceBuffer, ...]
    #: Counts the runs of this call.
    runs: Iterator[int] = field(factory=itertools.count)


class ReferenceSession:
    """One open device; satisfies `kernelevolve.accelerator.Session` and `FlushesCache`."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._open = True
        self._broken: CandidateError | None = None
        self._queue: list[_Call] = []
        self._allocated = 0
        self._serial = itertools.count()
        self._launches = 0
        self._samples = 0
        self._cold = True
        self._primitives = Primitives()

    def close(self) -> None:
        """Drop what is queued; any later use is a contract violation."""
        self._open = False
        self._queue.clear()

    def load(self, artifact: Artifact) -> Program:
        self._ready()
        extra, target = artifact.extra, self.device.target.name
        require(set(extra) >= {"target", "configuration", "dtypes", "entries"}, "load: no artifact of this accelerator")
        require(extra["target"] == target, f"load: compiled for {extra['target']}, this device is {target}")
        require(dict(artifact.toolchain) == toolchain(), "load: compiled by another toolchain; the cache key lacks it")
        source = artifact.stages["program"].decode()
        ReferenceLanguage().gate(source)  # an artifact may come from a cache, which is no place to trust
        tree = parse_source(source)
        namespace: dict[str, Any] = {"__builtins__": {}, "np": np, "math": math, **extra["configuration"]}
        namespace |= {name: getattr(builtins, name) for name in BUILTINS} | dict(self._primitives.namespace())
        tree.body = [node for node in tree.body if not isinstance(node, _IMPORTS)]
        exec(compile(tree, _FILENAME, "exec"), namespace)  # noqa: S102  # gated just above, and nothing else to reach
        entries = {name: namespace[name] for name in extra["entries"]}
        return _Program(self, artifact, read_markers(tree, tuple(entries)), entries)

    def allocate(self, spec: BufferSpec) -> Buffer:
        self._ready()
        needed, limit = spec.nbytes + 2 * spec.guard, self.device.memory["global"]
        if self._allocated + needed > limit:
            message = f"{needed} bytes more than the {self._allocated} in use; the device has {limit}"
            raise OutOfMemory(message, needed=self._allocated + needed, limit=limit)
        buffer = ReferenceBuffer(spec, self, next(self._serial))
        self._allocated += needed
        return buffer

    def free(self, buffer: Buffer) -> None:
        require(self._open, "the session is closed")
        own = self._own(buffer, "free")
        queued = any(own in call.buffers for call in self._queue)
        require(not queued, f"free: {own.name} is used by a launch that has not run; synchronize first")
        own.alive = False
        self._allocated -= len(own.bytes)

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:
        self._drain()
        own = self._own(buffer, "fill")
        require(isinstance(pattern, int) and 0 <= pattern <= 255, f"fill: pattern {pattern!r} is no byte")
        where = memoryview(own.bytes) if guards else own.payload
        where[:] = bytes([pattern]) * len(where)

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        self._drain()
        own = self._own(buffer, "upload")
        require(isinstance(data, memoryview), f"upload: data is a {type(data).__name__}, not a memoryview")
        require(data.nbytes == own.spec.nbytes, f"upload: {data.nbytes} bytes into a payload of {own.spec.nbytes}")
        own.payload[:] = data.cast("B")

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:
        self._drain()
        own = self._own(buffer, "download")
        return bytes(own.bytes if guards else own.payload)

    def bind(self, program: Program, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> Call:
        self._ready()
        if not isinstance(program, _Program) or program.owner is not self:
            raise ContractError("bind: the program was loaded by another session")
        own = {name: self._own(buffer, f"bind {name}") for name, buffer in buffers.items()}
        bound = tuple(self._bound(program, launch, own) for launch in launches)
        return _Call(self, program, bound, tuple(own.values()))

    def launch(self, call: Call) -> None:
        self._ready()
        self._queue.append(self._checked(call))

    def synchronize(self) -> None:
        self._drain()

    def flush(self) -> None:
        self._drain()
        self._cold = True

    def time(self, call: Call, *, launches: int = 1) -> Sample:
        require(launches >= 1, f"time: {launches} launches; at least 1 is needed")
        self._drain()
        checked = self._checked(call)
        cycles = 0.0
        for _ in range(launches):
            cycles += sum(one.cold_cycles if self._cold else one.warm_cycles for one in checked.bound)
            self._run(checked)
        per_launch = max(1, round(cycles / launches * self._noise(checked.program)))
        return Sample(per_launch / CLOCK_HERTZ, Source.EMULATED_CYCLES, launches, cycles=per_launch)

    def _noise(self, program: _Program) -> float:
        """The factor of this sample: from the count of samples and the program alone, so that runs repeat."""
        self._samples += 1
        text = f"{self._samples}:".encode() + program.artifact.stages["program"]
        share = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
        return 1.0 + program.markers.noise * (2.0 * share - 1.0)

    def _ready(self) -> None:
        require(self._open, "the session is closed")
        if self._broken is not None:
            raise self._broken

    def _own(self, buffer: Buffer, what: str) -> ReferenceBuffer:
        if not isinstance(buffer, ReferenceBuffer) or buffer.owner is not self:
            raise ContractError(f"{what}: the buffer was allocated by another session")
        require(buffer.alive, f"{what}: {buffer.name} was freed")
        return buffer

    def _checked(self, call: Call) -> _Call:
        if not isinstance(call, _Call) or call.owner is not self:
            raise ContractError("launch: the call was bound by another session")
        for buffer in call.buffers:
            require(buffer.alive, f"launch: {buffer.name} was freed after it was bound")
        for one in call.bound:
            if math.prod(one.launch.grid) > MAX_GROUPS:
                message = f"{one.launch.entry}: a grid of {one.launch.grid} has more than {MAX_GROUPS} groups"
                raise LaunchError(message, code="INVALID_GRID")
        return call

    def _bound(self, program: _Program, launch: PlannedLaunch, buffers: Mapping[str, ReferenceBuffer]) -> _Bound:
        extra = program.artifact.extra
        require(launch.entry in extra["entries"], f"bind: the program has no entry {launch.entry!r}")
        given = [argument.parameter for argument in launch.arguments]
        require(given == extra["entries"][launch.entry], f"bind: {launch.entry} gets {given}, in the wrong order")
        require(1 <= len(launch.grid) <= 3 and min(launch.grid) >= 1, f"bind: the grid is {launch.grid}")
        limit = self.device.facts["max_group_size"]
        require(math.prod(launch.block) <= limit, f"bind: a block of {launch.block} has more than {limit} items")
        arguments = tuple(_argument(argument, extra["dtypes"], buffers) for argument in launch.arguments)
        scope = self._scope(program, launch, buffers)
        markers = program.markers
        cold, warm = (_cycles(table[launch.entry], scope) for table in (markers.cost, markers.warm))
        return _Bound(launch, program.entries[launch.entry], arguments, cold, warm)

    def _scope(
        self, program: _Program, launch: PlannedLaunch, buffers: Mapping[str, ReferenceBuffer]
    ) -> dict[str, int]:
        configuration = program.artifact.extra["configuration"]
        scope = {name: int(value) for name, value in configuration.items() if not isinstance(value, str)}
        groups = math.prod(launch.grid)
        scope |= {**self.device.facts, "groups": groups, "items": groups * math.prod(launch.block), "bytes": 0}
        for argument in launch.arguments:
            if isinstance(argument, BufferArgument):
                scope["bytes"] += buffers[argument.buffer].spec.nbytes
            elif isinstance(argument, ScalarArgument) and isinstance(argument.value, int):
                scope[argument.parameter] = argument.value
        return scope

    def _drain(self) -> None:
        """Run what is queued, in order. A failure drops the rest."""
        self._ready()
        queue, self._queue = self._queue, []
        for call in queue:
            self._run(call)

    def _run(self, call: _Call) -> None:
        self._cold = False
        self._primitives.buffers = call.buffers
        self._primitives.runs = next(call.runs)
        for one in call.bound:
            try:
                self._run_groups(one)
            except (DeviceFault, DeviceLost) as error:
                self._broken = error
                raise
            except (CandidateError, PluginBrokenError):
                raise
            except MemoryError:
                raise OutOfMemory(f"{one.launch.entry}: the host's memory is exhausted") from None
            except Exception as error:
                message = f"{one.launch.entry}, line {_line(error)}: {type(error).__name__}: {error}"
                self._broken = DeviceFault(message, signal=None)
                raise self._broken from error

    def _run_groups(self, one: _Bound) -> None:
        axes = [range(size) for size in one.launch.grid]
        if self._launches % 2:  # groups have no order: a kernel that counts on one is wrong every other time
            axes = [axis[::-1] for axis in axes]
        self._primitives.grid = one.launch.grid
        with np.errstate(all="ignore"):
            for group in itertools.product(*axes):
                self._primitives.group = group
                one.entry(*(_poisoned(a.nbytes) if isinstance(a, _Local) else a for a in one.arguments))
        self._launches += 1


def _argument(argument: Argument, dtypes: Mapping[str, str], buffers: Mapping[str, ReferenceBuffer]) -> Any:
    match argument:
        case LocalArgument(nbytes=nbytes):
            return _Local(nbytes)
        case ScalarArgument(value=value, dtype=None):
            return value
        case TextArgument(value=text):
            return text
        case ScalarArgument(value=value, dtype=dtype):
            return np.dtype(dtype).type(value)
    name = argument.buffer
    require(name in buffers and name in dtypes, f"bind: no buffer {name!r} was given")
    require(
        buffers[name].spec.nbytes % np.dtype(dtypes[name]).itemsize == 0, f"bind: {name} is no whole {dtypes[name]}"
    )
    return buffers[name].array(dtypes[name])


def _poisoned(nbytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full(nbytes, 0xFF, dtype=np.uint8)


def _cycles(cost: Expression, scope: Mapping[str, int]) -> int:
    try:
        return max(1, cost.evaluate(scope))
    except ExpressionError as error:
        raise LaunchError(f"COST: {error}", code="COST") from None


def _line(error: BaseException) -> int:
    """The kernel's line that raised, or 1."""
    lines = [1]
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILENAME:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[-1]
