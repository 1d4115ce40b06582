"""The session of the interpreted device: sources run in Python, thread by thread, without any clock.

The process runs numba-cuda in its simulator mode, of which kernels get what is right for checking (vector types);
numbers, arrays, barriers and warps are `kernelevolve.backends._numba.interpreter`'s.
"""

from __future__ import annotations

__all__ = ["SimulatedBuffer", "SimulatorSession", "interpreted_artifact", "open_simulator"]

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
from attrs import asdict, frozen

from kernelevolve.accelerator import Artifact, Buffer, BufferSpec, Device, Sample
from kernelevolve.backends._numba.failures import own_line
from kernelevolve.backends._numba.importing import import_cuda
from kernelevolve.backends._numba.interpreter.arrays import OutsideError, array, storage_type
from kernelevolve.backends._numba.interpreter.intrinsics import Cuda, Dim3, resolve
from kernelevolve.backends._numba.interpreter.mathematics import BUILTINS
from kernelevolve.backends._numba.interpreter.rewriting import Rewritten, rewrite
from kernelevolve.backends._numba.interpreter.scalars import Int32
from kernelevolve.backends._numba.interpreter.threads import Block, StuckError
from kernelevolve.backends._numba.interpreter.watching import Position, RaceError, Watch
from kernelevolve.backends._numba.signature import ArrayParameter, ScalarParameter, read_entries
from kernelevolve.kernel import Value
from kernelevolve.outcome import (
    CandidateError,
    LaunchError,
    Nondeterministic,
    OutOfBounds,
    OutOfMemory,
    ToolchainError,
)
from kernelevolve.plan import LaunchPlan, LocalArgument, PlannedLaunch, ScalarArgument

_ENDED: Final = object()
_SCALARS: Final[Mapping[str, Any]] = {"i32": Int32, "i64": np.int64, "fp32": np.float32, "fp64": np.float64}


def interpreted_artifact(plan: LaunchPlan) -> Artifact:
    """What `SimulatorSession.load` takes: the source, the tunables, and the arguments' types. Nothing is run."""
    entries = {
        name: [{**asdict(one), "is": type(one).__name__} for one in entry.parameters]
        for name, entry in read_entries(plan).items()
    }
    return Artifact(
        stages={"source": plan.source.encode()},
        extra={"constants": dict(plan.configuration), "parameters": entries},
    )


@contextmanager
def open_simulator(device: Device) -> Iterator[SimulatorSession]:
    """Switch this process to numba-cuda's simulator, for good. Raises `ToolchainError` where Numba compiles in it."""
    import_cuda(simulator=True)
    yield SimulatorSession(device)


@frozen(eq=False)
class SimulatedProgram:
    """A rewritten source with its tunables, and the types of each entry's arguments."""

    rewritten: Rewritten
    constants: Mapping[str, Any]
    parameters: Mapping[str, tuple[ArrayParameter | ScalarParameter, ...]]


class SimulatedBuffer:
    """Front guard, payload and back guard in one array."""

    def __init__(self, spec: BufferSpec) -> None:
        self.spec = spec
        self.whole: npt.NDArray[np.uint8] = np.empty(spec.nbytes + 2 * spec.guard, np.uint8)
        self.payload = self.whole[spec.guard : spec.guard + spec.nbytes]


@frozen(eq=False)
class _Step:
    """One launch with its arguments in place."""

    program: SimulatedProgram
    launch: PlannedLaunch
    buffers: Mapping[str, SimulatedBuffer]


