"""Rewrites of how loops accumulate: in vectors, and in another order."""

from __future__ import annotations

__all__ = ["interchange", "vector_accumulator"]

from collections.abc import Iterator
from functools import partial

import libcst as cst

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.python_edits import Edit, assigned, indented, names_in
from kernelevolve.proposers.rewriting.triton_rules.calls import call_name
from kernelevolve.proposers.rewriting.triton_rules.loops import Reduction, carried
from kernelevolve.proposers.rewriting.triton_rules.types import Value
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tuple_text
from kernelevolve.proposers.rewriting.view import Site

_REDUCERS = {"+": "tl.sum", "max": "tl.max", "min": "tl.min"}
_EXTREMES = {"max": "tl.maximum", "min": "tl.minimum"}
_STARTS = {"max": 'float("-inf")', "min": 'float("inf")'}


def vector_accumulator(view: TritonView) -> Iterator[Site]:
    """Accumulate whole blocks, and reduce them once after the loop, in place of a reduction each turn."""
    for loop in view.loops:
        found = [one for one in carried(view, loop.node).reductions if _is_reduced(view, loop, one)]
        if found:
            names = ", ".join(sorted(one.name for one in found))
            yield Site(f"{names} in vectors, reduced after the loop", partial(_in_vectors, view, loop, found))


def _is_reduced(view: TritonView, loop: Loop, one: Reduction) -> bool:
    call = one.term
    if (
        not isinstance(call, cst.Call)
        or call_name(call) != _REDUCERS.get(one.operator)
        or one.statement not in loop.body
    ):
        return False
    element, result, whole = _elements(view, one), view.types.of(call), view.types.definition(one.definition)
    if element is None or result is None or whole is None or result.shape != whole.shape:
        return False
    known = all(view.size_text(size) is not None for size in element.shape)
    typed = element.types == whole.types and len(whole.types) == 1
    return known and typed and (element.is_float32 or (element.types == {"int32"} and one.operator == "+"))


def _elements(view: TritonView, one: Reduction) -> Value | None:
    assert isinstance(one.term, cst.Call)
    return view.types.of(one.term.args[0].value)


def _in_vectors(view: TritonView, loop: Loop, found: list[Reduction]) -> Kernel:
    edits: list[Edit] = []
    before, after = "", ""
    for one in found:
        element, call = _elements(view, one), one.term
        assert element is not None
        assert isinstance(call, cst.Call)
        name, kind = view.fresh(f"{one.name}_block"), f"tl.{next(iter(element.types))}"
        sizes = [view.size_text(size) for size in element.shape]
        shape = tuple_text(map(str, sizes))
        text = view.text(call.args[0].value)
        reduced = view.changed(call, [Edit(call.args[0].value, text=name)])
        if one.operator == "+":
            before += f"{name} = tl.zeros({shape}, {kind})\n"
            edits.append(Edit(one.statement, text=f"{name} += {text}\n"))
            after += f"{one.name} = {one.name} + {reduced}\n"
        else:
            function = _EXTREMES[one.operator]
            before += f"{name} = tl.full({shape}, {_STARTS[one.operator]}, {kind})\n"
            edits.append(Edit(one.statement, text=f"{name} = {function}({name}, {text})\n"))
            after += f"{one.name} = {function}({one.name}, {reduced})\n"
    return view.edited([Edit(loop.node, before=before, after=after), *edits])


def interchange(view: TritonView) -> Iterator[Site]:
    """The inner of two nested loops outside, where they only accumulate."""
    for outer in view.loops:
        inner = view.loop(outer.body[-1])
        if inner is not None and _may_interchange(view, outer, inner):
            note = f"the loop over {view.text(inner.stop)[:40]} around that over {view.text(outer.stop)[:40]}"
            yield Site(note, partial(_interchanged, view, outer, inner))


def _may_interchange(view: TritonView, outer: Loop, inner: Loop) -> bool:
    found, within = carried(view, outer.node), carried(view, inner.node)
    accumulates = bool(found.reductions) and not (found.steps or found.others or within.steps or within.others)
    same = {one.name for one in found.reductions} == {one.name for one in within.reductions}
    simple = all(isinstance(one, cst.SimpleStatementLine) for one in outer.body[:-1])
    bounds = [part for part in (inner.start, inner.stop, inner.step) if part is not None]
    free = not {name.value for part in bounds for name in names_in(part)} & assigned(outer.node)
    return accumulates and same and simple and free and view.memory.effects(*outer.body).is_pure


def _interchanged(view: TritonView, outer: Loop, inner: Loop) -> Kernel:
    body = view.lines(outer.body[:-1]) + view.lines(inner.body)
    text = _head(view, inner) + indented(_head(view, outer) + indented(body))
    return view.edited([Edit(outer.node, text=text)])


def _head(view: TritonView, loop: Loop) -> str:
    return f"for {loop.variable} in {view.text(loop.call)}:\n"
