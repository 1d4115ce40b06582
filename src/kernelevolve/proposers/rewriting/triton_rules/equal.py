"""Whether two expressions of an entry have the same value, turn by turn of the loops they stand in."""

from __future__ import annotations

__all__ = ["expanded", "same_bounds"]

import ast
from typing import Final

import libcst as cst

from kernelevolve.proposers.rewriting.python_edits import Edit, names_in
from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.triton_rules.loops import trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView

_MAX: Final = 4000


def expanded(view: TritonView, node: cst.BaseExpression, loop: Loop) -> str | None:
    """An expression of a loop's body with the body's own variables written out, and its counter under one name.

    Equal texts of two loops over the same range are equal values in equal turns, provided nothing between them writes
    what they read. None where a variable cannot be written out.
    """
    text = _expanded(view, node, loop, 0)
    # Read and written once more, since that leaves out the parentheses that say nothing.
    return None if text is None else ast.unparse(ast.parse(text, mode="eval"))


def _expanded(view: TritonView, node: cst.BaseExpression, loop: Loop, depth: int) -> str | None:
    if depth > 20:
        return None
    pieces: dict[cst.CSTNode, str] = {}
    for name in names_in(node):
        definition = view.flow.of(name)
        if definition is None:
            continue
        if definition.kind is Kind.INDEX and definition.node is loop.node:
            pieces[name] = "counter__"
        elif definition.kind is Kind.VALUE and loop.node in definition.loops and definition.value is not None:
            inner = _expanded(view, definition.value, loop, depth + 1)
            if inner is None:
                return None
            pieces[name] = f"({inner})"
        elif loop.node in definition.loops or definition.node is loop.node:
            return None
        else:
            pieces[name] = f"{name.value}__{view.flow.definitions.index(definition)}"
    return _written(view, node, pieces)


def _written(view: TritonView, node: cst.BaseExpression, pieces: dict[cst.CSTNode, str]) -> str | None:
    """The code of `node` with names replaced by other code."""
    text = f"({view.changed(node, [Edit(name, text=piece) for name, piece in pieces.items()])})"
    return text if len(text) <= _MAX else None


def same_bounds(view: TritonView, one: Loop, other: Loop) -> bool:
    """Whether two loops run over the same counters."""
    bounds = trips(view, one)
    return bounds is not None and bounds == trips(view, other)
