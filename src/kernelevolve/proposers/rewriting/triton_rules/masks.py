"""Rewrites that mask loads and stores only where a block may lie partly outside."""

from __future__ import annotations

__all__ = ["divisible", "peel"]

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, atomic, indented
from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.triton_rules.accesses import Access
from kernelevolve.proposers.rewriting.triton_rules.bounds import holds_if, largest
from kernelevolve.proposers.rewriting.triton_rules.calls import call_name
from kernelevolve.proposers.rewriting.triton_rules.forms import Form, number
from kernelevolve.proposers.rewriting.triton_rules.loops import at_least_one, carried, trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView, tried
from kernelevolve.proposers.rewriting.view import Site

Holds = Callable[[Form], bool]


@frozen(eq=False)
class _Lighter:
    """An expression that is simpler where some conditions hold."""

    node: cst.BaseExpression
    text: str


def _remaining(view: TritonView, mask: cst.BaseExpression, holds: Holds, at: Statement) -> str | None:
    """What is left of a mask, as text that may stand in `at`; empty: it always holds; None: it cannot be written."""
    known = list(view.indices.conditions(mask))
    if all(one is not None and holds(one) for one in known):
        return ""
    match mask:
        case cst.BinaryOperation(left=left, operator=cst.BitAnd(), right=right):
            parts = [_remaining(view, side, holds, at) for side in (left, right)]
            kept = [part for part in parts if part]
            return None if None in parts else " & ".join(map(atomic, kept)) if len(kept) > 1 else kept[0]
        case cst.Name():
            definition = view.flow.of(mask)
            splits = any(one is not None and holds(one) for one in known)
            if definition is not None and definition.value is not None and definition.kind is Kind.VALUE and splits:
                return _remaining(view, definition.value, holds, at)
    return view.text(mask) if view.flow.means_the_same(mask, at) else None


def _lighter(view: TritonView, statements: Iterable[cst.CSTNode], holds: Holds) -> Iterator[_Lighter]:
    """Every load, store and choice under `statements` that is simpler where `holds` says so."""
    for call in view.find(cst.Call, *statements):
        at = view.statement(call)
        if call_name(call) in ("tl.load", "tl.store"):
            access = view.memory.access(call)
            rest = None if access.mask is None else _remaining(view, access.mask, holds, at)
            if access.mask is not None and rest is not None and _is_less(view, access, holds):
                yield _Lighter(call, _with_mask(view, access, rest))
        elif call_name(call) == "tl.where" and len(call.args) == 3:
            condition, chosen = call.args[0].value, call.args[1].value
            known = list(view.indices.conditions(condition))
            one, whole = view.types.of(chosen), view.types.of(call)
            same = one is not None and whole is not None and (one.shape, one.types) == (whole.shape, whole.types)
            if same and all(form is not None and holds(form) for form in known):
                yield _Lighter(call, view.text(chosen))


def _is_less(view: TritonView, access: Access, holds: Holds) -> bool:
    assert access.mask is not None
    return any(one is not None and holds(one) for one in view.indices.conditions(access.mask))


def _with_mask(view: TritonView, access: Access, rest: str) -> str:
    """The call with another mask, or none: then a load needs nothing in place of what it leaves out."""
    texts = []
    for one in access.call.args:
        if one.value is access.mask:
            texts += [f"mask={rest}"] if rest else []
        elif one.value is access.other:
            texts += [f"other={view.text(one.value)}"] if rest else []
        else:
            texts.append((f"{one.keyword.value}=" if one.keyword else "") + view.text(one.value))
    return f"{call_name(access.call)}({', '.join(texts)})"


def _outermost(view: TritonView, found: Iterable[_Lighter]) -> list[_Lighter]:
    nodes = list(found)
    inside = {one.node for one in nodes}
    return [one for one in nodes if not any(outer in inside for outer in view.around(one.node))]


def peel(view: TritonView) -> Iterator[Site]:
    """A loop over whole blocks without their masks, and the last, partial block in a loop of its own."""
    for loop in view.loops:
        cut = _cut(view, loop)
        if cut is None or any(one.kind is Kind.INDEX for one in carried(view, loop.node).others):
            continue
        if view.memory.effects(*loop.body).jumps or call_name(loop.call) == "tl.static_range":
            continue
        found = _outermost(view, _lighter(view, loop.body, cut.holds))
        if found:
            note = f"no mask for whole blocks in the loop over {view.text(loop.stop)[:40]}"
            yield Site(note, partial(_peeled, view, loop, cut, found))


@frozen(eq=False)
class _Cut:
    """Where a loop's whole blocks end: the bounds of the two loops, and what holds in the first."""

    stop: str
    step: str
    holds: Holds
    #: Where the tail ends.
    end: str


