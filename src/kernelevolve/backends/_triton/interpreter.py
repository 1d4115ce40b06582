"""Session on the interpreted device: kernels run in Triton's interpreter, on the host, without any clock."""

from __future__ import annotations

__all__ = ["InterpreterSession", "open_interpreter"]

import itertools
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import numpy as np
from attrs import frozen

from kernelevolve.accelerator import Artifact, Buffer, BufferSpec, Device, Sample
from kernelevolve.backends._triton.builder import install
from kernelevolve.backends._triton.memory import InterpretedBuffer, Memory, StrayAccess
from kernelevolve.backends._triton.races import RaceFound
from kernelevolve.backends._triton.sources import innermost_line, load_source, may_synchronise, source_name
from kernelevolve.outcome import DeviceLost, LaunchError, Nondeterministic, OutOfBounds, OutOfMemory, ToolchainError
from kernelevolve.plan import BufferArgument, PlannedLaunch, ScalarArgument, TextArgument

_SWITCH: Final = "TRITON_INTERPRET"
#: The interpreter's functions behind ``tl.static_assert``, ``tl.device_assert`` and ``tl.assume``.
_ASSERTIONS: Final = ("_new_static_assert", "create_assert", "create_assume")


@frozen(eq=False)
class InterpretedProgram:
    """A kernel's functions, with the type of each parameter by entry."""

    source: str
    functions: Mapping[str, Any]
    types: Mapping[str, Mapping[str, str]]
    synchronises: bool


@frozen(eq=False)
class _Step:
    """One launch with its arguments in place. Programs have no order, unless one may wait for another (`ordered`)."""

    launch: PlannedLaunch
    function: Any
    arguments: Mapping[str, Any]
    buffers: Mapping[str, InterpretedBuffer]
    name: str
    ordered: bool


@contextmanager
def open_interpreter(device: Device) -> Iterator[InterpreterSession]:
    """Switch this process to interpreting, for good: `triton` must not have been imported in it before."""
    if "triton" in sys.modules and os.environ.get(_SWITCH) != "1":
        raise DeviceLost(f"triton was imported before {_SWITCH}=1 was set; use a process of its own", log="")
    os.environ[_SWITCH] = "1"
    try:
        session = InterpreterSession(device)
    except (ImportError, AttributeError) as error:  # its interface is private, and may be another one day
        raise DeviceLost(f"Triton's interpreter cannot be used: {error}", log=str(error)) from None
    try:
        yield session
    finally:
        session.close()


