"""Rewrites that let a whole work-group share what one item did: rows over groups, and rows kept in local memory."""

from __future__ import annotations

__all__ = ["row_per_group", "stage_row"]

import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Final

from attrs import evolve
from tree_sitter import Node

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.analysis import effects, identifiers
from kernelevolve.proposers.rewriting.grids import as_c, covered
from kernelevolve.proposers.rewriting.reductions import Reduction, reductions, renamed
from kernelevolve.proposers.rewriting.rules.mapping import Place, guard, places
from kernelevolve.proposers.rewriting.view import Edit, Loop, Site, View, local_scratch

GROUPS: Final = (64, 32, 128, 16, 256)
#: Elements of a row that local memory holds on anything current (32 KiB), by the width of the element.
MAX_STAGED: Final = {"float32": 8192, "float64": 4096}


def row_per_group(view: View) -> Iterator[Site]:
    """One work-group for what was one item's loop: items take turns, and reductions meet in local memory."""
    if view.grouped() or view.effects.opaque or len(view.launch.grid) != 1:
        return
    for place in places(view):
        count = covered(view.launch, place.dimension)
        loops = _outer_loops(view)
        if count is None or as_c(count) is None or loops is None or not _only_leaves(view, place):
            continue
        for tree in (True, False):
            how = "a tree" if tree else "one item"
            note = f"a group for each {place.variable}, partial results combined by {how}"
            yield Site(note, partial(_grouped, view, place, loops, tree=tree))


def _only_leaves(view: View, place: Place) -> bool:
    """Whether nothing leaves the kernel early but surplus items, through a guard that says ``return`` and no more."""
    surplus = guard(view, place)
    allowed = 0 if surplus is None else 1
    if surplus is not None:
        body = surplus.child_by_field_name("consequence")
        simple = body is not None and [line.type for line in view.lines(body)] == ["return_statement"]
        if not simple or surplus.child_by_field_name("alternative") is not None:
            return False
    return len(list(view.find("return_statement"))) == allowed


_Found = list[tuple[Loop, tuple[Reduction, ...]]]


def _outer_loops(view: View) -> _Found | None:
    """The loops to share out, where every statement beside them is harmless to repeat; None where one is not."""
    found: _Found = []
    for node in view.statements():
        loop = view.loop(node)
        if loop is None:
            if any(view.find("for_statement", "while_statement", "do_statement", under=node)):
                return None
            continue
        kinds = reductions(view, loop)
        if kinds is None or any(one.type not in ("float", "int", "uint") for one in kinds):
            return None
        found.append((loop, kinds))
    return None if not found or view.read_back else found


def _grouped(view: View, place: Place, loops: _Found, *, tree: bool) -> Kernel:
    name, lane = view.fresh("GROUP"), view.fresh("lane")
    edits = [Edit(place.call.start_byte, place.call.end_byte, f"get_group_id({place.dimension})")]
    start = place.declaration.start_byte
    edits.append(Edit(start, start, f"const int {lane} = get_local_id(0);\n  "))
    surplus = guard(view, place)
    if surplus is not None:  # the grid is exact now, and no item may leave before a barrier
        edits.append(Edit(surplus.start_byte, surplus.end_byte, ""))
    shared = {one.type for _, kinds in loops for one in kinds}
    partials = {kind: view.fresh(f"partial_{kind}") for kind in sorted(shared)}
    top = view.body.start_byte + 1
    edits += [Edit(top, top, f"\n  __local {kind} {array}[{name}];") for kind, array in partials.items()]
    for loop, kinds in loops:
        text = _shared_loop(view, loop, kinds, name, lane, partials, tree=tree)
        edits.append(view.replace(loop.node, text))
    alone = [node for node in view.statements() if node.type == "expression_statement"]
    stores = [node for node in alone if effects(view.source, node).stores]
    edits += [view.replace(node, f"if ({lane} == 0) {{ {view.of(node)} }}") for node in stores]

    def change(launch: Launch) -> Launch:
        count = covered(launch, 0)
        return evolve(launch, grid=(parse_expression(count or "1"),), block=(parse_expression(name),))

    halves = [f"next_pow2({name}) == {name}"] if tree else []
    return view.edited(edits, tunables={name: GROUPS}, launch=change, constraints=halves)


