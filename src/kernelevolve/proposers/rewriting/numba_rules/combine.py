"""Rewrites of what the threads of a block combine: warp shuffles in place of trees, one pass in place of two."""

from __future__ import annotations

__all__ = ["online_softmax", "shuffle"]

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst

from kernelevolve.kernel import Kernel
from kernelevolve.proposers.rewriting.numba_rules.kinds import kind_of
from kernelevolve.proposers.rewriting.numba_rules.trees import Tree, Update, is_barrier, trees
from kernelevolve.proposers.rewriting.numba_rules.view import Loop, NumbaView
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, indented, names_in, walk
from kernelevolve.proposers.rewriting.view import Site

_WARP: Final = 32
#: Element types that a warp can shuffle.
_SHUFFLED: Final = ("float32", "float64", "int32", "int64")


def shuffle(view: NumbaView) -> Iterator[Site]:
    """Combine inside warps by shuffles, then over the warps through shared memory: two barriers in place of many."""
    for tree in trees(view):
        if _fits_warps(view) and all(_is_only_read_whole(view, tree, update) for update in tree.updates):
            listed = ", ".join(update.array for update in tree.updates)
            yield Site(f"shuffles in place of the tree over {listed}", partial(_shuffled, view, tree))


def _fits_warps(view: NumbaView) -> bool:
    values = view.values(view.threads or "")
    return bool(values) and values[0] % _WARP == 0


def _is_only_read_whole(view: NumbaView, tree: Tree, update: Update) -> bool:
    """Whether the array serves trees alone, and nothing but its first element is read after this one."""
    if update.dtype not in _SHUFFLED or not view.is_plain:
        return False
    kept = {
        node
        for other in trees(view)
        for statement in other.statements
        for node in walk(statement)
        if any(one.array == update.array for one in other.updates)
    }
    reads = set(_reads(view, tree, update.array))
    return all(
        node in kept or node in reads or _is_read_of_other(view, tree, node, update.array)
        for node in view.find(cst.Subscript)
        if isinstance(node.value, cst.Name) and node.value.value == update.array
    )


def _is_read_of_other(view: NumbaView, tree: Tree, node: cst.Subscript, array: str) -> bool:
    return any(node in _reads(view, other, array) for other in trees(view) if other is not tree)


def _reads(view: NumbaView, tree: Tree, array: str) -> list[cst.Subscript]:
    """Reads of ``array[0]`` that see what a tree left: up to the next statement that writes the array."""
    found = []
    for statement in tree.following:
        if _stores(view, statement, array):
            break
        found += [node for node in view.find(cst.Subscript, statement) if view.flat(node) == f"{array}[0]"]
    return found


def _stores(view: NumbaView, statement: Statement, array: str) -> bool:
    return array in view.effects(statement).stored


def _needs_barrier(view: NumbaView, tree: Tree) -> bool:
    """Whether a thread may write the arrays again while others still read them."""
    arrays = {update.array for update in tree.updates}
    for statement in tree.following:
        if is_barrier(view, statement):
            return False
        if arrays & view.effects(statement).stored:
            return True
    return view.is_inside_loop(tree.statements[0])


def _shuffled(view: NumbaView, tree: Tree) -> Kernel:
    offset, warp = view.fresh("offset"), view.fresh("warp")
    names: dict[str, str] = {}
    for update in tree.updates:
        name = view.fresh(f"{update.array}_all")
        names[update.array] = name if name not in names.values() else f"{name}_"
    code = "".join(f"{names[one.array]} = {one.dtype}({view.text(one.value)})\n" for one in tree.updates)
    steps = "".join(
        one.joined(names[one.array], f"cuda.shfl_xor_sync(0xFFFFFFFF, {names[one.array]}, {offset})")
        for one in tree.updates
    )
    code += f"{offset} = {_WARP // 2}\nwhile {offset} > 0:\n{indented(steps + f'{offset} //= 2')}"
    stores = "".join(f"{one.array}[{tree.lane} // {_WARP}] = {names[one.array]}\n" for one in tree.updates)
    code += f"if {tree.lane} % {_WARP} == 0:\n{indented(stores)}cuda.syncthreads()\n"
    code += "".join(f"{names[one.array]} = {one.array}[0]\n" for one in tree.updates)
    joined = "".join(one.joined(names[one.array], f"{one.array}[{warp}]") for one in tree.updates)
    code += f"for {warp} in range(1, {view.threads} // {_WARP}):\n{indented(joined)}"
    code += "cuda.syncthreads()\n" if _needs_barrier(view, tree) else ""
    edits = [Edit(tree.statements[0], text=code), *(Edit(one, text="") for one in tree.statements[1:])]
    for update in tree.updates:
        edits += [Edit(node, text=names[update.array]) for node in _reads(view, tree, update.array)]
    types = [update.dtype for update in tree.updates]
    assert view.threads is not None
    constraints = [] if view.threads.isdigit() else [f"{view.threads} % {_WARP} == 0"]
    return view.edited([*edits, *view.importing(*types)], constraints=constraints)


