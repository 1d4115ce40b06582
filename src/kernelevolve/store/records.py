"""What the store holds, as plain frozen data.

A record that has not been stored yet carries the placeholders `UNASSIGNED` and 0.0 where the store assigns a number,
an id or a time; everything that comes out of the store carries real ones.
"""

from __future__ import annotations

__all__ = [
    "ALL_WORKLOADS",
    "UNASSIGNED",
    "Candidate",
    "Evaluation",
    "Event",
    "EventKind",
    "Lesson",
    "Memory",
    "Outline",
    "Run",
    "Standing",
    "WorkloadTimes",
]

import enum
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import Attribute, field, frozen

from kernelevolve.accelerator import Source
from kernelevolve.kernel import Configuration, configuration_label
from kernelevolve.outcome import Outcome

#: The workload of an evaluation that covers every timed workload of its run.
ALL_WORKLOADS: Final = "all"
#: A number that the store will assign.
UNASSIGNED: Final = -1

Json = Mapping[str, Any]


def _integers(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _cell(values: Iterable[int] | None) -> tuple[int, ...] | None:
    return None if values is None else _integers(values)


@frozen
class Run:
    """One evolution, as it was set up. Nothing here changes afterwards; what happens to a run are its events."""

    problem: str
    #: `Problem.fingerprint`: runs of a problem whose declaration changed are not compared.
    fingerprint: str
    accelerator: str
    #: The device's name, as `Device.name` gives it.
    device: str
    language: str
    policy: str
    proposer: str
    seed: int
    #: The whole `Device`, as JSON values: realm, target, facts, memory, peaks, driver.
    description: Json = field(factory=dict, hash=False)
    #: The limits of the run (`Budget`), as JSON values.
    budget: Json = field(factory=dict, hash=False)
    settings: Json = field(factory=dict, hash=False)
    #: Names and versions of what takes part in a compile.
    toolchain: Json = field(factory=dict, hash=False)
    #: The version of kernelevolve that started the run.
    version: str = ""
    #: Short text, sorted like creation time; assigned by the store.
    id: str = ""
    #: Seconds since 1970, UTC; assigned by the store.
    created: float = 0.0


class Memory(enum.StrEnum):
    """Whose history a proposer saw when it made a candidate."""

    NONE = "none"
    PARENT = "parent"
    SIBLINGS = "siblings"
    BOTH = "both"


@frozen
class Candidate:
    """One node of a run's graph. Its kernel's text is stored once per content and found by `kernel`."""

    run: str
    operator: str
    #: Numbers of the candidates it was made from, the one that was changed first; empty for a seed.
    parents: tuple[int, ...] = field(default=(), converter=_integers)
    #: What was changed, in one line.
    note: str = ""
    memory: Memory = Memory.NONE
    island: int = 0
    #: The cell of what the kernel is, as far as it is known before it ran.
    descriptor: tuple[int, ...] | None = field(default=None, converter=_cell)
    #: How it was proposed, where there is more to tell: the gain that was predicted, the bottleneck aimed at, what the
    #: model cost, the id under which it was asked for.
    proposal: Json = field(factory=dict, hash=False)
    #: Digest of the language's normal form: equal for kernels that differ only in comments and layout.
    normal_form: str = ""
    #: First 16 hex digits of the text's SHA-256, which is `Kernel.digest` for canonical text; assigned by the store.
    kernel: str = ""
    #: Position within the run, from 0; assigned by the store.
    number: int = UNASSIGNED
    created: float = 0.0


@frozen
class WorkloadTimes:
    """Raw samples of one workload: seconds per launch of the plan, and where they come from."""

    seconds: tuple[float, ...]
    source: Source
    #: How they were taken, as `evaluation` names it (``screen``, ``paired`` …).
    protocol: str


def _not_negative(instance: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        message = f"{type(instance).__name__}.{attribute.name} is {value!r}; it is a finite number that is not negative"
        raise ValueError(message)


@frozen
class Evaluation:
    """Everything measured about one candidate, under one configuration, for one workload or for all of them."""

    run: str
    candidate: int
    #: The deepest stage of the pipeline that was reached.
    stage: str
    outcome: Outcome
    configuration: Configuration = field(factory=dict, hash=False)
    #: A workload's label, or `ALL_WORKLOADS`.
    workload: str = ALL_WORKLOADS
    message: str = ""
    #: The failure's structured fields (`CandidateError.details`).
    details: Json = field(factory=dict, hash=False)
    #: By workload label.
    times: Mapping[str, WorkloadTimes] = field(factory=dict, hash=False)
    #: Of this configuration, over the workloads that the evaluation covers; None where it says nothing about fitness.
    fitness: float | None = field(default=None, validator=_not_negative)
    #: The cell of what the kernel is, now that it ran; it takes precedence over the candidate's own.
    descriptor: tuple[int, ...] | None = field(default=None, converter=_cell)
    profile: Json = field(factory=dict, hash=False)
    #: Wall time that the evaluation took.
    seconds: float = field(default=0.0, validator=_not_negative)
    #: Names within `Artifacts`, by stage.
    artifacts: Mapping[str, str] = field(factory=dict, hash=False)
    #: Unique within the run: recording the same key again changes nothing.
    key: str = field()
    #: Grows with time within a store; assigned by the store.
    id: int = UNASSIGNED
    created: float = 0.0

    @key.default
    def _default_key(self) -> str:
        return f"{self.candidate}/{self.stage}/{self.workload}/{configuration_label(self.configuration)}"

    @property
    def source(self) -> Source | None:
        """Where the times come from; None without times. Raises ValueError where they come from several clocks."""
        sources = {times.source for times in self.times.values()}
        if len(sources) > 1:
            listed = ", ".join(sorted(sources))
            message = f"evaluation {self.key!r} mixes times from {listed}; record one evaluation per source"
            raise ValueError(message)
        return next(iter(sources), None)


class EventKind(enum.StrEnum):
    """What can happen to a run."""

    STARTED = "started"
    RESUMED = "resumed"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    SPENT = "spent"
    """A snapshot of the run's `Ledger`."""
    DECLINED = "declined"
    """An operator had nothing to offer for a parent."""
    ASKED = "asked"
    """Somebody outside was given a proposal's context, and is expected to tell the kernel."""
    TOLD = "told"
    """An answer to one that was asked, and what came of it."""

    @property
    def lifecycle(self) -> bool:
        """Whether the kind says that a run goes on or has ended."""
        return self in (EventKind.STARTED, EventKind.RESUMED, EventKind.FINISHED, EventKind.INTERRUPTED)


@frozen
class Event:
    """One thing that happened to a run."""

    run: str
    kind: EventKind
    data: Json = field(factory=dict, hash=False)
    id: int = UNASSIGNED
    created: float = 0.0


@frozen
class Lesson:
    """What a run learnt, kept for later runs: one statement with the numbers and candidates it rests on."""

    #: One or two sentences.
    text: str
    problem: str
    accelerator: str
    #: The device's name.
    device: str
    language: str
    #: What limited the kernels that it speaks of (`kernelevolve.knowledge.Bottleneck`'s values), or the empty string.
    bottleneck: str = ""
    #: The run that it was distilled from; empty for one that a person wrote.
    run: str = ""
    #: Candidate numbers, gains, outcomes: what the statement can be checked against.
    data: Json = field(factory=dict, hash=False)
    #: Whether later runs see it.
    active: bool = True
    #: Assigned by the store.
    id: int = UNASSIGNED
    created: float = 0.0


@frozen
class Outline:
    """A candidate in the few values that a search keeps in memory."""

    number: int
    operator: str
    parents: tuple[int, ...]
    island: int
    descriptor: tuple[int, ...] | None
    #: The best configuration's; each counts with its latest evaluation over all workloads, with 0 where that failed.
    #: None: not known yet.
    fitness: float | None
    #: Wall time of all its evaluations together.
    seconds: float


@frozen
class Standing:
    """The best evaluation among runs whose fitness may be compared: one problem, device, language and clock."""

    run: Run
    candidate: int
    evaluation: Evaluation
