"""What a counted loop carries from turn to turn: sums and extremes, steps, and what depends on the order."""

from __future__ import annotations

__all__ = ["Carried", "Reduction", "always_runs", "at_least_one", "carried", "reduction", "trips"]

from typing import TYPE_CHECKING, Final

import libcst as cst
from attrs import field, frozen

from kernelevolve.proposers.rewriting.python_edits import Statement, walk
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name
from kernelevolve.proposers.rewriting.triton_rules.forms import ONE, ZERO, Form
from kernelevolve.proposers.rewriting.triton_rules.header_forms import header_form

if TYPE_CHECKING:
    from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView

_EXTREMES: Final = {"tl.maximum": "max", "tl.minimum": "min", "max": "max", "min": "min"}


@frozen(eq=False)
class Reduction:
    """A variable into which a loop accumulates, in any order up to rounding."""

    definition: Definition
    #: ``+``, ``max`` or ``min``; ``dot`` is a sum of products of matrices.
    operator: str
    #: What each turn adds; the call of ``tl.dot`` for one.
    term: cst.BaseExpression = field(repr=False)
    #: The statement that accumulates, in this loop or one inside it.
    statement: Statement = field(repr=False)

    @property
    def name(self) -> str:
        """The variable."""
        return self.definition.name


@frozen(eq=False)
class Carried:
    """What a loop carries."""

    reductions: tuple[Reduction, ...]
    #: Variables that move by the same amount each turn.
    steps: tuple[Definition, ...]
    #: The rest, and what the loop leaves behind for later without carrying it.
    others: tuple[Definition, ...]


def carried(view: TritonView, node: cst.For | cst.While) -> Carried:
    """Sort what `node` carries."""
    reductions, steps, others = [], [], []
    for one in view.flow.made.get(node, ()):
        if one.kind is Kind.INDEX:
            if any(node not in view.around(use) for use in one.uses):
                others.append(one)
        elif one.entry is None:
            if one.is_read:
                others.append(one)
        elif one.is_read:
            found = reduction(view, one)
            if found is not None:
                reductions.append(found)
            elif view.indices.increment(one) is not None:
                steps.append(one)
            else:
                others.append(one)
    return Carried(tuple(reductions), tuple(steps), tuple(others))


def reduction(view: TritonView, definition: Definition) -> Reduction | None:
    """The reduction into a carried variable, or None where it is none."""
    last = definition.sources[-1] if len(definition.sources) == 2 else None
    loop = definition.node
    if last is None or definition.entry is None or not isinstance(loop, cst.For | cst.While):
        return None
    inside = [use for use in definition.uses if loop in view.around(use)]
    flows = [one for one in definition.into if one is not definition and loop in view.around(one.node)]
    if last.kind is Kind.CARRIED and last.entry is definition and not inside and flows == [last]:
        found = reduction(view, last)
        after = [use for use in last.uses if last.node not in view.around(use)]
        return None if found is None or after else Reduction(definition, found.operator, found.term, found.statement)
    if last.kind not in (Kind.VALUE, Kind.AUGMENTED) or len(inside) != 1 or flows or last.uses:
        return None
    if last.loops[-1:] != (loop,) or last.into != [definition]:
        return None
    statement = view.statement(last.node)
    if view.parents[statement] is not loop.body or inside[0] not in walk(statement):
        return None
    made = _update(view, last, definition)
    return None if made is None else Reduction(definition, made[0], made[1], statement)


def _update(view: TritonView, last: Definition, before: Definition) -> tuple[str, cst.BaseExpression] | None:
    def is_it(node: cst.BaseExpression | None) -> bool:
        return node is not None and view.flow.of(node) is before

    match last.node, last.value:
        case cst.AugAssign(operator=cst.AddAssign()), cst.BaseExpression() as value:
            return "+", value
        case cst.Assign(), cst.BinaryOperation(left=left, operator=cst.Add(), right=right):
            return ("+", right) if is_it(left) else ("+", left) if is_it(right) else None
        case cst.Assign(), cst.Call() as call if call_name(call) in _EXTREMES and len(call.args) == 2:
            one, other = call.args[0].value, call.args[1].value
            operator = _EXTREMES[call_name(call)]
            return (operator, other) if is_it(one) else (operator, one) if is_it(other) else None
        case cst.Assign(), cst.Call() as call if call_name(call) == "tl.dot" and is_it(argument(call, 2, "acc")):
            return "dot", call
    return None


def trips(view: TritonView, loop: Loop) -> tuple[Form, Form, Form] | None:
    """A loop's start, stop and step as forms."""
    start = ZERO if loop.start is None else view.indices.form(loop.start)
    stop = view.indices.form(loop.stop)
    step = ONE if loop.step is None else view.indices.form(loop.step)
    return None if start is None or stop is None or step is None else (start, stop, step)


def always_runs(view: TritonView, loop: Loop) -> bool:
    """Whether the loop has a turn: from zero up to something that is at least one, or from an id over all programs."""
    bounds = trips(view, loop)
    if bounds is None:
        return False
    start, stop, _ = bounds
    return (start == ZERO and at_least_one(view, stop)) or _is_within(view, start, stop)


def _is_within(view: TritonView, start: Form, stop: Form) -> bool:
    """Whether `start` is a program's id, of a grid of no more programs than `stop`."""
    atom = start.atom
    if atom is None or atom.kind != "pid":
        return False
    grids = [
        header_form(launch.grid[int(atom.label)]) for launch in view.launches if int(atom.label) < len(launch.grid)
    ]
    sizes = [None if size is None else size.atom for size in grids]
    bounded = all(size is not None and size.kind == "min" and stop in size.args for size in sizes)
    return bool(sizes) and (bounded or all(size == stop for size in grids))


def at_least_one(view: TritonView, form: Form) -> bool:
    """Whether a form is at least one: axes are, and what is made of them by products and rounding up."""
    whole = form.constant
    if whole is not None:
        return whole >= 1
    if len(form.terms) != 1 or form.terms[0][1] < 1:
        return False
    atoms = form.terms[0][0]
    axes = {*view.problem.axes, *view.kernel.tunables}
    return all(
        (one.kind == "name" and one.label in axes)
        or (one.kind == "cdiv" and all(at_least_one(view, arg) for arg in one.args))
        or one.kind in ("programs", "next_pow2")
        for one in atoms
    )
