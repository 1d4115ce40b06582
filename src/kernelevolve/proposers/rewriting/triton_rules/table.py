"""Every rewrite for Triton, with its family: each family is one arm of the bandit."""

from __future__ import annotations

__all__ = ["TRITON_FAMILIES", "TRITON_REWRITES", "sites"]

from typing import Final

from kernelevolve.kernel import Kernel
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.python_view import Rewrite
from kernelevolve.proposers.rewriting.triton_rules import (
    accumulate,
    arithmetic,
    descriptors,
    epilogue,
    flatten,
    headers,
    hints,
    hoisting,
    masks,
    moments,
    order,
    passes,
    several,
    split,
    whole,
)
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView, triton_views
from kernelevolve.proposers.rewriting.view import Site

TRITON_REWRITES: Final[tuple[Rewrite[TritonView], ...]] = (
    Rewrite("warps", "options", headers.warps),
    Rewrite("stages", "options", headers.stages),
    Rewrite("follow-axis", "blocks", headers.follow_axis),
    Rewrite("single-pass", "whole", whole.single_pass, ("ONE_BLOCK",)),
    Rewrite("online-softmax", "passes", passes.online_softmax, ("safe",)),
    Rewrite("online-moments", "passes", moments.online_moments, ("block_mean",)),
    Rewrite("join", "passes", passes.join),
    Rewrite("several-rows", "several", several.several_rows, ("row_index",)),
    Rewrite("several-turns", "several", several.several_turns, ("TURNS",)),
    Rewrite("flatten", "several", flatten.flatten, ("elements",)),
    Rewrite("grouped", "order", order.grouped, ("GROUP",)),
    Rewrite("persistent", "persistent", order.persistent, ("num_programs",)),
    Rewrite("split-reduction", "split", split.split_reduction, ("PARTS",)),
    Rewrite("fuse-epilogue", "fuse", epilogue.fuse_epilogue),
    Rewrite("peel", "masks", masks.peel, ("whole",)),
    Rewrite("divisible", "masks", masks.divisible, ("EVEN",)),
    Rewrite("descriptors", "descriptors", descriptors.descriptors, ("make_tensor_descriptor",)),
    Rewrite("walk-pointers", "hoist", hoisting.walk_pointers),
    Rewrite("hoist", "hoist", hoisting.hoist),
    Rewrite("vector-accumulator", "accumulators", accumulate.vector_accumulator),
    Rewrite("dot-accumulate", "accumulators", arithmetic.dot_accumulate),
    Rewrite("interchange", "reorder", accumulate.interchange),
    Rewrite("exp2", "maths", arithmetic.exp2, ("exp2",)),
    Rewrite("folded-exp2", "maths", arithmetic.folded_exp2, ("exp2",)),
    Rewrite("reciprocal", "maths", arithmetic.reciprocal),
    Rewrite("rsqrt", "maths", arithmetic.rsqrt, ("rsqrt",)),
    Rewrite("pipeline", "loops", hints.pipeline, ("STAGES",)),
    Rewrite("unroll", "loops", hints.unroll, ("UNROLL",)),
    Rewrite("flatten-loops", "loops", hints.flatten_loops),
    Rewrite("caching", "caching", hints.caching, ("eviction_policy", "cache_modifier")),
    Rewrite("contiguous", "indices", hints.contiguous, ("max_contiguous",)),
    Rewrite("narrow", "indices", hints.narrow, ("NARROW",)),
)

#: Families in the order of the table.
TRITON_FAMILIES: Final = tuple(dict.fromkeys(rewrite.family for rewrite in TRITON_REWRITES))


def sites(kernel: Kernel, problem: Problem, rewrite: Rewrite[TritonView]) -> list[Site]:
    """Every place of `kernel` where `rewrite` applies. Raises `Rejected` where the source is no Python."""
    return [site for view in triton_views(kernel, problem) for site in rewrite.find(view)]
