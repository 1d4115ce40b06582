"""Counts kept as floats: the SIMD engine compares, converts and adds floats; integers go to the slower vector core."""

from __future__ import annotations

__all__ = ["float_counter"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.python_edits import Edit, names_in
from kernelevolve.proposers.rewriting.python_flow import Definition, Kind
from kernelevolve.proposers.rewriting.triton_rules.bounds import header_text
from kernelevolve.proposers.rewriting.triton_rules.calls import argument, call_name
from kernelevolve.proposers.rewriting.triton_rules.forms import ZERO
from kernelevolve.proposers.rewriting.triton_rules.loops import Reduction, carried, trips
from kernelevolve.proposers.rewriting.triton_rules.view import Loop, TritonView
from kernelevolve.proposers.rewriting.view import Site

#: Whole numbers up to this one are exact in float32.
_EXACT: Final = 2**24


@frozen(eq=False)
class _Counter:
    """A count of turns in which a comparison held."""

    name: str
    #: The types to change: of the start, and of what each turn adds.
    types: tuple[cst.BaseExpression, ...]
    #: Where the count is read after the loop.
    uses: tuple[cst.Name, ...]
    #: What must hold for the count to be exact, as the header says it; empty where it always does.
    constraint: str


def float_counter(view: TritonView) -> Iterator[Site]:
    """``count += (a < b).to(tl.int32)`` in float32, converted where the count is read."""
    for loop in view.loops:
        for one in carried(view, loop.node).reductions:
            found = _counter(view, loop, one)
            if found is not None:
                yield Site(f"{found.name} counts in float32", partial(_in_float, view, found))


def _counter(view: TritonView, loop: Loop, one: Reduction) -> _Counter | None:
    definition, bounds = one.definition, trips(view, loop)
    start = definition.entry
    if one.operator != "+" or bounds is None or start is None or definition.node is not loop.node:
        return None
    if start.kind is not Kind.VALUE or start.loops or start.value is None or call_name(start.value) != "tl.zeros":
        return None
    if one.statement not in loop.body:  # once in each turn, so that turns bound the count
        return None
    first = argument(start.value, 1, "dtype") if isinstance(start.value, cst.Call) else None
    added = _converted(view, one.term)
    stop = _turns(bounds[0] == ZERO and bounds[2].constant is not None, header_text(bounds[1]), bounds[1].constant)
    if first is None or view.flat(first) != "tl.int32" or added is None or stop is None:
        return None
    uses = _uses(view, start, definition, one)
    return None if uses is None else _Counter(one.name, (first, added), uses, stop)


def _converted(view: TritonView, term: cst.BaseExpression) -> cst.BaseExpression | None:
    """The type in ``(a < b).to(tl.int32)``."""
    match term:
        case cst.Call(func=cst.Attribute(value=inner, attr=cst.Name(value="to")), args=[cst.Arg(value=kind)]):
            value = view.types.of(inner)
            if value is not None and value.types == {"int1"} and view.flat(kind) == "tl.int32":
                return kind
    return None


def _turns(counts: bool, stop: str | None, number: int | None) -> str | None:
    """The constraint that bounds the turns; None where the header cannot say it."""
    if not counts or stop is None:
        return None
    if number is not None:
        return "" if number <= _EXACT else None
    return f"{stop} <= {_EXACT}"


def _uses(view: TritonView, start: Definition, definition: Definition, one: Reduction) -> tuple[cst.Name, ...] | None:
    """Where the count is read; None where that is inside the loop, or the count meets another value."""
    own = set(names_in(one.statement))
    made = {start, definition, *view.flow.made.get(one.statement, ())}
    flows = all(other in made for each in made for other in each.into if other.is_read)
    reads = [use for each in made for use in each.uses if use not in own]
    inside = any(one.statement in (holder.body if isinstance(holder, cst.IndentedBlock) else ()) for use in reads
                 for holder in view.around(use))  # fmt: skip
    return tuple(dict.fromkeys(reads)) if flows and not inside and reads else None


def _in_float(view: TritonView, found: _Counter) -> Kernel:
    edits = [Edit(node, text="tl.float32") for node in found.types]
    edits += [Edit(use, wrap="{}.to(tl.int32)") for use in found.uses]
    return view.edited(edits, constraints=[found.constraint] if found.constraint else [])
