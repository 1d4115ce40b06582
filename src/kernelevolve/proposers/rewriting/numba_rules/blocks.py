"""Rewrites of the grid: several blocks' work in one block, blocks that stay, blocks in another order."""

from __future__ import annotations

__all__ = ["coarsen", "group_blocks", "persistent", "swap_dimensions"]

import ast
from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import evolve

from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.view import BLOCK, NumbaView
from kernelevolve.proposers.rewriting.python_edits import Edit, Statement, block_of, indented, walk
from kernelevolve.proposers.rewriting.view import Site

_WORK: Final = (4, 2, 8, 16)
#: Blocks for each multiprocessor.
_WAVES: Final = (8, 4, 16, 2, 32)
_GROUPS: Final = (8, 4, 16)


def _places(view: NumbaView) -> list[tuple[cst.BaseExpression, str]] | None:
    """Where the entry asks for its block, with what to write there (``{}``: the block); None for what is not known."""
    found: list[tuple[cst.BaseExpression, str]] = []
    for node in walk(view.module):
        inside = node is not view.function and _is_inside(view, node)
        match node:
            case cst.Attribute() if view.text(node) == BLOCK and inside:
                found.append((node, "{}"))
            case cst.Attribute(value=cst.Attribute(attr=cst.Name(value="blockIdx" | "gridDim"))):
                if inside or _is_called(view, node):
                    return None
            case cst.Call() if call_name(node) == "cuda.grid" and inside:
                if view.text(node.args[0].value) != "1":
                    return None
                found.append((node, "{} * cuda.blockDim.x + cuda.threadIdx.x"))
            case cst.Call() if call_name(node) in ("cuda.grid", "cuda.gridsize", "cuda.cg.this_grid"):
                if inside or _is_called(view, node):
                    return None
            case _:
                pass
    return found or None


def _is_inside(view: NumbaView, node: cst.CSTNode) -> bool:
    while node is not view.module:
        if node is view.function:
            return True
        node = view.parents[node]
    return False


def _is_called(view: NumbaView, node: cst.CSTNode) -> bool:
    """Whether a place of the file is in a function that is no entry, which the entry may call."""
    while not isinstance(node, cst.FunctionDef):
        if node is view.module:
            return True
        node = view.parents[node]
    return node.name.value not in {launch.entry for launch in view.kernel.launches}


def _guards(view: NumbaView) -> list[cst.If] | None:
    """Statements ``if …: return`` of the entry's own block; None where it leaves in another way."""
    found = []
    for one in view.body:
        jumps = [node for node in walk(one) if isinstance(node, cst.Return)]
        if not jumps:
            continue
        alone = isinstance(one, cst.If) and one.orelse is None and len(block_of(one.body)) == 1
        if not alone or len(jumps) != 1 or jumps[0].value is not None:
            return None
        assert isinstance(one, cst.If)
        if not isinstance(block_of(one.body)[0], cst.SimpleStatementLine):
            return None
        found.append(one)
    return found


def _can_loop(view: NumbaView) -> bool:
    guards = _guards(view)
    waits = bool(view.whole.together) or any(one.is_shared for one in view.arrays.values())
    calls = [one for one in view.whole.others if not call_name(one).startswith("cuda.atomic.")]
    waits = waits or bool(calls)
    known = all(call_name(one) in view.functions for one in calls)
    polls = any(isinstance(one, cst.While) for call in view.whole.others for one in view.around(call))
    return (
        known
        and not polls
        and guards is not None
        and not (guards and waits)
        and view.grid_is_flat
        and not view.is_persistent
        and _places(view) is not None
        and not _redeclares(view)
    )


def _redeclares(view: NumbaView) -> bool:
    """Whether an array is declared where `NumbaView.arrays` does not see it."""
    calls = [call for call in view.find(cst.Call) if call_name(call) in ("cuda.shared.array", "cuda.local.array")]
    return len(calls) != len(view.arrays)


def persistent(view: NumbaView) -> Iterator[Site]:
    """As many blocks as the device runs at once, each of which takes every nth piece of the work."""
    if _can_loop(view):
        yield Site(f"blocks of {view.name} stay and take one piece after another", partial(_looped, view, stays=True))


def coarsen(view: NumbaView) -> Iterator[Site]:
    """Several neighbouring blocks' work in one block, one after the other."""
    if _can_loop(view):
        yield Site(f"a block of {view.name} does the work of several", partial(_looped, view, stays=False))


