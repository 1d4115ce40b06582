"""Several elements of the result in one thread, computed together: loops run once for all of them."""

from __future__ import annotations

__all__ = ["jam"]

import ast
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import libcst as cst

from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.view import NumbaView
from kernelevolve.proposers.rewriting.python_edits import (
    Edit,
    Statement,
    assigned,
    block_of,
    indented,
    names_in,
    targets_of,
    walk,
)
from kernelevolve.proposers.rewriting.python_flow import Kind
from kernelevolve.proposers.rewriting.view import Site

_COUNTS: Final = (2, 4)
#: Statements of a body beyond which copies of it do not fit registers.
_LONGEST: Final = 30


def jam(view: NumbaView) -> Iterator[Site]:
    """A thread takes several elements, a block's threads apart; the last one is done again where none is left.

    An element that is done twice is written twice with the same value, so nothing that is written may be read.
    """
    sizes = {_size(view, launch) for launch in view.launches}
    if None in sizes or view.threads is None or not view.grid_is_flat or not view.is_plain or view.is_persistent:
        return
    whole = view.whole
    if whole.opaque or whole.together or view.arrays or whole.stored & whole.loaded or not whole.stored:
        return
    first = _first(view)
    length = sum(isinstance(node, cst.SimpleStatementLine) for node in walk(view.function))
    if first is not None and length <= _LONGEST and _only_place(view) and _guards(view, first) is not None:
        for count in _COUNTS:
            yield Site(f"{count} elements in each thread of {view.name}", partial(_jammed, view, first, count))


def _size(view: NumbaView, launch: Launch) -> str | None:
    """The number of elements, where the grid is as many blocks as they need: ``cdiv(size, threads)``."""
    match ast.parse(launch.grid[0].text, mode="eval").body:
        case ast.Call(func=ast.Name("cdiv"), args=[size, threads]) if ast.unparse(threads) == view.threads:
            return ast.unparse(size)
    return None


def _first(view: NumbaView) -> str | None:
    """The variable that holds the thread's place, where the entry begins with it."""
    match view.body[0]:
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Call() as call)]
        ) if view.flat(call) == "cuda.grid(1)":
            definitions = [one for one in view.flow.definitions if one.name == name]
            return name if len(definitions) == 1 else None
    return None


def _only_place(view: NumbaView) -> bool:
    """Whether nothing else asks where the thread is."""
    grids = [call for call in view.find(cst.Call) if call_name(call) in ("cuda.grid", "cuda.gridsize")]
    indices = ("threadIdx", "blockIdx", "blockDim", "gridDim", "laneid")
    asks = any(isinstance(node, cst.Attribute) and node.attr.value in indices for node in walk(*view.body))
    return len(grids) == 1 and not asks


def _guards(view: NumbaView, first: str) -> list[cst.If] | None:
    """Statements that leave where there is no such element; None where something leaves for another reason."""
    found = []
    for one in view.whole.jumps:
        guard = view.parents[view.parents[view.parents[one]]]
        alone = isinstance(guard, cst.If) and guard.orelse is None and len(block_of(guard.body)) == 1
        if not isinstance(one, cst.Return) or not isinstance(guard, cst.If) or not alone or guard not in view.body:
            return None
        if not all(_is_past_end(view, launch, guard.test, first) for launch in view.launches):
            return None
        found.append(guard)
    return found


def _is_past_end(view: NumbaView, launch: Launch, test: cst.BaseExpression, first: str) -> bool:
    """Whether a condition says that the thread's place is beyond the elements, and nothing else.

    ``place // a // b >= c`` does so for ``a * b * c`` elements.
    """
    match test:
        case cst.Comparison(
            left=left,
            comparisons=[cst.ComparisonTarget(operator=cst.GreaterThanEqual(), comparator=cst.Name() as most)],
        ):
            divisors = _divisors(view, left, first)
            factors = _factors(ast.parse(_size(view, launch) or "", mode="eval").body)
            if divisors is None or factors is None or set(factors) & set(launch.args):
                return False
            return sorted([most.value, *divisors]) == sorted(factors) and set(factors) <= set(view.problem.axes)
    return False


def _divisors(view: NumbaView, node: cst.BaseExpression, first: str) -> list[str] | None:
    """What the thread's place is divided by to give a value."""
    match node:
        case cst.Name(value=name) if name == first:
            return []
        case cst.Name():
            seen = view.flow.of(node)
            value = seen.value if seen is not None and seen.kind is Kind.VALUE else None
            return None if value is None else _divisors(view, value, first)
        case cst.BinaryOperation(left=left, operator=cst.FloorDivide(), right=cst.Name(value=divisor)):
            before = _divisors(view, left, first)
            return None if before is None else [*before, divisor]
    return None


def _factors(tree: ast.expr) -> list[str] | None:
    match tree:
        case ast.Name(id=name):
            return [name]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            one, other = _factors(left), _factors(right)
            return None if one is None or other is None else [*one, *other]
    return None


def _jammed(view: NumbaView, first: str, count: int) -> Kernel:
    size = view.fresh("elements")
    texts = {_size(view, launch) for launch in view.launches}
    known = len(texts) == 1 and (only := texts.pop()) is not None and only in view.parameters
    bound = only if known and only is not None else size
    base = f"cuda.blockIdx.x * (cuda.blockDim.x * {count}) + cuda.threadIdx.x"
    places = [
        f"{_copy(first, at)} = min({base}{f' + {at} * cuda.blockDim.x' if at else ''}, {bound} - 1)\n"
        for at in range(count)
    ]
    names = assigned(*view.body)
    guards = _guards(view, first) or []
    code = "".join(places) + _copies(view, [one for one in view.body[1:] if one not in guards], names, count)

    def launched(launch: Launch) -> tuple[Launch, ...]:
        elements = _size(view, launch)
        assert elements is not None
        args = {} if known else {size: elements}
        return (view.launched(launch, f"cdiv({elements}, {view.threads} * {count})", **args),)

    made = [Edit(view.body[0], text=code), *(Edit(one, text="") for one in view.body[1:])]
    return view.edited(made, parameters=[] if known else [size], launches=launched)


def _copy(name: str, at: int) -> str:
    return f"{name}_{at}"


def _copies(view: NumbaView, statements: Iterable[Statement], names: frozenset[str], count: int) -> str:
    """Statements once for each element, loops with the same turns for all of them once."""
    code = ""
    for one in statements:
        if isinstance(one, cst.For) and _is_common(one, names):
            counters = {name.value for name in targets_of(one.target)}
            inner = _copies(view, block_of(one.body), names - counters, count)
            code += f"for {view.text(one.target)} in {view.text(one.iter)}:\n{indented(inner)}"
            continue
        for at in range(count):
            edits = [Edit(name, text=_copy(name.value, at)) for name in names_in(one) if name.value in names]
            code += view.lines([one], edits)
    return code


def _is_common(loop: cst.For, names: frozenset[str]) -> bool:
    counters = {name.value for name in targets_of(loop.target)}
    own = any(name.value in names for name in names_in(loop.iter))
    return not own and not counters & assigned(*block_of(loop.body)) and loop.orelse is None