def _shared_loop(
    view: View, loop: Loop, kinds: tuple[Reduction, ...], name: str, lane: str, partials: dict[str, str], *, tree: bool
) -> str:
    step = name if loop.step == "1" else f"{name} * ({loop.step})"
    first = f"({loop.start}) + {lane}" if loop.step == "1" else f"({loop.start}) + {lane} * ({loop.step})"
    head = loop.head(first if loop.start != "0" else first.removeprefix("(0) + "), loop.stop, step)
    parts = {one.variable: view.fresh(f"{one.variable}_part") for one in kinds}
    lines = [f"{one.type} {parts[one.variable]} = {one.start()};" for one in kinds]
    lines += [f"{head} {{", textwrap.indent(renamed(view, loop.body, parts), "  "), "}"]
    for one in kinds:
        lines += _combined(view, one, parts[one.variable], partials[one.type], name, lane, tree=tree)
    return "{\n" + textwrap.indent("\n".join(lines), "  ") + "\n}" if kinds else "\n".join(lines)


def _combined(view: View, one: Reduction, part: str, partial: str, name: str, lane: str, *, tree: bool) -> list[str]:
    barrier = "barrier(CLK_LOCAL_MEM_FENCE);"
    lines = [f"{partial}[{lane}] = {part};", barrier]
    if tree:
        width = view.fresh("width")
        step = one.combine(f"{partial}[{lane}]", f"{partial}[{lane} + {width}]")
        lines += [
            f"for (int {width} = {name} / 2; {width} > 0; {width} /= 2) {{",
            f"  if ({lane} < {width}) {step}",
            f"  {barrier}",
            "}",
            one.combine(one.variable, f"{partial}[0]"),
        ]
    else:
        other = view.fresh("other")
        lines.append(
            f"for (int {other} = 0; {other} < {name}; ++{other}) {one.combine(one.variable, f'{partial}[{other}]')}"
        )
    return [*lines, barrier]


def stage_row(view: View) -> Iterator[Site]:
    """Read a row once into local memory, where several loops of a group read it."""
    if not view.grouped() or len(view.launch.grid) != 1 or not view.launch.block:
        return
    rows: dict[tuple[str, str, str], list[tuple[Loop, Node]]] = {}
    top = view.statements()
    for loop in view.loops():
        if not view.shared_out(loop) or any(parent != view.body for parent in _blocks(view, loop.node)):
            continue
        for access in loop.effects.loads:
            key = _row(view, loop, access.node)
            if key is not None and access.array not in view.read_back and access.array in view.parameters:
                rows.setdefault(key, []).append((loop, access.node))
    for (array, base, stop), uses in rows.items():
        if len({loop.node.start_byte for loop, _ in uses}) > 1 and stop in view.axes and top:
            note = f"keep {array}[{base} …] in local memory"
            key = (array, base, stop)
            yield Site(note, partial(_staged, view, key, uses))


def _blocks(view: View, node: Node) -> Iterator[Node]:
    """Statements around `node` that may run more than once, or not at all."""
    parent = node.parent
    while parent is not None and parent != view.body:
        if parent.type != "compound_statement":
            yield parent
        parent = parent.parent


def _row(view: View, loop: Loop, node: Node) -> tuple[str, str, str] | None:
    index, array = node.child_by_field_name("index"), node.child_by_field_name("argument")
    if index is None or array is None or index.type != "binary_expression":
        return None
    left, right = index.child_by_field_name("left"), index.child_by_field_name("right")
    operator = index.child_by_field_name("operator")
    if left is None or right is None or operator is None or view.of(operator) != "+" or view.of(right) != loop.variable:
        return None
    if (
        set(identifiers(view.source, left)) & (loop.effects.declared | {loop.variable})
        or effects(view.source, left).loads
    ):
        return None
    return view.of(array), view.of(left), loop.stop


def _staged(view: View, key: tuple[str, str, str], uses: list[tuple[Loop, Node]]) -> Kernel:
    array, base, stop = key
    name, at = view.fresh(f"{array}_local"), view.fresh("at")
    first = min((loop for loop, _ in uses), key=lambda loop: loop.node.start_byte)
    anchor = first.node
    while anchor.parent is not None and anchor.parent != view.body:
        anchor = anchor.parent
    lines = [
        f"for (int {at} = get_local_id(0); {at} < {stop}; {at} += get_local_size(0))",
        f"  {name}[{at}] = {array}[{base} + {at}];",
        "barrier(CLK_LOCAL_MEM_FENCE);",
    ]
    edits = [view.before(anchor, "\n".join(lines))]
    edits += [Edit(node.start_byte, node.end_byte, f"{name}[{loop.variable}]") for loop, node in uses]
    kind = view.names.types[array].removesuffix("*").strip()
    end = view.parameter_list.end_byte - 1
    edits.append(Edit(end, end, f", __local {kind} *{name}"))

    # An element type that the workload decides (x_t) gets the space of the widest one.
    dtype = "float32" if kind in ("float", "int", "uint") else "float64"

    def change(launch: Launch) -> Launch:
        return evolve(launch, local={**launch.local, name: local_scratch([stop], dtype)})

    return view.edited(edits, launch=change, constraints=[f"{stop} <= {MAX_STAGED[dtype]}"])
