"""Rewrites that read a row fewer times: loops that are joined, and reductions that need no second pass."""

from __future__ import annotations

__all__ = ["Pair", "inner_of", "is_zero", "join", "names_meet", "online_softmax", "only_reduction", "pairs"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, assigned, indented, names_in
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.calls import call_name
from kernelevolve.proposers.rewriting.triton_rules.equal import expanded, same_bounds
from kernelevolve.proposers.rewriting.triton_rules.loops import Reduction, carried
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tuple_text
from kernelevolve.proposers.rewriting.view import Site

_EXPONENTIALS: Final = ("tl.exp", "tl.exp2")


@frozen(eq=False)
class Pair:
    """Two loops over the same range in one list of statements, and what stands between them."""

    first: Loop
    second: Loop
    between: tuple[Statement, ...]


def pairs(view: TritonView) -> Iterator[Pair]:
    """Loops over the same range with nothing but assignments between them."""
    for first in view.loops:
        block = view.parents[first.node]
        statements = view.siblings(first.node)
        place = statements.index(first.node)
        between: list[Statement] = []
        for one in statements[place + 1 :]:
            second = view.loop(one)
            if second is not None:
                if same_bounds(view, first, second) and view.parents[second.node] is block:
                    yield Pair(first, second, tuple(between))
                break
            if not isinstance(one, cst.SimpleStatementLine) or not view.memory.effects(one).is_pure:
                break
            between.append(one)


def join(view: TritonView) -> Iterator[Site]:
    """One loop in place of two over the same range, where the second needs nothing that the first leaves."""
    for pair in pairs(view):
        if _is_independent(view, pair):
            note = f"one loop over {view.text(pair.first.stop)[:40]} for two"
            yield Site(note, partial(_joined, view, pair))


def _is_independent(view: TritonView, pair: Pair) -> bool:
    one, two = (view.memory.effects(*loop.body) for loop in (pair.first, pair.second))
    if not one.is_plain or not two.is_plain or one.stored & (two.loaded | two.stored) or two.stored & one.loaded:
        return False
    if pair.first.options != pair.second.options or call_name(pair.first.call) != call_name(pair.second.call):
        return False
    made = assigned(pair.first.node)
    gap = {name.value for line in pair.between for name in names_in(line)}
    before = {name.value for name in names_in(*pair.first.body)} - made
    if before & (assigned(pair.second.node) | assigned(*pair.between)):
        return False  # the first loop's later turns would see what the second one sets
    read = [name for name in names_in(*pair.second.body, *pair.between) if name.value in made]
    local = all(_is_setinner_of(view, name, pair.second) for name in read if name not in _targets(view, pair))
    left = [one.name for one in carried(view, pair.first.node).others + carried(view, pair.second.node).others]
    carried_over = {one.name for one in carried(view, pair.second.node).reductions}
    return local and not left and not gap & made and not carried_over & made


def _targets(view: TritonView, pair: Pair) -> set[cst.Name]:
    """Names that are set, not read."""
    return {name for name in names_in(*pair.second.body, *pair.between) if name not in view.flow.reaching}


def _is_setinner_of(view: TritonView, name: cst.Name, loop: Loop) -> bool:
    definition = view.flow.of(name)
    return (
        definition is not None
        and (loop.node in definition.loops or definition.node is loop.node)
        and (definition.kind is not Kind.CARRIED or definition.node is not loop.node)
    )


def _joined(view: TritonView, pair: Pair) -> Kernel:
    first, second = pair.first, pair.second
    renamed = [
        Edit(use, text=first.variable)
        for one in view.flow.made[second.node]
        if one.kind is Kind.INDEX and second.variable != first.variable
        for use in one.uses
    ]
    body = view.lines(first.body) + view.lines(second.body, renamed)
    start = "0" if first.start is None else view.text(first.start)
    step = "" if first.step is None else view.text(first.step)
    loop = first.head(start, view.text(first.stop), step) + indented(body)
    gap = view.lines(pair.between)
    return view.edited(
        [Edit(first.node, text=gap + loop), *(Edit(one, text="") for one in (*pair.between, second.node))]
    )


@frozen(eq=False)
class _Softmax:
    """A maximum in one loop, and the sum of exponentials of what is left above it in the next."""

    pair: Pair
    top: Reduction
    total: Reduction
    #: Elements, as the first loop writes them.
    element: cst.BaseExpression
    #: The reduction of elements to their maximum: a call, and which of its nodes stands for the elements.
    reduce: cst.Call
    #: The variable that holds the maximum after the first loop, and where it is set if not by the loop.
    peak: str
    peak_line: Statement | None
    #: The exponential in the second loop, and the maximum in it.
    exponential: cst.Call
    peak_use: cst.BaseExpression


def online_softmax(view: TritonView) -> Iterator[Site]:
    """The maximum and the sum of exponentials in one pass, the sum rescaled whenever the maximum grows.

    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
    """
    for pair in pairs(view):
        found = _softmax(view, pair)
        if found is not None:
            yield Site(f"one pass for {found.peak} and {found.total.name}", partial(_online, view, found))


def only_reduction(view: TritonView, loop: Loop) -> Reduction | None:
    """The one thing that a loop carries."""
    found = carried(view, loop.node)
    alone = len(found.reductions) == 1 and not found.steps and not found.others
    return found.reductions[0] if alone and view.memory.effects(*loop.body).is_pure else None


def _softmax(view: TritonView, pair: Pair) -> _Softmax | None:
    top, total = only_reduction(view, pair.first), only_reduction(view, pair.second)
    if top is None or total is None or top.operator != "max" or total.operator != "+":
        return None
    if any(one.statement not in loop.body for one, loop in ((top, pair.first), (total, pair.second))):
        return None
    made = _peak(view, pair, top)
    exponential = inner_of(view, total.term, "tl.sum")
    if made is None or call_name(exponential) not in _EXPONENTIALS or not isinstance(exponential, cst.Call):
        return None
    element, reduce, peak, line, definition = made
    match exponential.args[0].value:
        case cst.BinaryOperation(left=left, operator=cst.Subtract(), right=right):
            pass
        case _:
            return None
    whose = right.value if isinstance(right, cst.Subscript) else right
    texts = expanded(view, element, pair.first), expanded(view, left, pair.second)
    kinds = [view.types.definition(one.definition) for one in (top, total)]
    if view.flow.of(whose) is not definition or texts[0] is None or texts[0] != texts[1]:
        return None
    if names_meet(pair.first, {peak, total.name} - {top.name}):
        return None
    starts = total.definition.entry
    fits = starts is not None and starts.value is not None and is_zero(view, starts.value)
    if not fits or not all(one is not None and one.is_float32 for one in kinds) or _lowest(view, reduce) is None:
        return None
    return _Softmax(pair, top, total, element, reduce, peak, line, exponential, right)


def inner_of(view: TritonView, node: cst.BaseExpression, function: str | None = None) -> cst.BaseExpression:
    """The argument of a reduction, or the node itself; a variable of the loop is what was assigned to it."""
    definition = view.flow.of(node)
    if definition is not None and definition.kind is Kind.VALUE and definition.value is not None:
        return inner_of(view, definition.value, function)
    if function is not None and isinstance(node, cst.Call) and call_name(node) == function and node.args:
        return inner_of(view, node.args[0].value)
    return node


def names_meet(loop: Loop, names: set[str]) -> bool:
    """Whether a loop that is to carry `names` uses one of them for something else."""
    return bool(names & {name.value for name in names_in(*loop.body)})


def _peak(
    view: TritonView, pair: Pair, top: Reduction
) -> tuple[cst.BaseExpression, cst.Call, str, Statement | None, Definition] | None:
    """Elements, their reduction, the maximum's name, the statement that sets it, its definition."""
    term = top.term
    if isinstance(term, cst.Call) and call_name(term) == "tl.max" and term.args:
        return term.args[0].value, term, top.name, None, top.definition
    after = [use for use in top.definition.uses if pair.first.node not in view.around(use)]
    for line in pair.between:
        match line:
            case cst.SimpleStatementLine(
                body=[
                    cst.Assign(
                        targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Call() as call
                    ) as node
                ]
            ) if call_name(call) == "tl.max" and after == [call.args[0].value]:
                return term, call, name, line, view.flow.made[node][0]
            case _:
                pass
    return None


def is_zero(view: TritonView, node: cst.BaseExpression) -> bool:
    """Whether an accumulator starts from nothing."""
    return call_name(node) == "tl.zeros" or view.flat(node) in ("0.0", "0.")


def _online(view: TritonView, found: _Softmax) -> Kernel:
    pair, peak, total = found.pair, found.peak, found.total
    top, safe = view.fresh("top"), view.fresh("safe")
    element, exp = view.text(found.element), call_name(found.exponential)
    reduced = view.changed(found.reduce, [Edit(found.reduce.args[0].value, text=element)])
    broadcast = view.text(found.peak_use)[len(peak) :]
    share = f"{exp}({element} - {safe}{broadcast})"
    is_sum = isinstance(total.term, cst.Call) and call_name(total.term) == "tl.sum"
    if isinstance(total.term, cst.Call) and call_name(total.term) == "tl.sum":
        added = view.changed(total.term, [Edit(total.term.args[0].value, text=share)])
    else:
        added = share
    scale = f"{exp}({peak} - {safe}){'' if is_sum else broadcast}"
    lines = [
        f"{top} = tl.maximum({peak}, {reduced})",
        f'{safe} = tl.where({top} == float("-inf"), 0.0, {top})',
        f"{total.name} = {total.name} * {scale} + {added}",
        f"{peak} = {top}",
    ]
    body = view.lines(pair.first.body, [Edit(found.top.statement, text="\n".join(lines) + "\n")])
    first = pair.first
    start = "0" if first.start is None else view.text(first.start)
    head = first.head(start, view.text(first.stop), "" if first.step is None else view.text(first.step))
    entry = total.definition.entry
    assert entry is not None
    moved = [line for line in pair.between if line is view.statement(entry.node)]
    before = view.lines(moved)
    if found.peak_line is not None:
        before += f"{peak} = {_lowest(view, found.reduce)}\n"
    gone = [*moved, pair.second.node, *([found.peak_line] if found.peak_line is not None else [])]
    return view.edited([Edit(first.node, text=before + head + indented(body)), *(Edit(one, text="") for one in gone)])


def _lowest(view: TritonView, reduce: cst.Call) -> str | None:
    """What a running maximum of the shape of `reduce` starts from."""
    value = view.types.of(reduce)
    sizes = [None] if value is None else [view.size_text(size) for size in value.shape]
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes):
        return None
    return f'tl.full({tuple_text(known)}, float("-inf"), tl.float32)' if known else 'float("-inf")'
