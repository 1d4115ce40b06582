"""An element-wise kernel over rows and columns becomes one over all elements, wherever rows end."""

from __future__ import annotations

__all__ = ["flatten", "is_elementwise"]

from collections.abc import Iterator, Sequence
from functools import partial

import libcst as cst
from attrs import evolve, field, frozen

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, atomic, walk
from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.bounds import grid_forms, header_text
from kernelevolve.proposers.rewriting.triton_rules.calls import (
    ELEMENTWISE,
    call_name,
    is_pure_call,
)
from kernelevolve.proposers.rewriting.triton_rules.forms import ZERO, Form, name
from kernelevolve.proposers.rewriting.triton_rules.loops import carried, trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tried
from kernelevolve.proposers.rewriting.view import Site


@frozen(eq=False)
class _Plane:
    """Rows by programs, columns by blocks: of a second dimension of programs, or of a loop."""

    #: The vector of column indices.
    column: Form
    cols: Form
    #: How wide blocks are, in the entry's words and in the header's.
    width: str
    header_width: str
    #: The statements that compute the elements.
    statements: tuple[Statement, ...] = field(repr=False)
    loop: Loop | None = field(repr=False)


def flatten(view: TritonView) -> Iterator[Site]:
    """One index over all elements, so that rows need not be multiples of a block."""
    plane = _plane(view)
    if plane is not None and all(is_elementwise(view, one) for one in plane.statements) and _fits(view, plane):
        yield from tried("one index over all elements", partial(_flattened, view, plane))


def _plane(view: TritonView) -> _Plane | None:
    grid, programs = grid_forms(view), view.programs()
    if grid is None or not programs or view.counts() != {} or view.memory.whole.jumps or len(view.launches) != 1:
        return None
    if len(grid) == 2 and set(programs.values()) == {0, 1} and not view.loops:
        atom = grid[1].atom
        if atom is None or atom.kind != "cdiv":
            return None
        width, header = view.size_text(atom.args[1]), header_text(atom.args[1])
        column = name("1", "pid") * atom.args[1] + _range(atom.args[1])
        if width is None or header is None:
            return None
        return _Plane(column, atom.args[0], width, header, view.body, None)
    if len(grid) == 1 and len(view.loops) == 1 and view.body[-1] is view.loops[0].node:
        return _looped(view, view.loops[0])
    return None


def _range(size: Form) -> Form:
    return name("", "arange", args=(size,), dimension=-1)


def _looped(view: TritonView, loop: Loop) -> _Plane | None:
    bounds, found = trips(view, loop), carried(view, loop.node)
    counter = next(one for one in view.flow.made[loop.node] if one.kind is Kind.INDEX)
    if bounds is None or bounds[0] != ZERO or found.reductions or found.steps or found.others or not counter.uses:
        return None
    index = view.indices.form(counter.uses[0])
    width, header = view.size_text(bounds[2]), header_text(bounds[2])
    if index is None or width is None or header is None or any(axis != 0 for axis in (view.programs() or {}).values()):
        return None
    statements = (*view.body[:-1], *loop.body)
    return _Plane(index + _range(bounds[2]), bounds[1], width, header, statements, loop)


def is_elementwise(view: TritonView, statement: Statement) -> bool:
    if not isinstance(statement, cst.SimpleStatementLine):
        return False
    for node in walk(statement):
        if isinstance(node, cst.Subscript | cst.BooleanOperation | cst.IfExp | cst.NamedExpr):
            return False
        if isinstance(node, cst.Call) and not _is_alike(node):
            return False
    made = [one for node in walk(statement) for one in view.flow.made.get(node, ()) if one.kind is not Kind.INDEX]
    values = [view.types.definition(one) for one in made]
    return all(value is not None and len(value.shape) <= 1 for value in values)


def _is_alike(node: cst.Call) -> bool:
    called = call_name(node)
    module, _, function = called.rpartition(".")
    if called in ("tl.load", "tl.store", "tl.program_id", "tl.arange", "tl.cast", "float"):
        return True
    is_cast = isinstance(node.func, cst.Attribute) and node.func.attr.value == "to"
    return is_pure_call(node) and (module == "libdevice" or is_cast or (module == "tl" and function in ELEMENTWISE))


