"""Sums and maxima over the threads of a block, halving by halving through shared memory: where they are."""

from __future__ import annotations

__all__ = ["Tree", "Update", "is_barrier", "trees"]

from collections.abc import Iterator

import libcst as cst
from attrs import frozen

from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.view import NumbaView
from kernelevolve.proposers.rewriting.python_edits import Statement, block_of, walk


@frozen(eq=False)
class Update:
    """One array of a tree: ``+``, ``max`` or ``min`` over its elements."""

    array: str
    operation: str
    dtype: str
    #: What each thread puts in, and the statement that does.
    value: cst.BaseExpression
    store: Statement

    def joined(self, one: str, other: str) -> str:
        """The operation on two values, as a statement that changes the first."""
        return f"{one} += {other}\n" if self.operation == "+" else f"{one} = {self.operation}({one}, {other})\n"


@frozen(eq=False)
class Tree:
    """A whole tree: the stores, a barrier, and the loop; `value` reads ``array[0]`` after it."""

    updates: tuple[Update, ...]
    lane: str
    #: The statements from the first store to the loop.
    statements: tuple[Statement, ...]
    #: What follows in the same block.
    following: tuple[Statement, ...]

    @property
    def combined(self) -> frozenset[str]:
        """Variables whose values over all threads are combined."""
        return frozenset(one.value.value for one in self.updates if isinstance(one.value, cst.Name))


def trees(view: NumbaView) -> Iterator[Tree]:
    """Every tree of the entry."""
    for loop in view.find(cst.While):
        made = _tree(view, loop)
        if made is not None:
            yield made


def _tree(view: NumbaView, loop: cst.While) -> Tree | None:
    """Stores, a barrier, ``half = THREADS // 2``, and ``while half > 0`` around an update, a barrier and a halving."""
    siblings = view.siblings(loop)
    at = siblings.index(loop)
    halves = {f"half={count}//2" for count in view.thread_counts}
    if at < 3 or not is_barrier(view, siblings[at - 2]) or loop.orelse is not None:
        return None
    counter = _assigned_name(siblings[at - 1])
    if counter is None or view.flat(siblings[at - 1]).replace(f"{counter}=", "half=", 1) not in halves:
        return None
    body = block_of(loop.body)
    if len(body) != 3 or view.flat(loop.test) not in (f"{counter}>0", f"{counter}>=1") or not is_barrier(view, body[1]):
        return None
    if view.flat(body[2]) not in (f"{counter}//=2", f"{counter}>>=1", f"{counter}={counter}//2"):
        return None
    if not isinstance(body[0], cst.If) or body[0].orelse is not None:
        return None
    lane = view.flat(body[0].test).removesuffix(f"<{counter}")
    steps = [_step(view, one, lane, counter) for one in block_of(body[0].body)]
    stores = siblings[at - 2 - len(steps) : at - 2] if at - 2 >= len(steps) else ()
    if lane not in view.lanes or not stores or not all(_is_shared(view, step) for step in steps):
        return None
    updates = []
    for step in steps:
        assert step is not None
        store = next((one for one in stores if _stores_at(view, one, f"{step[0]}[{lane}]")), None)
        if store is None:
            return None
        value = cst.ensure_type(cst.ensure_type(store, cst.SimpleStatementLine).body[0], cst.Assign).value
        updates.append(Update(step[0], step[1], view.arrays[step[0]].dtype, value, store))
    if len({one.array for one in updates}) != len(stores):
        return None
    if any(
        isinstance(node, cst.Subscript) and node.value.deep_equals(cst.Name(one.array))
        for one in updates
        for other in updates
        for node in walk(other.value)
    ):
        return None
    return Tree(tuple(updates), lane, tuple(siblings[at - 2 - len(stores) : at + 1]), tuple(siblings[at + 1 :]))


def is_barrier(view: NumbaView, statement: Statement) -> bool:
    """Whether a statement is ``cuda.syncthreads()``."""
    return view.flat(statement) == "cuda.syncthreads()"


def _assigned_name(statement: Statement) -> str | None:
    match statement:
        case cst.SimpleStatementLine(body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))])]):
            return name
    return None


def _is_shared(view: NumbaView, step: tuple[str, str] | None) -> bool:
    declared = None if step is None else view.arrays.get(step[0])
    return declared is not None and declared.is_shared and view.flat(declared.call.args[0].value) in view.thread_counts


def _stores_at(view: NumbaView, statement: Statement, place: str) -> bool:
    match statement:
        case cst.SimpleStatementLine(body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Subscript() as target)])]):
            return view.flat(target) == place
    return False


def _step(view: NumbaView, statement: Statement, lane: str, counter: str) -> tuple[str, str] | None:
    """The array and operation of ``partial[lane] += partial[lane + half]`` and its like."""
    match statement:
        case cst.SimpleStatementLine(body=[cst.AugAssign(target=cst.Subscript() as target, operator=cst.AddAssign())]):
            other, operation = cst.ensure_type(statement.body[0], cst.AugAssign).value, "+"
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(
                    targets=[cst.AssignTarget(target=cst.Subscript() as target)],
                    value=cst.Call(args=[cst.Arg(value=cst.Subscript() as own), cst.Arg(value=other)]) as call,
                )
            ]
        ) if view.flat(own) == view.flat(target):
            operation = call_name(call)
        case _:
            return None
    if not isinstance(target.value, cst.Name) or operation not in ("+", "max", "min"):
        return None
    array = target.value.value
    right = view.flat(other) in (f"{array}[{lane}+{counter}]", f"{array}[{counter}+{lane}]")
    return (array, operation) if right and view.flat(target) == f"{array}[{lane}]" else None