def _looped(view: NumbaView, *, stays: bool) -> Kernel:
    block, count = view.fresh("block"), view.fresh("blocks")
    size = view.fresh("WAVES" if stays else "WORK")
    declared = {one.statement for one in view.arrays.values()}
    places = _places(view)
    assert places is not None
    edits = [Edit(node, text=text.format(block)) for node, text in places]
    body = _without_guards(view, [one for one in view.body if one not in declared], edits)
    if view.whole.together or any(one.is_shared for one in view.arrays.values()) or view.whole.others:
        body += "cuda.syncthreads()\n"
    if stays:
        bounds = f"{BLOCK}, {count}, cuda.gridDim.x"
    else:
        bounds = f"{BLOCK} * {size}, min({count}, {BLOCK} * {size} + {size})"
    code = f"for {block} in range({bounds}):\n{indented(body)}"
    before = view.lines([one for one in view.body if one in declared]) if declared else ""
    made = [Edit(view.body[0], text=before + code), *(Edit(one, text="") for one in view.body[1:])]

    def launched(launch: Launch) -> tuple[Launch, ...]:
        old = launch.grid[0].text
        grid = f"min({old}, num_units * {size})" if stays else f"cdiv({old}, {size})"
        return (view.launched(launch, grid, **{count: old}),)

    return view.edited(made, parameters=[count], launches=launched, tunables={size: _WAVES if stays else _WORK})


def _without_guards(view: NumbaView, statements: list[Statement], edits: list[Edit]) -> str:
    """Code in which what stands after ``if …: return`` is inside the opposite condition."""
    guards = _guards(view) or []
    for at, one in enumerate(statements):
        if one in guards:
            assert isinstance(one, cst.If)
            test = view.changed(one.test, [edit for edit in edits if edit.node in set(walk(one.test))])
            rest = _without_guards(view, statements[at + 1 :], edits) or "pass\n"
            before = view.lines(statements[:at], edits) if at else ""
            return f"{before}if {_opposite(one.test, test)}:\n{indented(rest)}"
    return view.lines(statements, edits) if statements else ""


def _opposite(node: cst.BaseExpression, text: str) -> str:
    match node:
        case cst.Comparison(comparisons=[cst.ComparisonTarget(operator=cst.GreaterThanEqual())]):
            return text.replace(">=", "<", 1)
        case _:
            return f"not ({text})"


def _product(launch: Launch) -> tuple[str, str] | None:
    """The factors of a grid that is a product, the last one apart."""
    tree = ast.parse(launch.grid[0].text, mode="eval").body
    match tree:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return ast.unparse(left), ast.unparse(right)
    return None


def _products(view: NumbaView) -> bool:
    return (
        view.grid_is_flat and all(_product(launch) is not None for launch in view.launches) and not view.is_persistent
    )


def swap_dimensions(view: NumbaView) -> Iterator[Site]:
    """Blocks of a grid that is a product run along its other factor first."""
    if _products(view) and _places(view) is not None:
        yield Site(f"blocks of {view.name} in the other order", partial(_reordered, view, grouped=False))


def group_blocks(view: NumbaView) -> Iterator[Site]:
    """Blocks of a grid that is a product run in bands of a few of its first factor, which share data in the cache."""
    if _products(view) and _places(view) is not None:
        yield Site(f"blocks of {view.name} in bands", partial(_reordered, view, grouped=True))


def _reordered(view: NumbaView, *, grouped: bool) -> Kernel:
    outer, inner, block = view.fresh("outer_blocks"), view.fresh("inner_blocks"), view.fresh("block")
    places = _places(view)
    assert places is not None
    size = view.fresh("BAND")
    if grouped:
        first, height = view.fresh("band_first"), view.fresh("band_height")
        code = (
            f"{first} = {BLOCK} // ({size} * {inner}) * {size}\n"
            f"{height} = min({outer} - {first}, {size})\n"
            f"{block} = {BLOCK} % ({size} * {inner})\n"
            f"{block} = ({first} + {block} % {height}) * {inner} + {block} // {height}\n"
        )
    else:
        code = f"{block} = {BLOCK} % {outer} * {inner} + {BLOCK} // {outer}\n"
    edits = [Edit(node, text=text.format(block)) for node, text in places]

    def launched(launch: Launch) -> tuple[Launch, ...]:
        factors = _product(launch)
        assert factors is not None
        return (evolve(view.launched(launch, **{outer: factors[0], inner: factors[1]})),)

    tunables = {size: _GROUPS} if grouped else {}
    made = [*edits, Edit(view.body[0], before=code)]
    return view.edited(made, parameters=[outer, inner], launches=launched, tunables=tunables)
