"""A proposer for tests: makes variants of the sample kernels, right and wrong ones, from the request's seed alone."""

from __future__ import annotations

__all__ = ["SampleProposer"]

import random

from kernelevolve.evolution.proposal import Proposal, ProposalRequest
from kernelevolve.kernel import parse_kernel
from kernelevolve.problem import Problem
from kernelevolve.testing import samples


class SampleProposer:
    """Operators: ``cheapen`` (another declared cost, sometimes a lower one), ``tuned``, ``spoil`` and ``decline``."""

    name = "samples"

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:  # noqa: ARG002  # one answer for all
        """The four operators."""
        return ("cheapen", "tuned", "spoil", "decline")

    def propose(self, request: ProposalRequest) -> Proposal | None:
        """A variant of a sample; None for ``decline``."""
        rng = random.Random(request.seed)
        parents = tuple(parent.candidate for parent in request.parents[:1])
        match request.operator:
            case "cheapen":
                cost = rng.randrange(3, 30)
                text = samples.GOOD.replace("cols * 10", f"cols * {cost}")
            case "tuned":
                text = samples.TUNED.replace("* 16", f"* {rng.randrange(12, 30)}")
            case "spoil":
                text = samples.FAILING[rng.choice(sorted(_QUICK & set(samples.FAILING)))]
            case _:
                return None
        return Proposal(parse_kernel(text), request.operator, parents, note=f"{request.operator} of a sample")


#: Failures that take no time: no timeouts, no crashes.
_QUICK = frozenset(
    outcome
    for outcome in samples.FAILING
    if outcome.value in ("REJECTED", "WRONG_RESULT", "RESOURCE_EXCEEDED", "CONSTRAINT")
)
