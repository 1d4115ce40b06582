"""One Numba entry as the rewrites see it: threads, loops, arrays and barriers beside the header."""

from __future__ import annotations

__all__ = ["Loop", "NumbaView", "Shared", "call_name", "numba_views"]

from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Final

import libcst as cst
from attrs import define, evolve, field, frozen

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.numba_rules.effects import Effects, call_name, pure_functions
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, assigned, block_of, module_of, names_in, walk
from kernelevolve.proposers.rewriting.python_flow import Definition, Flow, Kind
from kernelevolve.proposers.rewriting.python_view import PythonView

_IMPORT: Final = "numba"
_KNOWN: Final = ("cuda", "math", "types", "libdevice", "fp16", "bf16")
LANE: Final = "cuda.threadIdx.x"
BLOCK: Final = "cuda.blockIdx.x"
#: How many of a kernel's views are kept: rewrites ask for the same one in turn.
_KEPT: Final = 64


@frozen(eq=False)
class Loop:
    """A counted loop: ``for i in range(start, stop, step)``."""

    node: cst.For = field(repr=False)
    variable: str
    #: The bounds as code; start and step as they count where they are left out.
    start: str
    stop: str
    step: str

    @property
    def body(self) -> tuple[Statement, ...]:
        """The loop's statements."""
        return block_of(self.node.body)


@frozen(eq=False)
class Shared:
    """An array of shared or local memory that the entry declares in a statement of its own."""

    name: str
    statement: Statement = field(repr=False)
    call: cst.Call = field(repr=False)
    #: As code.
    shape: str
    dtype: str
    is_shared: bool


