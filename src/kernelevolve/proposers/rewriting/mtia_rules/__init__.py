"""Rewrites of Triton kernels that pay on MTIA only; on other chips they change nothing or cost time."""

from kernelevolve.proposers.rewriting.mtia_rules.table import MTIA_FOREIGN, MTIA_REWRITES

__all__ = ["MTIA_FOREIGN", "MTIA_REWRITES"]