def online_softmax(view: NumbaView) -> Iterator[Site]:
    """The maximum and the sum of exponentials in one pass: the sum is scaled whenever the maximum grows."""
    for first, second in itertools.pairwise(trees(view)):
        peak, total = _peak_loop(view, first), _sum_loop(view, first, second)
        types = {update.dtype for tree in (first, second) for update in tree.updates}
        if peak is None or total is None or not view.is_plain or types != {"float32"} or _is_wide(view, peak[1]):
            continue
        if _element(view, peak[0], peak[1]) == _element(view, total[0], total[1]):
            yield Site(
                "the maximum and the sum of exponentials in one pass", partial(_online, view, first, peak, total)
            )


def _is_wide(view: NumbaView, node: cst.BaseExpression) -> bool:
    """Whether an expression may have more than float32's precision."""
    return kind_of(view, node) != "float32" and any("float64" in types for types in view.buffers.values())


#: A loop, the expression of its body, and the variable that it is gathered in.
_Pass = tuple[Loop, cst.BaseExpression, str]


def _before(view: NumbaView, tree: Tree) -> Loop | None:
    """The loop that stands right before a tree."""
    siblings = view.siblings(tree.statements[0])
    at = siblings.index(tree.statements[0])
    node = siblings[at - 1] if at else None
    return next((loop for loop in view.loops if loop.node is node and view.is_strided(loop)), None)


def _element(view: NumbaView, loop: Loop, node: cst.BaseExpression) -> str:
    """An expression with the loop's counter under a common name, and the loop's bounds."""
    edits = [Edit(name, text="_i") for name in names_in(node) if name.value == loop.variable]
    text = view.changed(node, edits) if edits else view.text(node)
    return f"{''.join(text.split())} {loop.start} {loop.stop} {loop.step}"


def _single(loop: Loop) -> cst.BaseSmallStatement | None:
    body = loop.body
    line = body[0] if len(body) == 1 else None
    return line.body[0] if isinstance(line, cst.SimpleStatementLine) else None


def _peak_loop(view: NumbaView, tree: Tree) -> _Pass | None:
    """``for …: peak = max(peak, value)`` before a tree that takes the maximum of peak."""
    loop = _before(view, tree)
    if loop is None or len(tree.updates) != 1 or tree.updates[0].operation != "max":
        return None
    match _single(loop), tree.updates[0].value:
        case (
            cst.Assign(
                targets=[cst.AssignTarget(target=cst.Name(value=name))],
                value=cst.Call(
                    func=cst.Name(value="max"), args=[cst.Arg(value=cst.Name(value=old)), cst.Arg(value=one)]
                ),
            ),
            cst.Name(value=given),
        ) if name == old == given and name not in {inner.value for inner in names_in(one)}:
            return loop, one, name
    return None


def _sum_loop(view: NumbaView, first: Tree, second: Tree) -> _Pass | None:
    """``for …: total += math.exp(value - peak)`` before the tree that adds, right after peak is known to all."""
    loop = _before(view, second)
    if loop is None or len(second.updates) != 1 or second.updates[0].operation != "+":
        return None
    array = first.updates[0].array
    match _single(loop), second.updates[0].value:
        case (
            cst.AugAssign(
                target=cst.Name(value=name),
                operator=cst.AddAssign(),
                value=cst.Call(
                    args=[cst.Arg(value=cst.BinaryOperation(left=one, operator=cst.Subtract(), right=right))]
                ) as call,
            ),
            cst.Name(value=given),
        ) if name == given and view.text(call.func) == "math.exp" and isinstance(right, cst.Name):
            between = first.following[: first.following.index(loop.node)] if loop.node in first.following else ()
            texts = [view.flat(statement) for statement in between]
            wanted = [f"{right.value}={array}[0]", "cuda.syncthreads()", f"{name}=float32(0.0)"]
            peak = first.updates[0].value
            same = isinstance(peak, cst.Name) and peak.value == right.value
            return (loop, one, name) if texts == wanted and same else None
    return None


def _online(view: NumbaView, first: Tree, peak: _Pass, total: _Pass) -> Kernel:
    own, value = view.fresh("own_peak"), view.fresh("element")
    loop, element, name = peak
    gathered = total[2]
    grows = f"{gathered} = {gathered} * math.exp({name} - {value}) + float32(1.0)\n{name} = {value}\n"
    adds = f"{gathered} += math.exp({value} - {name})\n"
    body = (
        f"{value} = float32({view.text(element)})\n"
        f"if {value} > {name}:\n{indented(grows)}elif {value} != float32(-math.inf):\n{indented(adds)}"
    )
    head = f"{gathered} = float32(0.0)\nfor {loop.variable} in range({loop.start}, {loop.stop}, {loop.step}):\n"
    scaled = f"if {own} > float32(-math.inf):\n    {gathered} *= math.exp({own} - {name})\n"
    between = first.following[: first.following.index(total[0].node)]
    edits = [
        Edit(loop.node, text=head + indented(body), after=f"{own} = {name}\n"),
        Edit(between[2], text=""),
        Edit(total[0].node, text=scaled),
    ]
    return view.edited([*edits, *view.importing("float32")])
