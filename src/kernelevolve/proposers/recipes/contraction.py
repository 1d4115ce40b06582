"""Contractions: every item combines, along one loop, values that depend on its row with values of its column.

Matrix products are the example; distances, min-plus products and products with an epilogue have the same form.
"""

from __future__ import annotations

__all__ = ["contraction_slots"]

from collections.abc import Iterable

from attrs import frozen
from tree_sitter import Node

from kernelevolve.problem import Problem
from kernelevolve.proposers.recipes import tree
from kernelevolve.proposers.recipes.entry import Entry, ItemId, host_expression
from kernelevolve.proposers.recipes.lanes import Lanes
from kernelevolve.proposers.recipes.loops import CountedLoop, check_independent, counted, declared_types, pointer_roots
from kernelevolve.proposers.recipes.reductions import Combination, combination
from kernelevolve.proposers.recipes.skeleton import Skeleton
from kernelevolve.proposers.recipes.strides import Stride, stride
from kernelevolve.proposers.recipes.tree import NotAnalysableError, canonical, fresh, identifiers
from kernelevolve.proposers.recipes.types import TypeNames


@frozen
class _Form:
    """A contraction taken apart."""

    row: ItemId
    col: ItemId
    loop: CountedLoop
    #: Declarations that the loop and what follows may use.
    context: tuple[Node, ...]
    #: Declarations of the variables that are combined into.
    init: tuple[Node, ...]
    after: tuple[Node, ...]
    #: What each statement of the loop combines, by where the statement starts.
    combined: dict[int, Combination]
    #: Types of the variables that are combined into.
    results: dict[str, str]


def contraction_slots(
    entry: Entry, skeleton: Skeleton, types: TypeNames, problem: Problem
) -> tuple[dict[str, str], set[str]]:
    """The slots of a contraction skeleton, and the element types it makes vectors of. Raises `NotAnalysableError`."""
    form = _form(entry)
    text = entry.source.text
    r, t = fresh("r", text), fresh("t", text)
    lanes = Lanes(entry.source, form.col.name, entry.pointers, types)
    lanes.vectors.update(form.results)
    declare = "\n".join(f"{lanes.vector(kind)} {name}_r[TM][TN];" for name, kind in form.results.items())
    slots = _names(entry, form, skeleton, types, {"r": r, "t": t, "declare": declare})
    slots["host_k"] = ""
    if "packed" in skeleton.template:
        operand = _operand(entry, form)
        slots.update(_packing(entry, form, operand, problem, fresh("panel", text)))
        offset = f"{slots['panel']} + ({form.loop.variable} * (TN * LANES) + {t} * LANES)"
        value = lanes.load(slots["packed_kind"], offset)
        where = [node for node in _loads(entry, form) if _same(entry, node, operand)]
        lanes.replaced = {(n.start_byte, n.end_byte): value for n in where}
    lanes.discover([*form.context, *form.init, *form.after])
    lanes.discover(node for node in form.loop.body if node.start_byte not in form.combined)
    slots["context"] = lanes.statements(form.context)
    slots["init"] = "\n".join(
        [lanes.statements(form.init), *(f"{name}_r[{r}][{t}] = {name};" for name in form.results)]
    )
    slots["body"] = "\n".join(_body(lanes, form, r, t))
    slots["recall"] = "\n".join(
        f"{lanes.vector(kind)} {name} = {name}_r[{r}][{t}];" for name, kind in form.results.items()
    )
    slots["after"] = lanes.statements(form.after)
    if not lanes.stores:
        raise NotAnalysableError("no result is stored along the columns")
    return slots, lanes.used


def _body(lanes: Lanes, form: _Form, r: str, t: str) -> Iterable[str]:
    for node in form.loop.body:
        one = form.combined.get(node.start_byte)
        if one is None:
            yield lanes.statements([node])
            continue
        if identifiers(lanes.source, node) & (set(form.results) - {one.name}):
            raise NotAnalysableError("results depend on each other")
        yield lanes.combine(one, f"{one.name}_r[{r}][{t}]", form.results[one.name])


