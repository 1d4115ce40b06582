"""From arguments and buffers to a `Trace`: the batches of a launch."""

from __future__ import annotations

__all__ = ["Options", "execute"]

import math
import warnings
from collections.abc import Mapping
from typing import Final

import numpy as np
from attrs import frozen

from kernelevolve.backends.mtia.executor.accesses import Accesses
from kernelevolve.backends.mtia.executor.machine import Machine
from kernelevolve.backends.mtia.executor.memory import Memory, Space, address_of
from kernelevolve.backends.mtia.executor.preparing import Executable, prepare
from kernelevolve.backends.mtia.executor.recording import Recorder
from kernelevolve.backends.mtia.executor.values import NUMPY, Value, rounded
from kernelevolve.backends.mtia.program import Kind, Program, Type
from kernelevolve.backends.mtia.trace import Trace

#: Elements of the largest tile, times programs, that a batch may have: large enough to hide Python's time per
#: operation, small enough that arrays stay in a processor's cache.
_BATCH_ELEMENTS: Final = 1 << 18


@frozen(kw_only=True)
class Options:
    """How a launch is executed."""

    #: Look for programs that disturb each other; not in kernels that may order their programs by atomic operations.
    races: bool = True
    #: Elements of a batch's largest value; memory use is about a hundred times as many bytes.
    batch_elements: int = _BATCH_ELEMENTS


def execute(
    program: Program | Executable,
    arguments: Mapping[str, str | float],
    grid: tuple[int, ...],
    buffers: Mapping[str, Memory],
    *,
    options: Options | None = None,
) -> Trace:
    """Run a kernel for every program of `grid` (x, y, z; up to three extents) and say what was executed.

    `arguments` has a number, or the name of a buffer for a pointer, for each of `Program.parameters`; `buffers` are
    changed in place. Raises `OutOfBounds`, `DeviceFault` for a misaligned address, `LaunchError` for an assertion;
    races and reads of unwritten scratch (`Memory.unwritten`) are findings of the trace.
    """
    options = options or Options()
    code = program if isinstance(program, Executable) else prepare(program)
    extents = (*grid, 1, 1)[:3]
    whole: tuple[int, int, int] = (int(extents[0]), int(extents[1]), int(extents[2]))
    space = Space(buffers)
    recorder = Recorder(code.program, code.index, whole)
    stored = {str(arguments[name]) for name in code.stored if name in arguments}
    accesses = Accesses(space, recorder, whole, races=options.races and not code.ordered, stored=stored)
    machine = Machine(code, accesses, recorder, whole)
    values = _arguments(code.program, arguments, space)
    total, step = math.prod(whole), _batch(code, options)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for begin in range(0, total, step):
            machine.run(np.arange(begin, min(begin + step, total)), values)
    return recorder.trace(space.names, tuple(memory.payload.nbytes for memory in space.buffers))


def _batch(code: Executable, options: Options) -> int:
    if code.synchronises:
        return 1
    largest = max((type_.size for type_ in code.program.types.values()), default=1)
    return max(1, options.batch_elements // largest)


def _arguments(program: Program, arguments: Mapping[str, str | float], space: Space) -> list[Value]:
    kinds = [program.types[number] for number in program.kernel.arguments]
    missing = set(program.parameters) - set(arguments)
    if missing:
        raise ValueError(f"{program.entry} needs an argument {sorted(missing)[0]!r}")
    return [_argument(kind, arguments[name], space) for name, kind in zip(program.parameters, kinds, strict=True)]


def _argument(kind: Type, given: str | float, space: Space) -> Value:
    if kind.kind is Kind.POINTER:
        if not isinstance(given, str):
            raise TypeError(f"a pointer needs the name of a buffer, not {given!r}")
        return np.array([address_of(space.names.index(given))], np.int64)
    if isinstance(given, str):
        raise TypeError(f"a number is needed, not the buffer {given!r}")
    if kind.kind is Kind.FLOAT:
        return rounded(np.array([given], np.float64), kind.dtype)
    if kind.dtype == "i1":
        return np.array([bool(given)])
    width = np.dtype(NUMPY[kind.dtype])
    return np.array([int(given) % (1 << kind.bits)], np.uint64).astype(f"u{width.itemsize}").view(width)
