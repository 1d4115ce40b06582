"""Loads of a loop's body that can be made before the rest of the turn."""

from __future__ import annotations

__all__ = ["Load", "loads_of"]

from collections.abc import Iterator

import libcst as cst
from attrs import frozen

from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.view import Loop, NumbaView
from kernelevolve.proposers.rewriting.python_edits import Statement, names_in
from kernelevolve.proposers.rewriting.python_flow import Kind


@frozen(eq=False)
class Load:
    """An element of a buffer, as the kernel reads it: with its cast to float32 where it has one."""

    node: cst.BaseExpression
    array: str
    text: str
    #: As code: what an array for it holds.
    dtype: str


def loads_of(view: NumbaView, loop: Loop) -> list[Load]:
    """Loads that every turn makes, of buffers that nothing writes, at places that only the loop's counter moves."""
    found = []
    for statement in _always(loop.body):
        for node in view.find(cst.Subscript, statement):
            made = _load(view, loop, node)
            if made is not None and not _is_conditional(view, node):
                found.append(made)
    return found


def _always(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """The simple statements that run in every turn: those before the first that may leave it."""
    for one in body:
        if isinstance(one, cst.SimpleStatementLine):
            yield one
        elif any(isinstance(inner, cst.Return | cst.Continue | cst.Break) for inner in _inside(one)):
            return


def _inside(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    yield node
    for child in node.children:
        yield from _inside(child)


def _is_conditional(view: NumbaView, node: cst.CSTNode) -> bool:
    """Whether an expression around may leave it out."""
    for one in view.around(node):
        if isinstance(one, cst.IfExp | cst.BooleanOperation):
            return True
        if isinstance(one, Statement):
            return False
    return False


def _load(view: NumbaView, loop: Loop, node: cst.Subscript) -> Load | None:
    if not isinstance(node.value, cst.Name) or not view.is_read_only(node.value.value):
        return None
    names = list(names_in(*node.slice))
    if loop.variable not in {name.value for name in names}:
        return None
    for name in names:
        seen = view.flow.of(name)
        if seen is None:
            continue
        counts = seen.kind is Kind.INDEX and seen.node is loop.node
        if not counts and (seen.node is loop.node or loop.node in seen.loops):
            return None
    if any(isinstance(inner, cst.Subscript | cst.Call) for one in node.slice for inner in _inside(one)):
        return None
    array = node.value.value
    around = view.parents[view.parents[node]] if isinstance(view.parents[node], cst.Arg) else None
    if isinstance(around, cst.Call) and call_name(around) == "float32" and len(around.args) == 1:
        return Load(around, array, view.text(around), "float32")
    return Load(node, array, view.text(node), f"{array}.dtype")
