"""What a proposer is asked, and what it answers.

A proposer turns selected parents into a new kernel. It sees problems, parents and device facts; it never sees hidden
workloads, seeds of the input generator, or expected values.
"""

from __future__ import annotations

__all__ = [
    "Failed",
    "Parent",
    "Preflight",
    "Proposal",
    "ProposalRequest",
    "Proposer",
    "ProposesConcurrently",
    "Readies",
    "Relation",
    "Relative",
    "Remembers",
    "TakesModel",
    "Usage",
    "Workbench",
]

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from attrs import field, frozen

from kernelevolve.accelerator import Device
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload
from kernelevolve.store import Lesson, Memory


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


class Relation(enum.StrEnum):
    """How a candidate is related to the one that is to be changed."""

    ANCESTOR = "ancestor"
    SIBLING = "sibling"
    ELSEWHERE = "elsewhere"
    """In another part of the tree: one of the run's best, or one of its latest."""
    DRAFT = "draft"
    """An earlier independent first kernel, shown to another draft that is to differ from it."""


@frozen
class Relative:
    """One line of the history that a proposer is shown: what was tried, and what came of it."""

    #: None for a draft that is no candidate yet: it is still open, or waits for its results.
    candidate: int | None
    relation: Relation
    operator: str
    #: What was changed, in one line.
    note: str
    #: None where no result is told: drafts are to be different, not better.
    outcome: Outcome | None
    fitness: float
    #: Fitness over that of its own parent; None where either was not right.
    gain: float | None
    #: The gain that was predicted when it was proposed.
    predicted: float | None = None
    message: str = ""
    #: Whether each time behind `fitness` and `gain` was taken side by side with the fastest kernel of its moment: one
    #: far behind that gets a quick look alone, and a busy machine changes its speed between two looks.
    paired: bool = True


@frozen
class Usage:
    """What calls of a language model cost."""

    model: str = ""
    calls: int = 0
    #: Tokens that were neither read from the provider's cache nor written to it.
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    dollars: float = 0.0

    @property
    def tokens(self) -> int:
        """All of them: what a limit on tokens counts."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            model=self.model or other.model,
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            dollars=self.dollars + other.dollars,
        )


@frozen
class Preflight:
    """What gate and compiler say of a kernel that has not been evaluated: nothing of it was run."""

    #: None where both let it pass.
    failed: Outcome | None
    #: One sentence: what is wrong and where, or that it compiles.
    message: str
    #: The compiler's or the gate's own words, cut to a readable length.
    log: str = ""
    #: Registers, spills, local memory …, by entry, as far as the toolchain tells.
    resources: Mapping[str, Any] = field(factory=dict, hash=False)


class Workbench(Protocol):
    """What a proposer may ask while it works on one proposal. Safe to call from other threads; nothing here launches a
    kernel.
    """

    def afford(self, most: Usage | None = None) -> str | None:
        """Why no further call of a model may be made, in words; None where one may. To be asked before every call, and
        each None to be followed by one `pay`. `most` is what the call cannot cost more than, if that is known.

        Waits for calls that are under way where they may spend what is left: call it off an event loop's thread.
        """
        ...

    def pay(self, usage: Usage) -> None:
        """Count what one call cost, at once: a killed run knows what it spent. An empty `Usage` costs nothing."""
        ...

    def candidates(self) -> Sequence[int]:
        """The numbers of all evaluated candidates of the run, the fittest first."""
        ...

    def look(self, candidate: int) -> Parent:
        """Any evaluated candidate: source, outcome, profile. Raises `KernelEvolveError` where there is none."""
        ...

    def preflight(self, kernel: Kernel) -> Preflight:
        """Gate and compile `kernel` as an evaluation would, for the timed workloads, and run nothing."""
        ...


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
    #: Whose history is in `relatives`.
    memory: Memory = Memory.NONE
    #: What was tried on the way to the first parent, and beside it; the oldest first.
    relatives: tuple[Relative, ...] = ()
    #: What earlier runs learnt on the same or similar problems and hardware; empty where that is switched off.
    lessons: tuple[Lesson, ...] = ()
    #: Whether pages of the knowledge base may be shown.
    knowledge: bool = True
    #: An independent first kernel is wanted, not a change of the parent.
    draft: bool = False
    #: None where only the request itself is known, as for a proposal that is made elsewhere.
    workbench: Workbench | None = field(default=None, eq=False, repr=False)


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
    #: How many times as fast as its first parent the kernel should be, in the proposer's own opinion.
    predicted: float | None = None
    #: The bottleneck that the change is aimed at, in the proposer's words.
    bottleneck: str = ""
    #: What it cost; already paid through the workbench.
    usage: Usage | None = None


@frozen
class Failed:
    """A proposal that came to nothing though something was spent on it."""

    operator: str
    #: Why, in one sentence.
    reason: str
    usage: Usage | None = None


@runtime_checkable
class Proposer(Protocol):
    """Turns parents into a new kernel."""

    name: str

    def operators(self, problem: Problem, language: str) -> tuple[str, ...]:
        """The operators this proposer has for `language`; each is an arm of the bandit."""
        ...

    def propose(self, request: ProposalRequest) -> Proposal | Failed | None:
        """One new kernel, or None where the operator does not apply to these parents."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A proposer some of whose operators make something of history: the search chooses which one they see."""

    def remembers(self, operator: str) -> bool:
        """Whether `operator` reads `ProposalRequest.relatives`."""
        ...


@runtime_checkable
class Readies(Protocol):
    """A proposer that needs something from its surroundings, such as a key."""

    def check_ready(self) -> None:
        """Raises `KernelEvolveError` that says what is missing and where it comes from. Asked before a run begins."""
        ...


@runtime_checkable
class TakesModel(Protocol):
    """A class of proposers that call a language model."""

    def configured(self, settings: Mapping[str, Any]) -> Proposer:
        """A proposer with these settings, as JSON values; a class method. Raises `KernelEvolveError` for bad ones."""
        ...


@runtime_checkable
class ProposesConcurrently(Protocol):
    """A proposer some of whose operators wait for somebody else: several proposals are open while others are judged."""

    #: How many proposals to keep open.
    width: int

    def concurrent(self, operator: str) -> bool:
        """Whether `operator` is one of those."""
        ...

    def begin(self, request: ProposalRequest) -> int:
        """Start on a proposal; its ticket. Never waits."""
        ...

    def finished(self, timeout: float) -> tuple[int, Proposal | Failed | None] | None:
        """A ticket that is done with its result, each once; None where none is after `timeout` seconds (0: a look)."""
        ...

    def cancel(self) -> None:
        """Give up whatever is open, and wait until nothing is under way."""
        ...