def _cut(view: TritonView, loop: Loop) -> _Cut | None:
    bounds = trips(view, loop)
    counter = next(one for one in view.flow.made[loop.node] if one.kind is Kind.INDEX)
    index = view.indices.form(counter.uses[0]) if counter.uses else None
    if bounds is None or index is None or index.atom is None or bounds[0] != number(0):
        return None
    _, stop, step = bounds
    if loop.step is not None and step.constant != 1:
        size, block, unit = stop, step, number(1)
        width, end = view.text(loop.step), view.text(loop.stop)
        # No turn at all below zero, where rounding goes either way.
        some = atomic(end) if at_least_one(view, stop) else f"tl.maximum({end}, 0)"
        text = f"{some} // {atomic(width)} * {atomic(width)}"
    else:
        found = _counted_blocks(view, loop)
        if found is None:
            return None
        size, block, text = found
        unit, width = block, ""
    atom = index.atom

    def holds(positive: Form) -> bool:
        parts = positive.split(atom)
        scale = None if parts is None else (-parts[0]).divided(unit)
        if parts is None or scale is None or scale.constant is None or scale.constant <= 0:
            return False
        top = largest(view, -(parts[1] - scale * (size - block)))
        least = None if top is None else (-top).constant
        return least is not None and least >= 1

    return _Cut(text, width, holds, view.text(loop.stop))


def _counted_blocks(view: TritonView, loop: Loop) -> tuple[Form, Form, str] | None:
    """The size, the block and ``size // block`` of a loop over ``cdiv(size, block)``."""
    call = loop.stop
    if call_name(call) not in ("tl.cdiv", "triton.cdiv") or not isinstance(call, cst.Call) or len(call.args) != 2:
        return None
    forms = [view.indices.form(one.value) for one in call.args]
    if forms[0] is None or forms[1] is None or not at_least_one(view, forms[0]):
        return None
    texts = [atomic(view.text(one.value)) for one in call.args]
    return forms[0], forms[1], f"{texts[0]} // {texts[1]}"


def _peeled(view: TritonView, loop: Loop, cut: _Cut, found: list[_Lighter]) -> Kernel:
    name = view.fresh("whole")
    body = view.lines(loop.body, [Edit(one.node, text=one.text) for one in found])
    main = loop.head("0", name, cut.step) + indented(body)
    tail = loop.head(name, cut.end, cut.step) + indented(view.lines(loop.body))
    return view.edited([Edit(loop.node, text=f"{name} = {cut.stop}\n{main}{tail}")])


def divisible(view: TritonView) -> Iterator[Site]:
    """No mask where the sizes are multiples of the blocks, which is known when the kernel is compiled."""
    taken = {text for launch in view.launches for one in launch.args.values() for text in one.text.split(" and ")}
    needs: dict[Form, str] = {}
    for access in (*view.memory.whole.loads, *view.memory.whole.stores):
        for one in view.indices.conditions(access.mask) if access.mask is not None else ():
            text = None if one is None else holds_if(view, one)
            if one is not None and text is not None and not set(text.split(" and ")) & taken:
                needs[one] = text
    texts = sorted({text for text in needs.values() if text})
    if "" in needs.values():
        yield from _without(view, needs, ())
    for chosen in (tuple(texts), *((text,) for text in texts if len(texts) > 1)):
        if chosen:
            yield from _without(view, needs, chosen)


def _without(view: TritonView, needs: dict[Form, str], chosen: tuple[str, ...]) -> Iterator[Site]:
    def holds(positive: Form) -> bool:
        text = needs.get(positive)
        return text is not None and (not text or text in chosen)

    found = _outermost(view, _lighter(view, view.body, holds))
    condition = " and ".join(dict.fromkeys(part for text in chosen for part in text.split(" and ")))
    if found:
        note = f"no masks where {condition}" if condition else "no masks that always hold"
        yield from tried(note, partial(_specialised, view, found, condition))


def _specialised(view: TritonView, found: list[_Lighter], condition: str) -> Kernel:
    if not condition:
        return view.edited([Edit(one.node, text=one.text) for one in found])
    flag = view.fresh("EVEN")
    edits = []
    for one in found:
        statement = view.statement(one.node)
        if call_name(one.node) == "tl.store":
            text = f"if {flag}:\n{indented(one.text)}else:\n{indented(view.text(one.node))}"
            edits.append(Edit(statement, text=text))
        else:
            edits.append(Edit(one.node, text=f"{one.text} if {flag} else {view.text(one.node)}"))
    return view.edited(edits, parameters=[f"{flag}: tl.constexpr"], launches=partial(_flagged, view, flag, condition))


def _flagged(view: TritonView, flag: str, condition: str, launch: Launch) -> tuple[Launch, ...]:
    return (view.with_args(launch, {flag: condition}),)
