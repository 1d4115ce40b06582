"""Several rows in one block: a second dimension of threads, each of which has shared memory of its own."""

from __future__ import annotations

__all__ = ["rows_per_block"]

from collections.abc import Iterator
from functools import partial
from typing import Final

import libcst as cst
from attrs import evolve

from kernelevolve.expressions import parse as parse_expression
from kernelevolve.kernel import Kernel, Launch
from kernelevolve.proposers.rewriting.numba_rules.effects import call_name
from kernelevolve.proposers.rewriting.numba_rules.view import BLOCK, NumbaView, Shared
from kernelevolve.proposers.rewriting.python_edits import Edit, names_in, targets_of, walk
from kernelevolve.proposers.rewriting.view import Site

_ROWS: Final = (4, 2, 8)
_WARP: Final = 32
_MOST_THREADS: Final = 1024
_OTHER_PLACES: Final = ("cuda.grid", "cuda.gridsize", "cuda.cg.this_grid")


def rows_per_block(view: NumbaView) -> Iterator[Site]:
    """Several rows in a block, each with the threads that a block had; the last row is done again where none is left.

    A row that is done twice is written twice with the same values, so nothing that the entry writes may be read in it.
    """
    sizes = view.values(view.threads or "")
    if (
        not sizes
        or sizes[0] * min(_ROWS) > _MOST_THREADS
        or not view.grid_is_flat
        or not view.is_plain
        or view.is_persistent
    ):
        return
    blocks = _blocks(view)
    if not blocks or view.whole.opaque or view.whole.stored & view.whole.loaded & set(view.buffers):
        return
    if len(_declarations(view)) != len(view.arrays) or any(_is_dynamic(one) for one in view.arrays.values()):
        return
    if _waits_alike(view) and (not _has_warps(view) or all(size % _WARP == 0 for size in sizes)):
        yield Site(f"several rows in a block of {view.name}", partial(_with_rows, view, blocks))


def _fitting(view: NumbaView) -> tuple[int, ...]:
    """Numbers of rows, those first that the first number of threads leaves room for."""
    first = view.values(view.threads or "")[0]
    return tuple(sorted(_ROWS, key=lambda rows: rows * first > _MOST_THREADS))


def _has_warps(view: NumbaView) -> bool:
    """Whether threads of a warp exchange values: each row then needs whole warps."""
    alone = ("cuda.syncthreads",)
    return any(call_name(call) not in alone for call in view.whole.together) or "laneid" in view.words


def _blocks(view: NumbaView) -> list[cst.Attribute]:
    """Where the entry asks for its block; nothing where it asks for its place in another way."""
    found = []
    for node in walk(*view.body):
        match node:
            case cst.Attribute() if view.text(node) == BLOCK:
                found.append(node)
            case cst.Attribute(value=cst.Attribute(attr=cst.Name(value="blockIdx" | "blockDim" | "threadIdx"))):
                if node.attr.value != "x":
                    return []
            case cst.Attribute(attr=cst.Name(value="gridDim")):
                return []
            case cst.Call() if call_name(node) in _OTHER_PLACES or call_name(node) in view.functions - view.pure:
                return []
            case _:
                pass
    return found


def _declarations(view: NumbaView) -> list[cst.Call]:
    return [call for call in view.find(cst.Call) if call_name(call) in ("cuda.shared.array", "cuda.local.array")]


def _is_dynamic(one: Shared) -> bool:
    return one.is_shared and one.shape == "0"


def _waits_alike(view: NumbaView) -> bool:
    """Whether every barrier is reached by all rows as often: nothing around it depends on the row or on data."""
    varying = _varying(view)
    for call in view.whole.together:
        for one in view.around(call):
            conditions = {cst.If: "test", cst.While: "test", cst.For: "iter", cst.IfExp: "test"}.get(type(one))
            if conditions is not None and _depends(view, getattr(one, conditions), varying):
                return False
    leaves = [one for one in view.whole.jumps if not isinstance(one, cst.Continue)]
    return not (leaves and view.whole.together)


def _varying(view: NumbaView) -> frozenset[str]:
    """Variables that may differ between the rows of a block."""
    found: set[str] = set()
    while True:
        before = len(found)
        for node in walk(*view.body):
            match node:
                case cst.Assign(targets=targets, value=value) if _depends(view, value, found):
                    found |= {name.value for target in targets for name in targets_of(target.target)}
                case cst.AugAssign(target=target, value=value) if _depends(view, value, found):
                    found |= {name.value for name in targets_of(target)}
                case cst.For(target=target, iter=over) if _depends(view, over, found):
                    found |= {name.value for name in targets_of(target)}
                case cst.If(test=test) if _depends(view, test, found):
                    found |= {
                        name.value
                        for inner in walk(node)
                        if isinstance(inner, cst.Assign)
                        for target in inner.targets
                        for name in targets_of(target.target)
                    }
                    found |= {
                        name.value
                        for inner in walk(node)
                        if isinstance(inner, cst.AugAssign)
                        for name in targets_of(inner.target)
                    }
                case _:
                    pass
        if len(found) == before:
            return frozenset(found)


def _depends(view: NumbaView, node: cst.CSTNode, varying: set[str] | frozenset[str]) -> bool:
    loads = any(isinstance(inner, cst.Subscript) for inner in walk(node))
    asks = any(isinstance(inner, cst.Attribute) and view.text(inner) == BLOCK for inner in walk(node))
    return loads or asks or any(name.value in varying for name in names_in(node))


def _with_rows(view: NumbaView, blocks: list[cst.Attribute]) -> Kernel:
    size, row, count, place = view.fresh("ROWS"), view.fresh("block_row"), view.fresh("row_blocks"), view.fresh("place")
    edits = [Edit(node, text=row) for node in blocks]
    shared = {name: one for name, one in view.arrays.items() if one.is_shared}
    for one in shared.values():
        shape = one.call.args[0].value
        sizes = [view.text(part.value) for part in shape.elements] if isinstance(shape, cst.Tuple) else [one.shape]
        edits.append(Edit(shape, text=f"({', '.join([size, *sizes])})"))
    used = [
        node for node in view.find(cst.Subscript) if isinstance(node.value, cst.Name) and node.value.value in shared
    ]
    for node in used:
        first = node.slice[0].slice
        assert isinstance(first, cst.Index)
        edits.append(Edit(first.value, wrap=f"{place}, {{}}"))
    before = f"{place} = cuda.threadIdx.y\n" if shared else ""
    own = place if shared else "cuda.threadIdx.y"
    before += f"{row} = min({BLOCK} * {size} + {own}, {count} - 1)\n"

    def launched(launch: Launch) -> tuple[Launch, ...]:
        old = launch.grid[0].text
        block = (launch.block[0].text, size)
        made = view.launched(launch, f"cdiv({old}, {size})", block, **{count: old})
        return (evolve(made, grid=(made.grid[0], parse_expression("1"))),)

    return view.edited(
        [*edits, Edit(view.body[0], before=before)],
        parameters=[count],
        launches=launched,
        tunables={size: _fitting(view)},
        constraints=[f"{view.threads} * {size} <= {_MOST_THREADS}"],
    )