def _names(entry: Entry, form: _Form, skeleton: Skeleton, types: TypeNames, made: dict[str, str]) -> dict[str, str]:
    row, col, loop = form.row, form.col, form.loop
    others = [one for one in entry.ids if one not in (row, col)]
    if others:
        raise NotAnalysableError("a third dimension of items")
    sizes = {row.dimension: f"cdiv({row.host}, TM * GROUP)", col.dimension: f"cdiv({col.host}, TN * LANES * GROUP)"}
    slots = {
        **made,
        "row": row.name,
        "row_type": row.type,
        "row_dimension": str(row.dimension),
        "rows": row.extent,
        "col": col.name,
        "col_type": col.type,
        "col_dimension": str(col.dimension),
        "cols": col.extent,
        "others": "",
        "k": loop.variable,
        "k_type": loop.type,
        "first": loop.first,
        "bound": entry.source.of(loop.bound),
        "grid": ", ".join(f'"{sizes[dimension]}"' for dimension in sorted(sizes)),
        "block": '"GROUP", "GROUP"',
        "scalar": entry.text(entry.statements),
        "scalar_context": entry.text(form.context),
        "scalar_after": entry.text(form.after),
        "recall_one": "\n".join(
            f"{types.real(kind)}l_t {name}_l;\n{name}_l.all = {name}_r[{made['r']}][{made['t']} / LANES];\n"
            f"const {kind} {name} = {name}_l.one[{made['t']} % LANES];"
            for name, kind in form.results.items()
        ),
    }
    return {**slots, "tile": skeleton.block("tile", slots), "end": skeleton.block("end", slots)}


def _form(entry: Entry) -> _Form:
    source = entry.source
    if len(entry.ids) != 2:
        raise NotAnalysableError(f"{len(entry.ids)} item ids; a contraction has a row and a column")
    loops = [(at, loop) for at, node in enumerate(entry.statements) if (loop := counted(source, node))]
    if len(loops) != 1:
        raise NotAnalysableError(f"{len(loops)} loops; a contraction has one")
    at, loop = loops[0]
    before, after = entry.statements[:at], entry.statements[at + 1 :]
    kinds = declared_types(source, before)
    combined = {
        node.start_byte: one
        for node in loop.body
        if (one := combination(source, node)) is not None and one.name in kinds
    }
    results = {one.name: kinds[one.name] for one in combined.values()}
    if not results:
        raise NotAnalysableError("the loop combines nothing")
    for node in before:
        if node.type != "declaration":
            raise NotAnalysableError(f"a {node.type} before the loop")
    init = tuple(node for node in before if tree.assigned(source, node) & set(results))
    context = tuple(node for node in before if node not in init)
    check_independent(source, loop, combined, pointer_roots(source, before, entry.pointers))
    col = _column(entry, after)
    row = next(one for one in entry.ids if one != col)
    if identifiers(source, loop.bound) & {row.name, col.name}:
        raise NotAnalysableError("the loop's length differs from item to item")
    return _Form(row, col, loop, context, init, after, combined, results)


def _column(entry: Entry, after: Iterable[Node]) -> ItemId:
    """The id along which results are stored next to each other."""
    source = entry.source
    stores = [
        tree.field(tree.field(node, "left"), "index")
        for one in after
        for node in tree.nodes(source, one, "assignment_expression")
        if tree.field(node, "left").type == "subscript_expression"
    ]
    for one in entry.ids:
        if stores and all(stride(source, index, one.name, {}) is Stride.UNIT for index in stores):
            return one
    raise NotAnalysableError("results are not stored next to each other")


def _loads(entry: Entry, form: _Form) -> list[Node]:
    """What the loop loads from buffers, depending on the column."""
    found = [node for one in form.loop.body for node in tree.nodes(entry.source, one, "subscript_expression")]
    return [node for node in found if form.col.name in identifiers(entry.source, tree.field(node, "index"))]


def _same(entry: Entry, one: Node, other: Node) -> bool:
    return canonical(entry.source.of(one)) == canonical(entry.source.of(other))


def _operand(entry: Entry, form: _Form) -> Node:
    """The one load that depends on column and loop, and on nothing of the row."""
    loads = _loads(entry, form)
    if not loads or not all(_same(entry, loads[0], node) for node in loads):
        raise NotAnalysableError(f"{len(loads)} loads depend on the column; one can be packed")
    local = set(declared_types(entry.source, [*form.context, *form.init, *form.loop.body]))
    names = identifiers(entry.source, loads[0])
    if names & ({form.row.name} | local) or form.loop.variable not in names:
        raise NotAnalysableError("what would be packed depends on more than column and loop")
    return loads[0]


def _packing(entry: Entry, form: _Form, operand: Node, problem: Problem, panel: str) -> dict[str, str]:
    if form.loop.first.strip() != "0":
        raise NotAnalysableError("the loop does not start at 0")
    buffer = entry.source.of(tree.field(operand, "argument"))
    dtypes = {spec.name: problem.dtypes(problem.workloads[0])[spec.name] for spec in problem.inputs}
    if buffer not in dtypes or buffer not in entry.pointers:
        raise NotAnalysableError(f"{buffer} is no input of the problem")
    kind = entry.pointers[buffer]
    return {
        "packed": fresh(f"{buffer}_packed", entry.source.text),
        "packed_dtype": dtypes[buffer],
        "packed_kind": kind,
        "packed_value": entry.source.of(operand),
        "panel": panel,
        "host_k": host_expression(entry, problem, form.loop.bound),
        "host_cols": form.col.host,
    }
