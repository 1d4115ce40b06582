"""What can be rewritten in each language: rewrites by family, where they apply, and literals that become tunables."""

from __future__ import annotations

__all__ = ["LANGUAGES", "Rules", "rules"]

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from attrs import frozen

from kernelevolve.kernel import Kernel
from kernelevolve.problem import Problem
from kernelevolve.proposers.rewriting.changes import Change
from kernelevolve.proposers.rewriting.view import Site

#: Languages that have rewrites.
LANGUAGES: Final = ("numba", "opencl", "triton")


@frozen
class Rules:
    """The rewrites of one language."""

    #: Each has a name, a family and a precondition; what they look at is the language's own view of a kernel.
    rewrites: tuple[Any, ...]
    sites: Callable[[Kernel, Problem, Any], list[Site]]
    promotions: Callable[[Kernel, Problem], Iterator[Change]]

    @property
    def families(self) -> tuple[str, ...]:
        """Families in the order of the table; each is an arm of the bandit."""
        return tuple(dict.fromkeys(rewrite.family for rewrite in self.rewrites))


@lru_cache(maxsize=8)
def rules(language: str) -> Rules | None:
    """The rewrites for `language`, or None; a parser is imported when its language is first asked for."""
    if language == "opencl":
        from kernelevolve.proposers.rewriting import table, tunables  # noqa: PLC0415

        return Rules(table.REWRITES, table.sites, tunables.promotions)
    if language == "triton":
        from kernelevolve.proposers.rewriting import triton_rules  # noqa: PLC0415

        return Rules(triton_rules.TRITON_REWRITES, triton_rules.sites, triton_rules.triton_tunable_changes)
    if language == "numba":
        from kernelevolve.proposers.rewriting import numba_rules  # noqa: PLC0415

        return Rules(numba_rules.REWRITES, numba_rules.sites, numba_rules.promotions)
    return None