@define(eq=False, slots=False)
class NumbaView(PythonView):
    """One entry of one Numba kernel."""

    problem: Problem = field(kw_only=True)

    @cached_property
    def flow(self) -> Flow:
        """Which assignment each use of a variable sees."""
        return Flow(self.function)

    @cached_property
    def launch(self) -> Launch:
        """The first launch of this entry."""
        return self.launches[0]

    @cached_property
    def pure(self) -> frozenset[str]:
        """The file's functions that only compute, and read arrays."""
        return pure_functions(self.module)

    @cached_property
    def functions(self) -> frozenset[str]:
        """The file's functions."""
        return frozenset(one.name.value for one in self.module.body if isinstance(one, cst.FunctionDef))

    def effects(self, *nodes: cst.CSTNode) -> Effects:
        """What `nodes` do, the whole entry where none are given."""
        return Effects.of(nodes or self.body, self.functions, self.pure)

    @cached_property
    def whole(self) -> Effects:
        """What the entry does."""
        return self.effects()

    # Threads.

    @cached_property
    def threads(self) -> str | None:
        """The threads of a block as the header writes them, where all launches have the same block of one dimension."""
        blocks = {tuple(size.text for size in launch.block) for launch in self.launches}
        if len(blocks) != 1:
            return None
        block = next(iter(blocks))
        return block[0] if block and all(size == "1" for size in block[1:]) else None

    @cached_property
    def thread_counts(self) -> frozenset[str]:
        """Expressions that are the number of threads of a block of one dimension."""
        if self.threads is None:
            return frozenset()
        named = {name for name, value in self.constants.items() if str(value) == self.threads}
        return frozenset({self.threads, "cuda.blockDim.x", *named})

    @cached_property
    def lanes(self) -> frozenset[str]:
        """Expressions for a thread's place in its block."""
        return frozenset({LANE, *self._named(LANE)})

    def _named(self, text: str) -> Iterator[str]:
        """Variables that hold an expression of no variables, all through the entry."""
        counts: dict[str, list[Definition]] = {}
        for one in self.flow.definitions:
            counts.setdefault(one.name, []).append(one)
        for name, found in counts.items():
            value = found[0].value
            if len(found) == 1 and found[0].kind is Kind.VALUE and value is not None and self.flat(value) == text:
                yield name

    @cached_property
    def grid_is_flat(self) -> bool:
        """Whether every launch has blocks along one dimension alone."""
        return all(size.text == "1" for launch in self.launches for size in launch.grid[1:])

    @cached_property
    def is_persistent(self) -> bool:
        """Whether blocks take several pieces of the work already, or the order of blocks is no longer the grid's."""
        return any(one.endswith("blocks") for one in self.parameters) or "cuda.gridDim.x" in self.module.code

    def is_power_of_two(self, text: str) -> bool:
        """Whether a number of the header is a power of two in every configuration."""
        return all(value > 0 and value & (value - 1) == 0 for value in self.values(text)) and bool(self.values(text))

    def values(self, text: str) -> tuple[int, ...]:
        """What a literal or a tunable may be; nothing for anything else."""
        offered = self.kernel.tunables.get(text)
        if offered is not None:
            return tuple(value for value in offered if isinstance(value, int) and not isinstance(value, bool))
        if text.isdigit():
            return (int(text),)
        return (self.constants[text],) if text in self.constants else ()

    # The module.

    @cached_property
    def constants(self) -> dict[str, int]:
        """Constants of the module that are written as whole numbers."""
        return {name: int(cst.ensure_type(line.value, cst.Integer).value, 0) for name, line in _constants(self.module)}

    @cached_property
    def imports(self) -> cst.SimpleStatementLine | None:
        """The line ``from numba import …``."""
        for line in self.module.body:
            if isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.ImportFrom):
                one = line.body[0]
                if (
                    one.module is not None
                    and self.text(one.module) == _IMPORT
                    and not isinstance(one.names, cst.ImportStar)
                ):
                    return line
        return None

    def importing(self, *names: str) -> list[Edit]:
        """Edits that import element types which the source does not have yet."""
        line = self.imports
        assert line is not None
        assert isinstance(line.body[0], cst.ImportFrom)
        listed = line.body[0].names
        assert not isinstance(listed, cst.ImportStar)
        given = {self.text(one).rstrip(",").strip() for one in listed}
        missing = {name for name in names if name not in self.words}
        if not missing:
            return []
        return [Edit(line, text=f"from numba import {', '.join(sorted(given | missing))}\n")]

    def before_entry(self, text: str) -> Edit:
        """An edit that puts constants of the module before the entry."""
        return Edit(self.function, before=text)

    # Arrays.

    @cached_property
    def arrays(self) -> dict[str, Shared]:
        """Arrays that the entry declares, by name."""
        found = {}
        for line in self.body:
            if isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Assign):
                made = self._array(line, line.body[0])
                if made is not None:
                    found[made.name] = made
        return found

    def _array(self, line: Statement, node: cst.Assign) -> Shared | None:
        target, call = node.targets[0].target, node.value
        if len(node.targets) != 1 or not isinstance(target, cst.Name) or not isinstance(call, cst.Call):
            return None
        name = call_name(call)
        if name not in ("cuda.shared.array", "cuda.local.array") or len(call.args) != 2:
            return None
        if any(one.keyword is not None for one in call.args):
            return None
        shape, dtype = (self.text(one.value) for one in call.args)
        return Shared(target.value, line, call, shape, dtype, name == "cuda.shared.array")

    @cached_property
    def buffers(self) -> dict[str, frozenset[str]]:
        """Parameters that are buffers, with the element types they may have."""
        found = {spec.name: {spec.dtype} for spec in self.problem.tensors}
        for workload in (*self.problem.workloads, *self.problem.hidden):
            for name, dtype in workload.dtypes.items():
                found[name].add(dtype)
        made = {name: frozenset(types) for name, types in found.items()}
        made |= {name: frozenset({scratch.dtype}) for name, scratch in self.kernel.scratch.items()}
        return {name: types for name, types in made.items() if name in self.parameters}

    @cached_property
    def is_plain(self) -> bool:
        """Whether every array is used under its own name, and by its elements alone."""
        known = {*self.buffers, *self.arrays}
        given = [one.name for one in self.flow.definitions if one.name in known]
        if len(given) != len(set(given)):
            return False
        for name in (name for statement in self.body for name in names_in(statement)):
            parent = self.parents[name]
            if isinstance(parent, cst.Subscript) and parent.value is name:
                if name.value not in known:
                    return False
            elif name.value in known and not isinstance(parent, cst.AssignTarget):
                return False
        return not any(True for _ in self.find(cst.Slice))

    def is_read_only(self, array: str) -> bool:
        """Whether the entry never writes a buffer."""
        return array in self.buffers and array not in self.whole.stored and not self.whole.opaque

    # Loops.

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """Every counted loop, outer ones first."""
        return tuple(made for node in self.find(cst.For) if (made := self._loop(node)) is not None)

    def _loop(self, node: cst.For) -> Loop | None:
        call, target = node.iter, node.target
        if not isinstance(call, cst.Call) or call_name(call) != "range" or not isinstance(target, cst.Name):
            return None
        bounds = [self.text(one.value) for one in call.args]
        if not 1 <= len(bounds) <= 3 or node.orelse is not None or any(one.keyword or one.star for one in call.args):
            return None
        start, stop, step = {1: ("0", *bounds, "1"), 2: (*bounds, "1"), 3: tuple(bounds)}[len(bounds)]
        changed = {name.value for one in call.args for name in names_in(one.value)} & assigned(*block_of(node.body))
        loads = any(isinstance(inner, cst.Subscript) for inner in walk(call))
        return None if changed or loads else Loop(node, target.value, start, stop, step)

    def is_strided(self, loop: Loop) -> bool:
        """Whether the threads of a block take turns in a loop: from the lane, in steps of the block's size."""
        return _flat(loop.start) in self.lanes and _flat(loop.step) in self.thread_counts

    def counts_up(self, loop: Loop) -> bool:
        """Whether a loop's step is certainly positive."""
        return _flat(loop.step) in self.thread_counts or min(self.values(loop.step), default=0) > 0

    def is_counter_local(self, loop: Loop) -> bool:
        """Whether nothing reads the counter after the loop, and nothing in it assigns it."""
        made = [one for one in self.flow.made.get(loop.node, ()) if one.kind is Kind.INDEX]
        inside = set(walk(loop.node))
        later = any(one.is_read for made_one in made for one in made_one.into)
        same = loop.variable in assigned(*loop.body)
        return bool(made) and all(use in inside for one in made for use in one.uses) and not later and not same

    def is_inside_loop(self, node: cst.CSTNode) -> bool:
        """Whether a loop of the entry runs `node`."""
        return any(isinstance(one, cst.For | cst.While) for one in self.around(node))

    def launched(
        self, launch: Launch, grid: str | None = None, block: Iterable[str] | None = None, **args: str
    ) -> Launch:
        """A launch with another grid along x, another block, and more arguments."""
        given = {name: parse_expression(text) for name, text in args.items()}
        made = evolve(launch, args={**launch.args, **given})
        if grid is not None:
            made = evolve(made, grid=(parse_expression(grid), *launch.grid[1:]))
        return made if block is None else evolve(made, block=tuple(map(parse_expression, block)))


