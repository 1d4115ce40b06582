"""Rewrites that do several rows, or several turns of a loop, at once."""

from __future__ import annotations

__all__ = ["several_rows", "several_turns"]

from collections.abc import Iterator
from functools import partial

import libcst as cst
from attrs import evolve

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.python_edits import (
    Edit,
    Statement,
    assigned,
    atomic,
    block_of,
    indented,
    names_in,
    walk,
)
from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.triton_rules.bounds import grid_forms
from kernelevolve.proposers.rewriting.triton_rules.calls import call_name
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, name
from kernelevolve.proposers.rewriting.triton_rules.lift import Lifting
from kernelevolve.proposers.rewriting.triton_rules.loops import Reduction, carried
from kernelevolve.proposers.rewriting.triton_rules.types import Value
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tried
from kernelevolve.proposers.rewriting.view import Site

_ROWS = (4, 2, 8, 16, 1)
_TURNS = (8, 4, 16, 32)


def several_rows(view: TritonView) -> Iterator[Site]:
    """A program takes a block of rows, as a matrix, in place of one row."""
    programs = view.programs()
    grid = grid_forms(view)
    if not programs or 0 not in programs.values() or view.counts() != {} or grid is None or view.memory.whole.opaque:
        return
    guard = _guard(view)
    dropped = frozenset() if guard is None else frozenset({guard})
    seeds = frozenset(call for call, axis in programs.items() if axis == 0)
    lifting = Lifting(view, view.body, seeds, view.fresh("ROWS"), view.fresh("exists"), dropped)
    if lifting.is_possible() and view.memory.whole.stores:
        yield from tried("several rows in each program", partial(_several_rows, view, lifting, guard))


def _guard(view: TritonView) -> Statement | None:
    """``if row >= rows: return``, where it says nothing but that the program's row exists."""
    grid = grid_forms(view)
    for one in view.body:
        if isinstance(one, cst.If) and one.orelse is None and len(block_of(one.body)) == 1:
            line = block_of(one.body)[0]
            leaves = isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Return)
            positive = view.indices.positive(one.test)
            if leaves and grid is not None and positive == name("0", "pid") - grid[0] + ONE:
                return one
    return None


def _several_rows(view: TritonView, lifting: Lifting, guard: Statement | None) -> Kernel:
    row, rows = view.fresh("row_index"), view.fresh("row_count")
    bound = view.launch.grid[0].text
    known = bound in view.parameters and view.binding(bound) == bound
    rows = bound if known else rows
    edits = [*lifting.edits(), *(Edit(call, text=row) for call in lifting.seeds if isinstance(call, cst.Call))]
    first = f"{row} = (tl.program_id(0) * {lifting.size} + tl.arange(0, {lifting.size}))[:, None]\n"
    edits.append(Edit(view.body[0], before=first + f"{lifting.inside} = {row} < {rows}\n"))
    if guard is not None:
        edits.append(Edit(guard, text=""))

    def launched(launch: Launch) -> tuple[Launch, ...]:
        size = launch.grid[0].text
        grid = (parse_expression(f"cdiv({size}, {lifting.size})"), *launch.grid[1:])
        return (view.with_args(evolve(launch, grid=grid), {} if known else {rows: size}),)

    parameters = [*([] if known else [rows]), f"{lifting.size}: tl.constexpr"]
    return view.edited(edits, parameters=parameters, launches=launched, tunables={lifting.size: _ROWS})


def several_turns(view: TritonView) -> Iterator[Site]:
    """A loop over single things takes a block of them each turn, and adds up over the block."""
    for loop in view.loops:
        counter = next(one for one in view.flow.made[loop.node] if one.kind is Kind.INDEX)
        lifting = Lifting(view, loop.body, frozenset({counter}), view.fresh("TURNS"), view.fresh("exists"))
        sums = _sums(view, loop, lifting)
        if sums and _is_plain(view, loop) and lifting.is_possible():
            note = f"several turns at once of the loop over {view.text(loop.stop)[:40]}"
            yield Site(note, partial(_several_turns, view, loop, lifting, sums))


def _is_plain(view: TritonView, loop: Loop) -> bool:
    """Whether the loop counts by one, only adds up, and its bounds stay as they are."""
    if loop.step is not None or call_name(loop.call) == "tl.static_range":
        return False
    branches = (cst.For, cst.While, cst.If)
    nested = any(isinstance(node, branches) for node in walk(*loop.body))
    moved = assigned(*loop.body) & {one.value for one in names_in(loop.stop)}
    return view.memory.effects(*loop.body).is_pure and not nested and not moved


def _sums(view: TritonView, loop: Loop, lifting: Lifting) -> tuple[Reduction, ...]:
    """What the loop adds up, where that is all it carries and each can be added up a block at a time."""
    found = carried(view, loop.node)
    if found.steps or found.others or not lifting.dependent:
        return ()
    for one in found.reductions:
        term, whole = view.types.of(one.term), view.types.definition(one.definition)
        if one.operator != "+" or term is None or whole is None or not lifting.depends(one.term):
            return ()
        if term.shape != whole.shape or len(whole.types) != 1 or not (term.is_float or term.is_whole):
            return ()
    known = all(value is not None and len(value.shape) <= 1 for _, value in _from_outside(view, loop))
    return found.reductions if known else ()


def _from_outside(view: TritonView, loop: Loop) -> Iterator[tuple[cst.Name, Value | None]]:
    """Uses in the loop of variables that were set before it."""
    for use in names_in(*loop.body):
        definition = view.flow.reaching.get(use)
        if definition is not None and loop.node not in definition.loops and definition.node is not loop.node:
            yield use, view.types.definition(definition)


def _several_turns(view: TritonView, loop: Loop, lifting: Lifting, sums: tuple[Reduction, ...]) -> Kernel:
    base = view.fresh("base")
    vectors = [Edit(use, wrap="{}[None, :]") for use, value in _from_outside(view, loop) if value and value.shape]
    inner = [*vectors, *lifting.edits()]
    edits = list(inner)
    for one in sums:
        term, whole = view.types.of(one.term), view.types.definition(one.definition)
        assert term is not None
        assert whole is not None
        text = atomic(view.changed(one.term, inner))
        text = text if term.types == whole.types else f"{text}.to(tl.{next(iter(whole.types))})"
        axis = ", axis=0" if whole.shape else ""
        edits.append(Edit(one.statement, text=f"{one.name} += tl.sum(tl.where({lifting.inside}, {text}, 0){axis})\n"))
    head = evolve(loop, variable=base).head(_start(view, loop), view.text(loop.stop), lifting.size)
    first = f"{loop.variable} = ({base} + tl.arange(0, {lifting.size}))[:, None]\n"
    first += f"{lifting.inside} = {loop.variable} < {atomic(view.text(loop.stop))}\n"
    body = view.lines(loop.body, edits)
    return view.edited(
        [Edit(loop.node, text=head + indented(first + body))],
        parameters=[f"{lifting.size}: tl.constexpr"],
        tunables={lifting.size: _TURNS},
    )


def _start(view: TritonView, loop: Loop) -> str:
    return "0" if loop.start is None else view.text(loop.start)
