"""Rewrites of Triton kernels, on libcst trees."""

from kernelevolve.proposers.rewriting.triton_rules.table import TRITON_FAMILIES, TRITON_REWRITES, sites
from kernelevolve.proposers.rewriting.triton_rules.tunables import triton_tunable_changes

__all__ = ["TRITON_FAMILIES", "TRITON_REWRITES", "sites", "triton_tunable_changes"]
