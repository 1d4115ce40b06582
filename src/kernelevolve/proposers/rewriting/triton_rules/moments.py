"""Mean and squared deviation of a row in one pass, block by block."""

from __future__ import annotations

__all__ = ["online_moments"]

from collections.abc import Iterator
from functools import partial

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, atomic, indented
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.calls import call_name
from kernelevolve.proposers.rewriting.triton_rules.equal import expanded
from kernelevolve.proposers.rewriting.triton_rules.forms import ZERO, Form
from kernelevolve.proposers.rewriting.triton_rules.loops import Reduction, trips
from kernelevolve.proposers.rewriting.triton_rules.passes import (
    Pair,
    inner_of,
    is_zero,
    names_meet,
    only_reduction,
    pairs,
)
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, tuple_text
from kernelevolve.proposers.rewriting.view import Site


@frozen(eq=False)
class _Moments:
    """The sum of elements in one loop, their mean after it, and the squares of what deviates from it in the next."""

    pair: Pair
    total: Reduction
    squares: Reduction
    element: cst.BaseExpression
    #: ``tl.sum`` over the elements of a block: in the first loop, or after it.
    reduce: cst.Call
    mean: str
    mean_line: Statement
    size: cst.BaseExpression
    #: ``tl.where(inside, x - mean, 0.0)``
    deviation: cst.Call
    mean_use: cst.BaseExpression
    #: The sum of squares after the second loop; None where the loop holds it already.
    last: cst.Call | None


def online_moments(view: TritonView) -> Iterator[Site]:
    """The mean and the squared deviation from it in one pass over the row.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979: no
    difference of large sums, so no cancellation.
    """
    for pair in pairs(view):
        found = _moments(view, pair)
        if found is not None:
            yield Site(f"one pass for {found.mean} and {found.squares.name}", partial(_online, view, found))


def _moments(view: TritonView, pair: Pair) -> _Moments | None:
    total, squares = only_reduction(view, pair.first), only_reduction(view, pair.second)
    if total is None or squares is None or total.operator != "+" or squares.operator != "+":
        return None
    mean = _mean(view, pair, total)
    deviation = _deviation(view, squares)
    starts = [one.definition.entry for one in (total, squares)]
    zero = all(one is not None and one.value is not None and is_zero(view, one.value) for one in starts)
    kinds = [view.types.definition(one.definition) for one in (total, squares)]
    if mean is None or deviation is None or not zero or not all(one is not None and one.is_float32 for one in kinds):
        return None
    element, reduce, name, line, definition, size = mean
    match deviation.args[1].value:
        case cst.BinaryOperation(left=left, operator=cst.Subtract(), right=right):
            pass
        case _:
            return None
    whose = right.value if isinstance(right, cst.Subscript) else right
    texts = expanded(view, element, pair.first), expanded(view, left, pair.second)
    last = _last(view, pair, squares)
    alike = view.flow.of(whose) is definition and texts[0] is not None and texts[0] == texts[1]
    counted = _counts_blocks(view, pair, element, deviation.args[0].value, size)
    direct = isinstance(squares.term, cst.Call) and call_name(squares.term) == "tl.sum"
    if not alike or not counted or (last is None) != direct:
        return None
    if names_meet(pair.first, {name, squares.name} - {total.name}):
        return None
    return _Moments(pair, total, squares, element, reduce, name, line, size, deviation, right, last)


def _mean(
    view: TritonView, pair: Pair, total: Reduction
) -> tuple[cst.BaseExpression, cst.Call, str, Statement, Definition, cst.BaseExpression] | None:
    """Elements, their sum over a block, and the mean: its name, statement, definition, and what it is divided by."""
    after = [use for use in total.definition.uses if pair.first.node not in view.around(use)]
    term = total.term
    direct = isinstance(term, cst.Call) and call_name(term) == "tl.sum"
    for line in pair.between:
        match line:
            case cst.SimpleStatementLine(
                body=[
                    cst.Assign(
                        targets=[cst.AssignTarget(target=cst.Name(value=name))],
                        value=cst.BinaryOperation(left=left, operator=cst.Divide(), right=size),
                    ) as node
                ]
            ):
                summed = isinstance(left, cst.Call) and call_name(left) == "tl.sum" and after == [left.args[0].value]
                definition = view.flow.made[node][0]
                if isinstance(term, cst.Call) and direct and after == [left]:
                    return term.args[0].value, term, name, line, definition, size
                if isinstance(left, cst.Call) and summed and not direct:
                    return term, left, name, line, definition, size
            case _:
                pass
    return None


def _deviation(view: TritonView, squares: Reduction) -> cst.Call | None:
    """``where(inside, x - mean, 0)``, where the reduction adds up its square."""
    match inner_of(view, squares.term, "tl.sum"):
        case cst.BinaryOperation(left=left, operator=cst.Multiply(), right=right):
            one, other = inner_of(view, left), inner_of(view, right)
            is_where = isinstance(one, cst.Call) and call_name(one) == "tl.where" and len(one.args) == 3
            if (
                isinstance(one, cst.Call)
                and is_where
                and one is other
                and view.flat(one.args[2].value) in ("0.0", "0.")
            ):
                return one
    return None