class InterpreterSession:
    """The `kernelevolve.accelerator.Session` that interprets. Launches run when somebody waits for them."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._memory = Memory()
        self._interpreter = install(self._memory, device.target.name.partition(":")[0])
        self._queue: list[tuple[_Step, ...]] = []
        self._launches = itertools.count()

    def close(self) -> None:
        """Drop what is queued."""
        self._queue.clear()

    def load(self, artifact: Artifact) -> InterpretedProgram:
        """Execute the source, and prepare its functions while their text is at hand."""
        source = artifact.stages["source"].decode()
        with load_source(source) as module:
            functions = {name: getattr(module, name) for name in artifact.extra["entries"]}
            for value in list(vars(module).values()):  # rewriting adds names
                if isinstance(value, self._interpreter.InterpretedFunction):
                    value.rewrite()
        types = {name: entry["types"] for name, entry in artifact.extra["entries"].items()}
        return InterpretedProgram(source, functions, types, may_synchronise(source))

    def allocate(self, spec: BufferSpec) -> InterpretedBuffer:
        """One array for guards and payload, at addresses of its own."""
        return self._memory.allocate(spec)

    def free(self, buffer: Buffer) -> None:
        """Forget the buffer and its addresses."""
        self._memory.free(_own(buffer))

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
        """Make the language's own scalars and pointers of the arguments."""
        return tuple(self._step(program, launch, buffers) for launch in launches)

    def _step(self, program: InterpretedProgram, launch: PlannedLaunch, buffers: Mapping[str, Buffer]) -> _Step:
        types = program.types[launch.entry]
        arguments: dict[str, Any] = {}
        own: dict[str, InterpretedBuffer] = {}
        for argument in launch.arguments:
            kind = types[argument.parameter]
            if isinstance(argument, BufferArgument):
                own[argument.buffer] = _own(buffers[argument.buffer])
                arguments[argument.parameter] = self._scalar(own[argument.buffer].address, kind)
            elif isinstance(argument, TextArgument):
                arguments[argument.parameter] = argument.value
            elif isinstance(argument, ScalarArgument):
                value = argument.value
                arguments[argument.parameter] = value if kind == "constexpr" else self._scalar(value, kind)
        function = program.functions[launch.entry]
        return _Step(launch, function, arguments, own, source_name(program.source), program.synchronises)

    def _scalar(self, value: float, kind: str) -> Any:
        """A value of the language: `kind` is Triton's name of the type (``i32``, ``fp32``, ``*bf16``)."""
        tl = self._interpreter.tl
        dtype = tl.str_to_ty(kind, None)
        numpy_type = np.uint64 if kind.startswith("*") else self._interpreter._get_np_dtype(dtype)  # noqa: SLF001
        return tl.tensor(self._interpreter.TensorHandle(np.array([value], numpy_type), dtype), dtype)

    def launch(self, call: Any) -> None:
        """Queue the plan's launches."""
        self._queue.append(call)

    def synchronize(self) -> None:
        """Run what is queued, in order. A failure drops the rest."""
        queue, self._queue = self._queue, []
        for call in queue:
            for step in call:
                self._run(step)

    def time(self, call: Any, *, launches: int = 1) -> Sample:
        """There is nothing to say: an interpreter's time is no kernel's."""
        raise NotImplementedError("the interpreted device has no clock")

    def _run(self, step: _Step) -> None:
        grid = (*step.launch.grid, 1, 1)[:3]
        order: Any = itertools.product(*(range(extent) for extent in grid))
        if next(self._launches) % 2 and not step.ordered:
            order = itertools.product(*(range(extent - 1, -1, -1) for extent in grid))
        builder = self._interpreter.interpreter_builder
        self._memory.expose(step.buffers, track=not step.ordered)
        function = step.function.rewrite()
        patched = self._interpreter._patch_lang(function)  # noqa: SLF001
        program = (0, 0, 0)
        try:
            builder.set_grid_dim(*grid)
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for self._memory.program, program in enumerate(order):
                    builder.set_grid_idx(*program)
                    function(**step.arguments)
        except MemoryError:
            raise OutOfMemory(f"{step.launch.entry}: the host's memory is exhausted", needed=None, limit=None) from None
        except Exception as error:
            _explain(error, step, program)
        finally:
            patched.restore()


def _explain(error: Exception, step: _Step, program: tuple[int, ...]) -> NoReturn:
    """Raise the outcome that an error inside the interpreter amounts to."""
    line, root = None, error
    while True:  # a nested function's error is wrapped, once for each level
        line = innermost_line(root, step.name) or line
        if not isinstance(root.__cause__, Exception):
            break
        root = root.__cause__
    where = f"line {line}, program {program}" if line else f"{step.launch.entry}, program {program}"
    if isinstance(root, StrayAccess):
        raise OutOfBounds(
            f"{where}: {root.sentence}", buffer=root.buffer, side=root.side, offset=root.offset, workload=None
        ) from None
    if isinstance(root, RaceFound):
        raise Nondeterministic(f"{where}: the program {root.sentence}", output=root.buffer, workload=None) from None
    if isinstance(root, AssertionError) and traceback.extract_tb(root.__traceback__)[-1].name in _ASSERTIONS:
        raise LaunchError(f"{where}: what the kernel asserts does not hold: {root}", code="ASSERT") from None
    text = " ".join(f"{type(root).__name__}: {root}".split())  # values come as whole arrays
    raise ToolchainError(f"{where}: Triton's interpreter fails: {text}"[:400], log=text[:8000]) from None


def _own(buffer: Buffer) -> InterpretedBuffer:
    if not isinstance(buffer, InterpretedBuffer):
        raise TypeError(f"a {type(buffer).__name__} is no buffer of this session")
    return buffer
