"""Every source rewrite for Numba, with its family: each family is one arm of the bandit."""

from __future__ import annotations

__all__ = ["FAMILIES", "REWRITES", "promotions", "sites"]

from typing import Final

from kernelevolve.kernel import Kernel
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.numba_rules import (
    blocks,
    combine,
    expressions,
    headers,
    jam,
    keeping,
    rows,
    strips,
)
from kernelevolve.proposers.rewriting.numba_rules.headers import promotions
from kernelevolve.proposers.rewriting.numba_rules.view import NumbaView, numba_views
from kernelevolve.proposers.rewriting.python_view import Rewrite
from kernelevolve.proposers.rewriting.view import Site

REWRITES: Final[tuple[Rewrite[NumbaView], ...]] = (
    Rewrite("unroll", "unroll", strips.unroll, ("TURNS",)),
    Rewrite("batch-loads", "unroll", strips.batch, ("AHEAD",)),
    Rewrite("accumulators", "accumulators", strips.accumulators, ("SUMS",)),
    Rewrite("consecutive", "layout", strips.consecutive, ("WIDTH",)),
    Rewrite("pad", "layout", expressions.pad, ("PAD",)),
    Rewrite("keep-registers", "reuse", keeping.keep_in_registers, ("kept",)),
    Rewrite("keep-shared", "reuse", keeping.keep_in_shared, ("kept",)),
    Rewrite("shuffle", "combine", combine.shuffle, ("shfl_",)),
    Rewrite("online-softmax", "fuse", combine.online_softmax, ("own_peak",)),
    Rewrite("rows-per-block", "rows", rows.rows_per_block, ("block_row",)),
    Rewrite("persistent", "grid", blocks.persistent, ("WAVES",)),
    Rewrite("coarsen", "grid", blocks.coarsen, ("WORK",)),
    Rewrite("jam", "jam", jam.jam, ("elements",)),
    Rewrite("swap-dimensions", "order", blocks.swap_dimensions, ("outer_blocks",)),
    Rewrite("group-blocks", "order", blocks.group_blocks, ("BAND",)),
    Rewrite("hoist", "hoist", expressions.hoist, ("fixed",)),
    Rewrite("reciprocal", "maths", expressions.reciprocal, ("inverse",)),
    Rewrite("fast-math", "maths", headers.fast_math, ("fastmath",)),
    Rewrite("unsigned-indices", "indices", expressions.unsigned_indices, ("uint64",)),
    Rewrite("registers", "options", headers.registers, ("max_registers",)),
    Rewrite("threads", "options", headers.threads),
)

#: Families in the order of the table.
FAMILIES: Final = tuple(dict.fromkeys(rewrite.family for rewrite in REWRITES))


def sites(kernel: Kernel, problem: Problem, rewrite: Rewrite[NumbaView]) -> list[Site]:
    """Every place of `kernel` where `rewrite` applies. Raises `Rejected` where the source is no Python."""
    return [site for view in numba_views(kernel, problem) for site in rewrite.find(view)]
