"""What can be rewritten in each language: rewrites by family, where they apply, and literals that become tunables."""

from __future__ import annotations

__all__ = ["LANGUAGES", "Rules", "rules"]

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from attrs import field, frozen

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
    #: Further ones that only some accelerators have, by the accelerator's name.
    own: Mapping[str, tuple[Any, ...]] = field(factory=dict)
    #: Names of those of `rewrites` that mean nothing on an accelerator.
    foreign: Mapping[str, frozenset[str]] = field(factory=dict)

    def on(self, accelerator: str) -> tuple[Any, ...]:
        """The rewrites for one accelerator."""
        without = self.foreign.get(accelerator, frozenset())
        return (*(one for one in self.rewrites if one.name not in without), *self.own.get(accelerator, ()))

    @property
    def families(self) -> tuple[str, ...]:
        """Families in the order of the tables; each is an arm of the bandit. One chip's own come last."""
        every = (*self.rewrites, *(one for chip in sorted(self.own) for one in self.own[chip]))
        return tuple(dict.fromkeys(rewrite.family for rewrite in every))


@lru_cache(maxsize=8)
def rules(language: str) -> Rules | None:
    """The rewrites for `language`, or None; a parser is imported when its language is first asked for."""
    if language == "opencl":
        from kernelevolve.proposers.rewriting import table, tunables  # noqa: PLC0415

        return Rules(table.REWRITES, table.sites, tunables.promotions)
    if language == "triton":
        from kernelevolve.proposers.rewriting import mtia_rules, triton_rules  # noqa: PLC0415

        return Rules(
            triton_rules.TRITON_REWRITES,
            triton_rules.sites,
            triton_rules.triton_tunable_changes,
            own={"mtia": mtia_rules.MTIA_REWRITES},
            foreign={"mtia": mtia_rules.MTIA_FOREIGN},
        )
    if language == "numba":
        from kernelevolve.proposers.rewriting import numba_rules  # noqa: PLC0415

        return Rules(numba_rules.REWRITES, numba_rules.sites, numba_rules.promotions)
    return None
