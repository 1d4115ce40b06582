"""What a number is for: the width of blocks, which may be any other one, or something that has to stay."""

from __future__ import annotations

__all__ = ["are_widths", "is_width"]

from collections.abc import Sequence
from typing import Final

import libcst as cst

from kernelevolve.proposers.rewriting.python_edits import names_in
from kernelevolve.proposers.rewriting.triton_rules.bounds import grid_forms, loop_of
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, Form
from kernelevolve.proposers.rewriting.triton_rules.loops import trips
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView

#: Arguments that are widths: of which call, and where.
_PLACES: Final = {
    "tl.arange": (1, "end", "range"),
    "range": (2, "step", "step"),
    "tl.range": (2, "step", "step"),
    "tl.cdiv": (1, "div", "blocks"),
    "triton.cdiv": (1, "div", "blocks"),
    "tl.zeros": (0, "shape", "shape"),
    "tl.full": (0, "shape", "shape"),
    "tl.multiple_of": (1, "values", "hint"),
    "tl.max_contiguous": (1, "values", "hint"),
}


def are_widths(view: TritonView, nodes: Sequence[cst.BaseExpression]) -> bool:
    """Whether a number is written as the length of a range, and besides as shape, step or distance of blocks only.

    The ranges must be masked wherever they index memory, else another length would reach other elements; and there is
    no product of matrices, which allows few sizes.
    """
    roles = [_role(view, node) for node in nodes]
    if None in roles or "range" not in roles or any(view.called("tl.dot")):
        return False
    ranges = [node for node, role in zip(nodes, roles, strict=True) if role == "range"]
    calls = [one for node in ranges for one in view.around(node) if call_name(one) == "tl.arange"]
    forms = [form for call in calls if isinstance(call, cst.Call) and (form := view.indices.form(call)) is not None]
    sizes = {leaf.args[0] for form in forms for leaf in form.leaves if leaf.kind == "arange"}
    for access in (*view.memory.whole.loads, *view.memory.whole.stores):
        if access.address is None:
            return False
        moving = {leaf for leaf in access.address.offset.leaves if leaf.kind == "arange" and leaf.args[0] in sizes}
        known = [] if access.mask is None else [one for one in view.indices.conditions(access.mask) if one is not None]
        masked = {leaf for one in known for leaf in one.leaves if leaf.kind == "arange"}
        if not moving <= masked:
            return False
    return True


def is_width(view: TritonView, parameter: str) -> bool:
    """Whether a tunable is used as a width only, so that any power of two does."""
    uses = [one for one in names_in(*view.body) if one.value == parameter]
    return all(_role(view, one) is not None or _is_factor(view, one) for one in uses)


def _role(view: TritonView, node: cst.BaseExpression) -> str | None:
    """What a number is for; None where that is not the width of blocks."""
    holder = view.parents[node]
    above = view.parents[holder]
    if isinstance(holder, cst.Arg) and isinstance(above, cst.Call):
        place = _PLACES.get(call_name(above))
        return place[2] if place is not None and argument(above, place[0], place[1]) is node else None
    if isinstance(holder, cst.Element) and isinstance(above, cst.Tuple | cst.List):
        call = view.parents[view.parents[above]]
        place = _PLACES.get(call_name(call))
        return place[2] if place is not None and place[2] in ("shape", "hint") else None
    if isinstance(holder, cst.BinaryOperation) and isinstance(holder.operator, cst.Multiply):
        other, width = view.indices.form(holder.left if holder.right is node else holder.right), view.indices.form(node)
        blocks = other is not None and width is not None and _counts_blocks(view, other, width)
        return "distance" if blocks else None
    return None


def _counts_blocks(view: TritonView, form: Form, width: Form) -> bool:
    """Whether a form is the number of a block of that width: as many programs or turns as a size has blocks of it."""
    atom, grid = form.atom, grid_forms(view)
    if atom is None:
        return False
    if atom.kind == "pid" and grid is not None and int(atom.label) < len(grid):
        blocks = grid[int(atom.label)].atom
    else:
        loop = loop_of(view, atom) if atom.kind == "index" else None
        bounds = None if loop is None else trips(view, loop)
        blocks = None if bounds is None or bounds[2] != ONE else bounds[1].atom
    return blocks is not None and blocks.kind == "cdiv" and blocks.args[1] == width


def _is_factor(view: TritonView, node: cst.Name) -> bool:
    """Whether a width is multiplied, divided by or compared with whole numbers, as blocks are counted."""
    holder = view.parents[node]
    if isinstance(holder, cst.Arg):
        return call_name(view.parents[holder]) in ("tl.minimum", "tl.maximum", "min", "max")
    if not isinstance(holder, cst.BinaryOperation):
        return False
    if not isinstance(holder.operator, cst.Multiply | cst.FloorDivide | cst.Modulo):
        return False
    if holder.left is node and not isinstance(holder.operator, cst.Multiply):
        return False
    other = view.types.of(holder.left if holder.right is node else holder.right)
    return other is not None and other.is_whole and not other.shape
