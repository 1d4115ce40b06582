"""Rewrites of arithmetic: cheaper functions, and fewer of them."""

from __future__ import annotations

__all__ = ["dot_accumulate", "exp2", "folded_exp2", "reciprocal", "rsqrt"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.python_edits import Edit, atomic
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name
from kernelevolve.proposers.rewriting.triton_rules.loops import reduction
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView
from kernelevolve.proposers.rewriting.view import Site

#: log2(e) to the precision of float32 and beyond.
_LOG2E: Final = "1.4426950408889634"


def exp2(view: TritonView) -> Iterator[Site]:
    """``exp2(x * log2(e))`` for ``exp(x)``, which is how the hardware computes it."""
    calls = [call for call in view.called("tl.exp") if len(call.args) == 1 and _is_float32(view, call.args[0].value)]
    if calls:
        edits = [edit for call in calls for edit in _as_exp2(call)]
        yield Site(f"exp2 for {len(calls)} exp", partial(view.edited, edits))


def _as_exp2(call: cst.Call) -> list[Edit]:
    return [Edit(call.func, text="tl.exp2"), Edit(call.args[0].value, wrap=f"{{}} * {_LOG2E}")]


def _is_float32(view: TritonView, node: cst.BaseExpression) -> bool:
    value = view.types.of(node)
    return value is not None and value.is_float32


def folded_exp2(view: TritonView) -> Iterator[Site]:
    """``exp2`` for ``exp``, with log2(e) in a factor that the exponents have anyway.

    Only where the scaled values go nowhere but into maxima and differences under ``exp``.
    """
    for start in view.called("tl.exp"):
        scaled = _scaled(view, start)
        if scaled is not None:
            roots = [one for one in scaled if _factor(one) is not None]
            calls = [call for call in view.called("tl.exp") if _holds(view, call, scaled)]
            note = f"log2(e) in {', '.join(sorted({one.name for one in roots}))}, and exp2"
            yield Site(note, partial(_folded, view, roots, calls))
            return


def _factor(definition: Definition) -> cst.BaseExpression | None:
    """The right factor of the product that a variable is set to."""
    match definition.value:
        case cst.BinaryOperation(operator=cst.Multiply(), right=right) if definition.kind is Kind.VALUE:
            return right
    return None


def _scaled(view: TritonView, start: cst.Call) -> frozenset[Definition] | None:
    """Variables that all are products, or maxima, choices and differences of one another; None where one is not."""
    found: set[Definition] = set()
    pending = _parts(view, start.args[0].value)
    while pending:
        one = pending.pop()
        if one is None:
            return None
        if one in found:
            continue
        found.add(one)
        if _factor(one) is not None:
            value = view.types.definition(one)
            if value is None or not value.is_float32:
                return None
        elif one.kind is Kind.VALUE and one.value is not None:
            pending += _parts(view, one.value)
        elif one.kind in (Kind.CARRIED, Kind.MERGED):
            pending += one.sources
        else:
            return None
    whole = frozenset(found)
    used = all(_goes_well(view, use, whole) for one in whole for use in one.uses)
    flows = all(other in whole for one in whole for other in one.into if other.is_read)
    return whole if used and flows and any(_factor(one) is not None for one in whole) else None


def _parts(view: TritonView, node: cst.BaseExpression) -> list[Definition | None]:
    """The variables that an expression is made of so that it scales as they do; None among them: it does not."""
    match node:
        case cst.Name():
            return [view.flow.of(node)]
        case cst.Subscript(value=inner) | cst.UnaryOperation(operator=cst.Minus(), expression=inner):
            return _parts(view, inner)
        case cst.BinaryOperation(left=left, operator=cst.Subtract() | cst.Add(), right=right):
            return [*_parts(view, left), *_parts(view, right)]
        case cst.Float(value="0.0" | "0."):
            return []
        case cst.Call():
            match call_name(node):
                case "tl.where" if len(node.args) == 3:
                    return [*_parts(view, node.args[1].value), *_parts(view, node.args[2].value)]
                case "tl.maximum" | "tl.minimum" if len(node.args) == 2:
                    return [part for one in node.args for part in _parts(view, one.value)]
                case "tl.max" | "tl.min" if node.args:
                    return _parts(view, node.args[0].value)
                case "tl.full" if len(node.args) == 3:
                    return _parts(view, node.args[1].value)
                case "tl.zeros":
                    return []
                case "float":  # infinities, whatever they are multiplied by; any other text is no number here
                    return [] if "inf" in view.text(node) else [None]
    return [None]


def _goes_well(view: TritonView, use: cst.Name, whole: frozenset[Definition]) -> bool:
    """Whether a use ends in another of these variables, or under ``exp``, scaled all the way."""
    node: cst.CSTNode = use
    for holder in view.around(use):
        if isinstance(holder, cst.Assign):
            return all(one in whole for one in view.flow.made.get(holder, []))
        if isinstance(holder, cst.Call) and call_name(holder) == "tl.exp":
            return True
        if not isinstance(holder, cst.Arg | cst.SubscriptElement | cst.Index) and not _scales(holder, node):
            return False
        if not isinstance(holder, cst.Arg):
            node = holder
    return False


def _scales(holder: cst.CSTNode, part: cst.CSTNode) -> bool:
    """Whether an expression scales as a part of it does; see `_parts`."""
    match holder:
        case cst.Subscript(value=inner) | cst.UnaryOperation(operator=cst.Minus(), expression=inner):
            return inner is part
        case cst.BinaryOperation(operator=cst.Subtract() | cst.Add()):
            return True
        case cst.Call():
            places = {"tl.where": (1, 2), "tl.maximum": (0, 1), "tl.minimum": (0, 1), "tl.max": (0,), "tl.min": (0,)}
            return any(holder.args[place].value is part for place in places.get(call_name(holder), ()))
    return False


def _holds(view: TritonView, call: cst.Call, scaled: frozenset[Definition]) -> bool:
    return any(one in scaled for one in _parts(view, call.args[0].value))


def _folded(view: TritonView, roots: list[Definition], calls: list[cst.Call]) -> Kernel:
    factors = [factor for one in roots if (factor := _factor(one)) is not None]
    edits = [Edit(factor, wrap=f"({{}} * {_LOG2E})") for factor in factors]
    return view.edited([*edits, *(Edit(call.func, text="tl.exp2") for call in calls)])


def reciprocal(view: TritonView) -> Iterator[Site]:
    """One division for a row and a product for each element, in place of a division for each."""
    found = [node for node in view.find(cst.BinaryOperation) if _is_by_fewer(view, node)]
    if found:
        edits = [
            Edit(node, text=f"{atomic(view.text(node.left))} * (1.0 / {atomic(view.text(node.right))})")
            for node in found
            if not any(one in found for one in view.around(node))
        ]
        yield Site(f"a product for {len(edits)} divisions", partial(view.edited, edits))


def _is_by_fewer(view: TritonView, node: cst.BinaryOperation) -> bool:
    if not isinstance(node.operator, cst.Divide):
        return False
    left, right = view.types.of(node.left), view.types.of(node.right)
    if left is None or right is None or not left.is_float32 or not right.is_float32:
        return False
    whole = view.types.of(node)
    return whole is not None and whole.shape == left.shape and right.shape != whole.shape


def rsqrt(view: TritonView) -> Iterator[Site]:
    """``rsqrt`` in place of a square root that is only divided by."""
    edits = []
    for call in view.called("tl.sqrt"):
        holder = view.parents[call]
        if len(call.args) != 1 or not _is_float32(view, call.args[0].value):
            continue
        if isinstance(holder, cst.BinaryOperation) and isinstance(holder.operator, cst.Divide) and holder.right is call:
            if view.flat(holder.left) in ("1", "1.0", "1."):
                edits.append(Edit(holder, text=f"tl.rsqrt({view.text(call.args[0].value)})"))
            else:
                edits += [_multiplied(holder), Edit(call.func, text="tl.rsqrt")]
        elif isinstance(holder, cst.Assign) and len(view.flow.made[holder]) == 1:
            uses = view.flow.made[holder][0].uses
            divisions = [_division(view, use) for use in uses]
            leaves = any(one.is_read for one in view.flow.made[holder][0].into)
            if uses and not leaves and None not in divisions:
                edits.append(Edit(call.func, text="tl.rsqrt"))
                edits += [_multiplied(one) for one in divisions if one is not None]
    if edits:
        yield Site("rsqrt for sqrt", partial(view.edited, edits))


def _division(view: TritonView, use: cst.Name) -> cst.BinaryOperation | None:
    """The division by a variable."""
    node: cst.CSTNode = use
    while isinstance(view.parents[node], cst.Subscript):
        node = view.parents[node]
    holder = view.parents[node]
    divides = isinstance(holder, cst.BinaryOperation) and isinstance(holder.operator, cst.Divide)
    return holder if isinstance(holder, cst.BinaryOperation) and divides and holder.right is node else None


def _multiplied(node: cst.BinaryOperation) -> Edit:
    """A product in place of a division whose divisor has become its inverse."""
    space = cst.SimpleWhitespace(" ")
    return Edit(node.operator, becomes=cst.Multiply(space, space))


def dot_accumulate(view: TritonView) -> Iterator[Site]:
    """``acc = dot(a, b, acc)`` for ``acc += dot(a, b)``: the product of matrices adds in place."""
    edits = []
    for one in view.flow.definitions:
        found = reduction(view, one) if one.kind is Kind.CARRIED else None
        if found is None or found.operator != "+" or not isinstance(found.term, cst.Call):
            continue
        call, whole = found.term, view.types.definition(one)
        if call_name(call) != "tl.dot" or argument(call, 2, "acc") is not None or one.node is not found.definition.node:
            continue
        value = view.types.of(call)
        alike = value is not None and whole is not None and value.shape == whole.shape
        if alike and whole is not None and whole.is_float32 and value is not None and value.is_float32:
            made = view.changed(call, [Edit(call, arguments={"acc": found.name})])
            edits.append(Edit(found.statement, text=f"{found.name} = {made}\n"))
    unique = list({edit.node: edit for edit in edits}.values())
    if unique:
        yield Site(f"{len(unique)} products of matrices add in place", partial(view.edited, unique))
