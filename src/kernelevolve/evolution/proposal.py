"""What a proposer is asked, and what it answers.

A proposer turns selected parents into a new kernel. It sees problems, parents and device facts; it never sees hidden
workloads, seeds of the input generator, or expected values.
"""

from __future__ import annotations

__all__ = ["Parent", "Proposal", "ProposalRequest", "Proposer"]

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from kernelevolve.accelerator import Device
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload


@frozen
class Parent:
    """A candidate that was selected to build on."""

    candidate: int
    kernel: Kernel
    outcome: Outcome
    #: Geometric mean over workloads of baseline time / kernel time; 0 for anything not right.
    fitness: float
    #: The best configuration that the tuner found.
    configuration: Configuration = field(factory=dict, hash=False)
    #: What the pipeline said of it: a failure's sentence, or the bottleneck.
    message: str = ""
    #: The profile, resources and times, as stored.
    profile: Mapping[str, Any] = field(factory=dict, hash=False)


@frozen
class ProposalRequest:
    """One request for a kernel."""

    problem: Problem
    device: Device
    #: The language that the kernel must be written in.
    language: str
    #: What is timed in this run; a subset of the problem's visible workloads.
    workloads: tuple[Workload, ...]
    #: Best first; the first one is the one to change, a second one is there for recombination.
    parents: tuple[Parent, ...]
    #: The operator that the bandit chose; one of the proposer's own.
    operator: str
    #: The only source of randomness a proposer may use: same request, same proposal.
    seed: int


@frozen
class Proposal:
    """A kernel that a proposer made."""

    kernel: Kernel
    operator: str
    #: Candidates it was made from.
    parents: tuple[int, ...]
    #: What was changed, in one line.
    note: str = ""
    #: A configuration to try first; the kernel's default where empty.
    configuration: Configuration = field(factory=dict, hash=False)


@runtime_checkable
class Proposer(Protocol):
    """Turns parents into a new kernel."""

    name: str

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:
        """The operators this proposer has for `language`; each is an arm of the bandit."""
        ...

    def propose(self, request: ProposalRequest) -> Proposal | None:
        """One new kernel, or None where the operator does not apply to these parents."""
        ...
