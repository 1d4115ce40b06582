"""From a program to steps: every operation's function is chosen once, and what cannot be executed is found here."""

from __future__ import annotations

__all__ = ["EFFECTS", "TERMINATORS", "Executable", "Step", "check_supported", "prepare"]

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from kernelevolve.backends.mtia.executor import conversions, elementwise, mathematics, shapes
from kernelevolve.backends.mtia.executor.elementwise import Make
from kernelevolve.backends.mtia.executor.pointers import loaded_parameters, stored_parameters
from kernelevolve.backends.mtia.program import Block, Op, Program, Region, walk
from kernelevolve.backends.mtia.trace import Index
from kernelevolve.outcome import CompileError

_PURE: Final[Mapping[str, Make]] = {**elementwise.PURE, **conversions.PURE, **mathematics.PURE, **shapes.PURE}
#: What touches memory, the log or control flow, or asks which program runs: the machine has a method for each.
EFFECTS: Final = frozenset(
    {
        "tt.get_program_id", "tt.get_num_programs", "tt.load", "tt.store", "tt.atomic_rmw", "tt.atomic_cas", "tt.print",
        "tt.assert", "tt.call", "tt.reduce", "tt.scan", "tt.make_tensor_descriptor", "tt.descriptor_load",
        "tt.descriptor_store", "tt.descriptor_reduce", "tt.descriptor_gather", "tt.descriptor_scatter", "scf.for",
        "scf.if", "scf.while",
    }
)  # fmt: skip
TERMINATORS: Final = frozenset(
    {
        "scf.yield", "scf.condition", "tt.return", "tt.reduce.return", "tt.scan.return", "cf.br", "cf.cond_br",
    }
)  # fmt: skip
#: Without a meaning for one program instance at a time.
_IGNORED: Final = frozenset({"ttg.barrier", "gpu.barrier", "ttg.local_barrier", "llvm.intr.assume"})
_COMBINED: Final = ("tt.reduce", "tt.scan")


@frozen(eq=False)
class Step:
    """One operation, ready to run."""

    op: Op
    #: Operation number (`Index`).
    number: int
    #: Computes the results; None for what the machine does itself.
    function: Callable[..., Any] | None
    #: Values of the same block that nothing needs after this step.
    dead: tuple[int, ...]


@frozen(eq=False)
class Executable:
    """A program with its steps."""

    program: Program
    index: Index
    #: By the identity of a block.
    steps: Mapping[int, tuple[Step, ...]]
    #: Functions of pure operations, by the identity of the operation.
    made: Mapping[int, Callable[..., Any]]
    #: Values from around a combine region that it uses, by the identity of the reduction.
    captured: Mapping[int, tuple[int, ...]]
    #: Programs may wait for each other: they have to run one after the other.
    synchronises: bool
    #: A program may learn what others did (from an atomic operation or a volatile load) and so be ordered behind them.
    ordered: bool
    #: Parameters that point to what the kernel may store to.
    stored: frozenset[str]
    #: Parameters that point to what it may load.
    loaded: frozenset[str]


def prepare(program: Program) -> Executable:
    """Choose a function for every operation. Raises `CompileError` for the first that cannot be executed."""
    index = Index(program)
    made: dict[int, Callable[..., Any]] = {}
    captured: dict[int, tuple[int, ...]] = {}
    for op in program.walk():
        if op.name in _COMBINED:
            captured[id(op)] = _captured(op)
            for inner in walk(op.regions[0]):
                if inner.name in EFFECTS:
                    raise _unsupported(inner, f"{inner.name} inside a {op.name.removeprefix('tt.')}")
        if op.name in EFFECTS or op.name in TERMINATORS or op.name in _IGNORED:
            continue
        make = _PURE.get(op.name)
        if make is None:
            raise _unsupported(op, op.name)
        try:
            made[id(op)] = make(op, program.types)
        except LookupError as error:
            raise _unsupported(op, str(error.args[0])) from None
    siblings = Counter((place.function, place.parent, place.region) for place in index.places)
    steps = {
        id(block): _steps(block, index, made, alone=siblings[place.function, place.parent, place.region] == 1)
        for block, place in zip(index.blocks, index.places, strict=True)
    }
    loops = (op for op in program.walk() if op.name == "scf.while")
    waits = any(_may_wait(inner) for op in loops for region in op.regions for inner in walk(region))
    used = {operand for op in program.walk() for operand in op.operands}
    ordered = waits or any(_may_wait(op) and not used.isdisjoint(op.results) for op in program.walk())
    return Executable(program, index, steps, made, captured, waits, ordered, *_pointed(program))


def _pointed(program: Program) -> tuple[frozenset[str], frozenset[str]]:
    return stored_parameters(program), loaded_parameters(program)


def check_supported(program: Program) -> None:
    """Raise `CompileError`, with name and line, for an operation that cannot be executed."""
    prepare(program)


def _unsupported(op: Op, what: str) -> CompileError:
    where = f"line {op.line}: " if op.line else ""
    message = f"{where}the MTIA emulator does not support {what}"
    return CompileError(message, stage="mtia", log="", line=op.line or None)


def _may_wait(op: Op) -> bool:
    """Whether a loop around the operation may wait for another program."""
    return op.name.startswith("tt.atomic") or bool(op.attributes.get("isVolatile"))


def _captured(op: Op) -> tuple[int, ...]:
    own = {value for inner in walk(op.regions[0]) for value in inner.results} | set(op.regions[0].blocks[0].arguments)
    used = {value for inner in walk(op.regions[0]) for value in inner.operands}
    return tuple(sorted(used - own))


def _steps(block: Block, index: Index, made: Mapping[int, Callable[..., Any]], *, alone: bool) -> tuple[Step, ...]:
    """The block's steps. If it is not `alone` in its region, the blocks after it may use its values: none is dead."""
    own = {*block.arguments, *(value for op in block.ops for value in op.results)} if alone else set[int]()
    last: dict[int, int] = {}
    for position, op in enumerate(block.ops):
        for value in (*_used(op), *op.results):
            if value in own:
                last[value] = position
    dead: dict[int, list[int]] = {}
    for value, position in last.items():
        dead.setdefault(position, []).append(value)
    return tuple(
        Step(op, index.op_number(op), made.get(id(op)), tuple(dead.get(position, ())))
        for position, op in enumerate(block.ops)
        if op.name not in _IGNORED
    )


def _used(op: Op) -> list[int]:
    return [*op.operands, *(value for region in op.regions for value in _used_in(region))]


def _used_in(region: Region) -> list[int]:
    return [value for inner in walk(region) for value in inner.operands]