def _flat(text: str) -> str:
    return "".join(text.split())


def _constants(module: cst.Module) -> Iterator[tuple[str, cst.Assign]]:
    for line in module.body:
        for one in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            match one:
                case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Integer()):
                    yield name, one
                case _:
                    pass


@lru_cache(maxsize=_KEPT)
def numba_views(kernel: Kernel, problem: Problem) -> tuple[NumbaView, ...]:
    """One view for each entry that the header launches and the source defines. Raises `Rejected` for no Python."""
    module = module_of(kernel.body)
    names = [*problem.axes, *(spec.name for spec in problem.tensors), *(spec.name for spec in problem.scalars)]
    taken = frozenset((*names, *_KNOWN))
    functions = {one.name.value: one for one in module.body if isinstance(one, cst.FunctionDef)}
    entries = [name for name in dict.fromkeys(launch.entry for launch in kernel.launches) if name in functions]
    made = (NumbaView(kernel, module, functions[name], taken, problem=problem) for name in entries)
    return tuple(view for view in made if _is_simple(view))


def _is_simple(view: NumbaView) -> bool:
    """Whether the entry holds nothing but what the flow understands, and the source imports from ``numba``."""
    odd = [node for node in view.flow.opaque if not isinstance(node, cst.Subscript)]
    return not odd and view.imports is not None and bool(view.body)
