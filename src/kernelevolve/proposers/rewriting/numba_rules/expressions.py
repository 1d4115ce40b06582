"""Rewrites of expressions: what is the same each turn, divisions, indices, and rows of shared memory apart."""

from __future__ import annotations

__all__ = ["hoist", "pad", "reciprocal", "unsigned_indices"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.kinds import is_at_least_zero, kind_of
from kernelevolve.proposers.rewriting.numba_rules.view import Loop, NumbaView, Shared
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, names_in, walk
from kernelevolve.proposers.rewriting.view import Site

_PADS: Final = (1, 0, 2, 4)


def _stays(view: NumbaView, node: cst.BaseExpression, loop: Loop) -> bool:
    """Whether an expression means the same before a loop as in each of its turns."""
    for name in names_in(node):
        seen = view.flow.of(name)
        if seen is not None and (seen.node is loop.node or loop.node in seen.loops):
            return False
    return view.flow.means_the_same(node, loop.node)


# Loads that are the same in each turn.


@frozen(eq=False)
class _Fixed:
    node: cst.Subscript
    text: str


def hoist(view: NumbaView) -> Iterator[Site]:
    """Load before a loop what each of its turns loads; where the loop has no turn, nothing is loaded."""
    for loop in view.loops:
        found = list(_fixed(view, loop)) if view.is_plain and view.counts_up(loop) else []
        if found:
            listed = ", ".join(dict.fromkeys(one.text for one in found))
            note = f"load {listed} before the loop over {loop.variable} to {loop.stop}"
            yield Site(note, partial(_hoisted, view, loop, found))


def _fixed(view: NumbaView, loop: Loop) -> Iterator[_Fixed]:
    for statement in loop.body:
        if not isinstance(statement, cst.SimpleStatementLine):
            if view.effects(statement).jumps:
                return
            continue
        for node in view.find(cst.Subscript, statement):
            if not isinstance(node.value, cst.Name) or not view.is_read_only(node.value.value):
                continue
            simple = not any(isinstance(inner, cst.Subscript | cst.Call) for one in node.slice for inner in walk(one))
            indices = [one.slice.value for one in node.slice if isinstance(one.slice, cst.Index)]
            known = kind_of(view, node) is not None or _is_cast(view, node)
            conditional = any(isinstance(one, cst.IfExp | cst.BooleanOperation) for one in _within(view, node))
            if simple and known and not conditional and all(_stays(view, one, loop) for one in indices):
                yield _Fixed(node, view.text(node))


def _within(view: NumbaView, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for one in view.around(node):
        if isinstance(one, Statement):
            return
        yield one


def _is_cast(view: NumbaView, node: cst.Subscript) -> bool:
    parent = view.parents[node]
    call = view.parents[parent] if isinstance(parent, cst.Arg) else None
    return isinstance(call, cst.Call) and call_name(call) == "float32" and len(call.args) == 1


def _hoisted(view: NumbaView, loop: Loop, found: list[_Fixed]) -> Kernel:
    names: dict[str, str] = {}
    edits, zeros, loads = list[Edit](), "", ""
    for one in found:
        assert isinstance(one.node.value, cst.Name)
        cast = _is_cast(view, one.node)
        kind = "float32" if cast else kind_of(view, one.node)
        if one.text not in names:
            name = view.fresh(f"{one.node.value.value}_fixed")
            while name in names.values():
                name += "_"
            names[one.text] = name
            zeros += f"{name} = {'int64' if kind == 'int' else kind}(0)\n"
            loads += f"    {name} = {'int64' if kind == 'int' else kind}({one.text})\n"
        edits.append(Edit(one.node, text=names[one.text]))
    before = f"{zeros}if {loop.start} < {loop.stop}:\n{loads}"
    kinds = {"int64" if kind == "int" else kind for one in found if (kind := kind_of(view, one.node) or "float32")}
    return view.edited([Edit(loop.node, before=before), *edits, *view.importing(*kinds)])


# Divisions.


def reciprocal(view: NumbaView) -> Iterator[Site]:
    """Divide once before a loop, and multiply in it."""
    for loop in view.loops:
        found: dict[str, list[cst.BinaryOperation]] = {}
        for node in view.find(cst.BinaryOperation, *loop.body):
            if isinstance(node.operator, cst.Divide) and isinstance(node.right, cst.Name):
                floats = kind_of(view, node.right) == kind_of(view, node.left) == "float32"
                if floats and _stays(view, node.right, loop):
                    found.setdefault(node.right.value, []).append(node)
        for divisor, nodes in found.items():
            note = f"multiply by 1 / {divisor} in the loop over {loop.variable} to {loop.stop}"
            yield Site(note, partial(_inverted, view, loop, divisor, nodes))


def _inverted(view: NumbaView, loop: Loop, divisor: str, nodes: list[cst.BinaryOperation]) -> Kernel:
    name = view.fresh(f"{divisor}_inverse")
    edits = [Edit(loop.node, before=f"{name} = float32(1.0) / {divisor}\n"), *view.importing("float32")]
    for node in nodes:
        edits += [Edit(node.operator, becomes=cst.Multiply()), Edit(node.right, text=name)]
    return view.edited(edits)


# Indices.


def unsigned_indices(view: NumbaView) -> Iterator[Site]:
    """Indices without sign, where they cannot be negative: no test whether to count from the array's end."""
    found = [
        inner.slice.value
        for node in view.find(cst.Subscript)
        if isinstance(node.value, cst.Name) and node.value.value in {*view.buffers, *view.arrays}
        for inner in node.slice
        if isinstance(inner.slice, cst.Index)
        and not isinstance(inner.slice.value, cst.Integer)
        and kind_of(view, inner.slice.value) == "int"
        and is_at_least_zero(view, inner.slice.value)
    ]
    if found and "uint64" not in view.words:
        yield Site(f"{len(found)} indices of {view.name} without sign", partial(_unsigned, view, found))


def _unsigned(view: NumbaView, found: list[cst.BaseExpression]) -> Kernel:
    edits = [Edit(node, wrap="uint64({})") for node in found]
    return view.edited([*edits, *view.importing("uint64")])


# Shared memory.


def pad(view: NumbaView) -> Iterator[Site]:
    """Rows of a shared array a few elements apart, so that a column of it lies in different banks."""
    for one in view.arrays.values():
        shape = one.call.args[0].value
        if one.is_shared and view.is_plain and isinstance(shape, cst.Tuple) and len(shape.elements) > 1:
            whole = all(
                len(node.slice) == len(shape.elements)
                for node in view.find(cst.Subscript)
                if isinstance(node.value, cst.Name) and node.value.value == one.name
            )
            last = shape.elements[-1].value
            plain = isinstance(last, cst.Name | cst.Integer) and bool(view.values(view.text(last)))
            if whole and plain and not _is_given_away(view, one):
                yield Site(f"rows of {one.name} apart", partial(_padded, view, one, shape))


def _is_given_away(view: NumbaView, array: Shared) -> bool:
    used = [name for statement in view.body for name in names_in(statement) if name.value == array.name]
    return any(not isinstance(view.parents[name], cst.Subscript | cst.AssignTarget) for name in used)


def _padded(view: NumbaView, one: Shared, shape: cst.Tuple) -> Kernel:
    size, width = view.fresh("PAD"), view.fresh(f"{one.name.upper()}_WIDTH")
    last = shape.elements[-1].value
    edits = [Edit(last, text=width), view.before_entry(f"{width} = {view.text(last)} + {size}\n")]
    return view.edited(edits, tunables={size: _PADS})