def _fits(view: TritonView, plane: _Plane) -> bool:
    """Whether every access is masked by the columns alone, and everything else is about rows and columns."""
    whole = view.memory.whole
    if whole.opaque or not whole.stores or not _columns(view, plane):
        return False
    for access in (*whole.loads, *whole.stores):
        value = view.types.of(access.pointer)
        known = [] if access.mask is None else list(view.indices.conditions(access.mask))
        if value is None or access.root is None or any(one != plane.cols - plane.column for one in known):
            return False
        if (value.shape and not known) or (not value.shape and access.address is None):
            return False
    flat = name("0", "pid") * plane.cols + plane.column
    again = [one for one in whole.loads if one.root in whole.stored]
    if any(one.address is None or one.address.offset != flat for one in again):
        return False
    stores = all(one.address is not None and one.address.offset == flat for one in whole.stores)
    counted = plane.loop is None or all(_is_in(view, plane, use) for use in _counter(view, plane.loop))
    second = [call for call, axis in (view.programs() or {}).items() if axis == 1]
    calls = [*view.called("tl.arange"), *second]
    return stores and counted and all(_is_used_for_columns(view, plane, call) for call in calls)


def _counter(view: TritonView, loop: Loop) -> list[cst.Name]:
    return [use for one in view.flow.made[loop.node] if one.kind is Kind.INDEX for use in one.uses]


def _is_in(view: TritonView, plane: _Plane, node: cst.CSTNode) -> bool:
    """Whether a node is part of what computes the columns."""
    columns = _columns(view, plane)
    return any(one in columns for one in view.around(node))


def _columns(view: TritonView, plane: _Plane) -> Sequence[cst.BaseExpression]:
    """Where the vector of columns is computed."""
    found = []
    for node in view.find(cst.BinaryOperation):
        if view.indices.form(node) == plane.column and not any(one in found for one in view.around(node)):
            found.append(node)
    return found


def _is_used_for_columns(view: TritonView, plane: _Plane, call: cst.Call) -> bool:
    """Whether a range or an id is part of the columns, itself or as a variable that is used for nothing else."""
    if _is_in(view, plane, call):
        return True
    uses = [use for one in view.flow.made.get(view.parents[call], []) for use in one.uses]
    return bool(uses) and all(_is_in(view, plane, use) for use in uses)


def _flattened(view: TritonView, plane: _Plane) -> Kernel:
    index, inside, total = view.fresh("index"), view.fresh("inside"), view.fresh("elements")
    cols = view.form_text(plane.cols)
    given = {total: f"{atomic(view.launch.grid[0].text)} * {_header(plane.cols)}"}
    if cols is None:
        cols = view.fresh("row_length")
        given[cols] = _header(plane.cols)
    flat = name("0", "pid") * plane.cols + plane.column
    edits = [Edit(one, text=f"{index} % {atomic(cols)}") for one in _columns(view, plane)]
    edits += [
        Edit(call, text=f"{index} // {atomic(cols)}") for call, axis in (view.programs() or {}).items() if axis == 0
    ]
    for access in (*view.memory.whole.loads, *view.memory.whole.stores):
        edits += _access(access, flat, index, inside)
    first = f"{index} = tl.program_id(0).to(tl.int64) * {plane.width} + tl.arange(0, {plane.width})\n"
    text = first + f"{inside} = {index} < {total}\n" + view.lines(plane.statements, edits)
    whole = [Edit(view.body[0], text=text), *(Edit(one, text="") for one in view.body[1:])]
    count = f"cdiv({given[total]}, {plane.header_width})"

    def launched(launch: Launch) -> tuple[Launch, ...]:
        return (view.with_args(evolve(launch, grid=(parse_expression(count),)), given),)

    return view.edited(whole, parameters=list(given), launches=launched)


def _header(form: Form) -> str:
    text = header_text(form)
    assert text is not None
    return atomic(text)


def _access(access: Access, flat: Form, index: str, inside: str) -> list[Edit]:
    """The access over all elements."""
    edits = []
    if access.address is not None and access.address.offset == flat:
        edits.append(Edit(access.pointer, text=f"{access.root} + {index}"))
    if access.mask is not None:
        edits.append(Edit(access.mask, text=inside))
    elif access.address is not None and access.address.offset.mentions("pid"):
        edits.append(Edit(access.call, arguments={"mask": inside, **({"other": "0"} if access.value is None else {})}))
    return edits
