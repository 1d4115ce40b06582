"""Every source rewrite for OpenCL C, with its family: each family is one arm of the bandit."""

from __future__ import annotations

__all__ = ["FAMILIES", "REWRITES", "Rewrite", "sites"]

from collections.abc import Callable, Iterator
from typing import Final

from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.rules import (
    coarsen,
    expressions,
    fusion,
    groups,
    mapping,
    strips,
    vectorise,
)
from kernelevolve.proposers.rewriting.view import Site, View, views


@frozen
class Rewrite:
    """One change of a kernel that keeps what it computes, up to rounding."""

    name: str
    family: str
    #: Where it applies; this is its precondition.
    find: Callable[[View], Iterator[Site]]
    #: Words (or starts of words) of a kernel that has been rewritten so; empty where nothing tells.
    marks: tuple[str, ...] = ()


REWRITES: Final = (
    Rewrite("vectorise", "vectorise", vectorise.vectorise, ("VEC",)),
    Rewrite("lanes", "accumulators", strips.lanes, ("LANES",)),
    Rewrite("unroll", "unroll", strips.unroll, ("UNROLL",)),
    Rewrite("unroll-pragma", "unroll", strips.unroll_pragma),
    Rewrite("interchange", "reorder", strips.interchange),
    Rewrite("tile", "reorder", strips.tile, ("TILE",)),
    Rewrite("fuse", "fuse", fusion.fuse),
    Rewrite("online-softmax", "fuse", fusion.online_softmax),
    Rewrite("reuse-output", "recompute", fusion.reuse_output, ("kept",)),
    Rewrite("hoist", "hoist", expressions.hoist, ("fixed",)),
    Rewrite("row-pointer", "hoist", expressions.row_pointer),
    Rewrite("reciprocal", "maths", expressions.reciprocal, ("inverse",)),
    Rewrite("native", "maths", expressions.native, ("native_", "half_")),
    Rewrite("contract", "maths", expressions.contract, ("fma", "mad")),
    Rewrite("branchless", "branchless", expressions.branchless, ("taken",)),
    Rewrite("qualify", "qualifiers", mapping.qualify, ("restrict",)),
    Rewrite("required-size", "qualifiers", mapping.required_size, ("reqd_work_group_size",)),
    Rewrite("group-size", "mapping", mapping.group_size),
    Rewrite("swap-dimensions", "mapping", mapping.swap_dimensions),
    Rewrite("coarsen", "coarsen", coarsen.coarsen, ("work",)),
    Rewrite("jam", "coarsen", coarsen.jam),
    Rewrite("row-per-group", "cooperate", groups.row_per_group, ("barrier",)),
    Rewrite("stage-row", "cooperate", groups.stage_row),
)

#: Families in the order of the table.
FAMILIES: Final = tuple(dict.fromkeys(rewrite.family for rewrite in REWRITES))


def sites(kernel: Kernel, problem: Problem, rewrite: Rewrite) -> list[Site]:
    """Every place of `kernel` where `rewrite` applies."""
    named = [*(one.name for one in problem.tensors), *(one.name for one in problem.scalars)]
    taken = {*problem.axes, *named, *(f"{name}_t" for name in named)}
    return [site for view in views(kernel, taken, problem.axes) for site in rewrite.find(view)]
