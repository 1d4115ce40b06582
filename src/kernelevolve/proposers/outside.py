"""The proposer of a run whose kernels come from outside: it has nothing to propose itself."""

from __future__ import annotations

__all__ = ["OutsideProposer"]

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.proposal import Proposal, ProposalRequest
from kernelevolve.problem import Problem


class OutsideProposer:
    """Keeps the place of whoever asks and tells."""

    name = "outside"

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:  # noqa: ARG002  (the protocol's)
        """None: the search makes no choice between what it does not do itself."""
        return ()

    def propose(self, request: ProposalRequest) -> Proposal | None:  # noqa: ARG002  (the protocol's)
        """Nothing."""
        return None

    def check_ready(self) -> None:
        """Raises: nothing here can drive such a run."""
        raise KernelEvolveError(
            "kernels from outside come one by one: begin with kernelevolve start, then kernelevolve ask and tell"
        )
