"""Every rewrite for MTIA, and those for any Triton kernel that mean nothing on it."""

from __future__ import annotations

__all__ = ["MTIA_FOREIGN", "MTIA_REWRITES"]

from typing import Final

from kernelevolve.proposers.rewriting.mtia_rules import counters, lookup, options, products
from kernelevolve.proposers.rewriting.python_view import Rewrite
from kernelevolve.proposers.rewriting.triton_rules.view import TritonView

MTIA_REWRITES: Final[tuple[Rewrite[TritonView], ...]] = (
    Rewrite("dual-core", "mtia-options", options.dual_core),
    Rewrite("circular-buffers", "mtia-options", options.circular_buffers),
    Rewrite("split-products", "mtia-engines", products.split_products, ("three_parts",)),
    Rewrite("lookup", "mtia-engines", lookup.lookup, ("tl.extra.libdevice",)),
    Rewrite("float-counter", "mtia-engines", counters.float_counter),
)
#: Warps, caches and tensor-memory descriptors of GPUs: the machine has none, so trying them spends evaluations.
MTIA_FOREIGN: Final = frozenset({"warps", "caching", "contiguous", "descriptors", "exp2", "folded-exp2"})