def _last(view: TritonView, pair: Pair, squares: Reduction) -> cst.Call | None:
    """The only use of the sum of squares after the loop, where that is its reduction to a number for each row."""
    after = [use for use in squares.definition.uses if pair.second.node not in view.around(use)]
    if len(after) != 1:
        return None
    holder = view.parents[view.parents[after[0]]]
    is_sum = isinstance(holder, cst.Call) and call_name(holder) == "tl.sum" and holder.args[0].value is after[0]
    return holder if isinstance(holder, cst.Call) and is_sum else None


def _counts_blocks(
    view: TritonView, pair: Pair, element: cst.BaseExpression, mask: cst.BaseExpression, size: cst.BaseExpression
) -> bool:
    """Whether elements outside are zero, and a block from `i` on holds ``min(size - i, width)`` of them."""
    bounds = trips(view, pair.first)
    load = _load_of(view, element)
    counters = [one for one in view.flow.made[pair.second.node] if one.kind is Kind.INDEX]
    if bounds is None or load is None or load.mask is None or load.other is None or not counters[0].uses:
        return False
    index = view.indices.form(counters[0].uses[0])
    whole = bounds[0] == ZERO and view.indices.form(size) == bounds[1] and view.flat(load.other) in ("0.0", "0.", "0")
    first, second = (_columns(view, node, bounds[2]) for node in (load.mask, mask))
    if index is None or first is None or second is None or not whole:
        return False
    return second == bounds[1] - index and expanded(view, load.mask, pair.first) == expanded(view, mask, pair.second)


def _load_of(view: TritonView, element: cst.BaseExpression) -> Access | None:
    """The load behind ``tl.load(…).to(tl.float32)``."""
    node = inner_of(view, element)
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute) and node.func.attr.value == "to":
        node = inner_of(view, node.func.value)
    return view.memory.access(node) if isinstance(node, cst.Call) and call_name(node) == "tl.load" else None


def _columns(view: TritonView, mask: cst.BaseExpression, width: Form) -> Form | None:
    """What the elements of a block are compared with: ``size - i`` in ``i + arange(width) < size``."""
    for one in view.indices.conditions(mask):
        for atom in () if one is None else tuple(one.leaves):
            if atom.kind == "arange" and atom.dimension == -1 and atom.args[0] == width:
                parts = one.split(atom) if one is not None else None
                if parts is not None and parts[0].constant == -1 and not parts[1].is_tensor:
                    return parts[1]
    return None


def _online(view: TritonView, found: _Moments) -> Kernel:
    pair, mean, squares = found.pair, found.mean, found.squares
    many, block_mean, shift, spread = (view.fresh(word) for word in ("many", "block_mean", "shift", "spread"))
    first = pair.first
    step = "1" if first.step is None else view.text(first.step)
    element = view.text(found.element) if isinstance(found.element, cst.Name) else view.fresh("element")
    reduced = view.changed(found.reduce, [Edit(found.reduce.args[0].value, text=element)])
    broadcast = view.text(found.mean_use)[len(mean) :]
    deviation = f"tl.where({_mask(view, found)}, {element} - {block_mean}{broadcast}, 0.0)"
    name = view.fresh("deviation")
    square = f"{name} * {name}"
    if isinstance(squares.term, cst.Call) and call_name(squares.term) == "tl.sum":
        square = view.changed(squares.term, [Edit(squares.term.args[0].value, text=square)])
    size = atomic(view.text(first.stop))
    start = first.variable
    lines = [
        f"{many} = tl.minimum({size} - {start}, {step}).to(tl.float32)",
        f"{block_mean} = {reduced} / {many}",
        f"{name} = {deviation}",
        f"{shift} = {block_mean} - {mean}",
        f"{squares.name} += {square}",
        f"{spread} += {shift} * {shift} * ({start} * {many} / ({start} + {many}))",
        f"{mean} += {shift} * ({many} / ({start} + {many}))",
    ]
    if not isinstance(found.element, cst.Name):
        lines.insert(0, f"{element} = {view.text(found.element)}")
    body = view.lines(first.body, [Edit(found.total.statement, text="\n".join(lines) + "\n")])
    head = first.head("0", view.text(first.stop), "" if first.step is None else step)
    entry = squares.definition.entry
    assert entry is not None
    moved = [line for line in pair.between if line is view.statement(entry.node)]
    zero = _zero(view, found)
    before = view.lines(moved) + f"{mean} = {zero}\n{spread} = {zero}\n"
    edits = [Edit(one, text="") for one in (*moved, found.mean_line)]
    if found.last is None:
        edits.append(Edit(pair.second.node, text=f"{squares.name} += {spread}\n"))
    else:
        edits += [Edit(pair.second.node, text=""), Edit(found.last, wrap=f"{{}} + {spread}")]
    return view.edited([Edit(first.node, text=before + head + indented(body)), *edits])


def _mask(view: TritonView, found: _Moments) -> str:
    load = _load_of(view, found.element)
    assert load is not None
    assert load.mask is not None
    return view.text(load.mask)


def _zero(view: TritonView, found: _Moments) -> str:
    value = view.types.of(found.reduce)
    sizes = [] if value is None else [view.size_text(size) for size in value.shape]
    return f"tl.zeros({tuple_text(map(str, sizes))}, tl.float32)" if sizes else "0.0"