class SimulatorSession:
    """The `kernelevolve.accelerator.Session` that interprets. Launches run when somebody waits for them."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._queue: list[tuple[_Step, ...]] = []
        self._launches = itertools.count()

    def load(self, artifact: Artifact) -> SimulatedProgram:
        """Rewrite the source. Raises `ToolchainError` for what cannot be interpreted."""
        kinds = {"ArrayParameter": ArrayParameter, "ScalarParameter": ScalarParameter}
        parameters = {
            name: tuple(kinds[one["is"]](**_fields(one)) for one in listed)
            for name, listed in artifact.extra["parameters"].items()
        }
        constants = {name: _constant(value) for name, value in artifact.extra["constants"].items()}
        return SimulatedProgram(rewrite(artifact.stages["source"].decode()), constants, parameters)

    def allocate(self, spec: BufferSpec) -> SimulatedBuffer:
        """One array for guards and payload. Contents are noise."""
        try:
            return SimulatedBuffer(spec)
        except MemoryError:
            total = spec.nbytes + 2 * spec.guard
            raise OutOfMemory(f"the host has no {total} bytes left", needed=total, limit=None) from None

    def free(self, buffer: Buffer) -> None:
        """Let go of the arrays."""
        own = _own(buffer)
        own.whole = own.payload = np.empty(0, np.uint8)

    def fill(self, buffer: Buffer, pattern: int, *, guards: bool) -> None:
        """Set bytes, after what was launched."""
        self.synchronize()
        own = _own(buffer)
        (own.whole if guards else own.payload)[:] = pattern

    def upload(self, buffer: Buffer, data: memoryview) -> None:
        """Copy to the payload, after what was launched."""
        self.synchronize()
        own = _own(buffer)
        if data.nbytes != own.spec.nbytes:
            raise ValueError(f"{data.nbytes} bytes for a buffer of {own.spec.nbytes}")
        own.payload[:] = np.frombuffer(data, np.uint8)

    def download(self, buffer: Buffer, *, guards: bool = False) -> bytes:
        """Copy, after what was launched."""
        self.synchronize()
        own = _own(buffer)
        return (own.whole if guards else own.payload).tobytes()

    def bind(self, program: Any, launches: Sequence[PlannedLaunch], buffers: Mapping[str, Buffer]) -> tuple[_Step, ...]:
        """Keep launches with their buffers; arrays are made for each run."""
        own = {name: _own(buffer) for name, buffer in buffers.items()}
        return tuple(_Step(program, launch, own) for launch in launches)

    def launch(self, call: Any) -> None:
        """Queue the plan's launches."""
        self._queue.append(call)

    def synchronize(self) -> None:
        """Run what is queued, in order. A failure drops the rest."""
        queue, self._queue = self._queue, []
        for call in queue:
            for step in call:
                _run(step, backwards=bool(next(self._launches) % 2))

    def time(self, call: Any, *, launches: int = 1) -> Sample:
        """There is nothing to say: an interpreter's time is no kernel's."""
        raise NotImplementedError("the interpreted device has no clock")


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter's fields, which JSON made lists of tuples in."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items() if name != "is"}


def _constant(value: Value) -> Any:
    return value if isinstance(value, bool | str) else np.int64(value)


def _own(buffer: Buffer) -> SimulatedBuffer:
    if not isinstance(buffer, SimulatedBuffer):
        raise TypeError(f"a {type(buffer).__name__} is no buffer of this session")
    return buffer


def _run(step: _Step, *, backwards: bool) -> None:
    """One launch. Blocks have no order: every other launch runs them backwards, but where they may wait for others."""
    launch, rewritten = step.launch, step.program.rewritten
    position = Position()
    position.fenced, position.locked = rewritten.fenced, rewritten.fenced and rewritten.polls
    dynamic = sum(argument.nbytes for argument in launch.arguments if isinstance(argument, LocalArgument))
    cuda = Cuda(launch.grid, launch.block, dynamic, position)
    watches: list[Watch] = []
    try:
        with np.errstate(all="ignore"):
            function = _function(step, cuda)
            arguments = _arguments(step, position, watches)
            blocks = _blocks(launch.grid, backwards=backwards and not (rewritten.fenced or rewritten.polls))
            if launch.entry in rewritten.waiting:
                _run_waiting(function, arguments, cuda, launch, blocks, watches)
            else:
                _run_plain(function, arguments, cuda, launch, blocks)
    except CandidateError:
        raise
    except MemoryError:
        raise OutOfMemory(f"{launch.entry}: the host's memory is exhausted", needed=None, limit=None) from None
    except Exception as error:
        _explain(error, launch, cuda)


def _function(step: _Step, cuda: Cuda) -> Any:
    """The entry, in a module of its own: constants, the names it imports, and nothing of the host."""
    rewritten = step.program.rewritten
    namespace: dict[str, Any] = {"__name__": "kernel", "__builtins__": dict(BUILTINS)}
    namespace |= {**rewritten.literals, **step.program.constants}
    namespace |= {name: resolve(path, cuda) for name, path in rewritten.imports.items()}
    exec(rewritten.code, namespace)  # noqa: S102  # gated before; the names it can reach are those above
    namespace.update(step.program.constants)  # a tunable outranks a constant of its name
    return namespace[step.launch.entry]


def _arguments(step: _Step, position: Position, watches: list[Watch]) -> list[Any]:
    """What the entry is called with."""
    values = {one.parameter: one.value for one in step.launch.arguments if isinstance(one, ScalarArgument)}
    buffers = {one.parameter: one.buffer for one in step.launch.arguments if hasattr(one, "buffer")}
    arguments: list[Any] = []
    for parameter in step.program.parameters[step.launch.entry]:
        if isinstance(parameter, ScalarParameter):
            arguments.append(_SCALARS[parameter.kind](values[parameter.name]))
            continue
        watch = None
        if step.program.rewritten.reads(step.launch.entry, parameter.name) not in (0, len(parameter.shape)):
            watch = Watch(parameter.name, position)
            watches.append(watch)
        flat = step.buffers[buffers[parameter.name]].payload.view(storage_type(parameter.dtype))
        arguments.append(array(parameter.name, parameter.dtype, flat, parameter.shape, watch))
    return arguments


def _blocks(grid: tuple[int, ...], *, backwards: bool) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Number and index of each block; x runs fastest."""
    count = math.prod(grid)
    for number in range(count - 1, -1, -1) if backwards else range(count):
        yield number, tuple(_places(number, grid))


def _places(number: int, extents: Sequence[int]) -> Iterator[int]:
    for extent in (*extents, *(1,) * (3 - len(extents))):
        yield number % extent
        number //= extent


def _dims(block: tuple[int, ...]) -> list[Dim3]:
    return [Dim3(*_places(thread, block)) for thread in range(math.prod(block))]


def _run_plain(
    function: Any,
    arguments: list[Any],
    cuda: Cuda,
    launch: PlannedLaunch,
    blocks: Iterator[tuple[int, tuple[int, ...]]],
) -> None:
    """Threads that never wait run one after the other."""
    dims = _dims(launch.block)
    for number, index in blocks:
        cuda.enter_block(number, index)
        for thread, place in enumerate(dims):
            cuda.threadIdx = place
            cuda.position.enter(thread)
            function(*arguments)
        cuda.leave_block()


def _run_waiting(
    function: Any,
    arguments: list[Any],
    cuda: Cuda,
    launch: PlannedLaunch,
    blocks: Iterator[tuple[int, tuple[int, ...]]],
    watches: list[Watch],
) -> None:
    """One block after the other; those that stop at a barrier of the grid go on once all have come there."""
    dims = _dims(launch.block)
    waiting: list[Iterator[None]] = []
    for number, index in blocks:
        running = Block(cuda, number, index, [function(*arguments) for _ in dims], dims).run()
        waiting += [running] if _stops(running) else []
    while waiting:
        if len(waiting) < math.prod(launch.grid):
            raise StuckError(f"{len(waiting)} blocks wait at a barrier of the grid; the others have ended without it")
        for watch in watches:
            watch.clear()
        waiting = [running for running in waiting if _stops(running)]


def _stops(running: Iterator[None]) -> bool:
    """Run a block to the next barrier of the grid: whether there was one."""
    return next(running, _ENDED) is not _ENDED


def _explain(error: Exception, launch: PlannedLaunch, cuda: Cuda) -> NoReturn:
    """Raise the outcome that an error inside the interpreter amounts to."""
    line = own_line(error.__traceback__)
    position = cuda.position
    place = f"line {line}" if line else launch.entry
    where = f"{place}, block {position.block}, thread {position.thread}"
    match error:
        case OutsideError(array=name, sentence=sentence, index=index):
            side = "front" if any(one < 0 for one in index) else "back"
            message = f"{where}: {sentence}"
            raise OutOfBounds(message, buffer=name, side=side, offset=None, workload=None) from None
        case RaceError(array=name, sentence=sentence):
            raise Nondeterministic(f"{place}: {sentence}", output=name, workload=None) from None
        case StuckError():
            raise LaunchError(f"{launch.entry}: {error}", code="DEADLOCK") from None
        case NotImplementedError():
            raise ToolchainError(f"{where}: numba-cuda's simulator has no {error}", log=str(error)) from None
    text = f"{type(error).__name__}: {error}"
    raise ToolchainError(f"{where}: the simulator fails: {text}"[:600], log=text[:8000]) from None
