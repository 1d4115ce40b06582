"""What a run tried, as pairs of a kernel and the one it was made from: what lessons are counted over."""

from __future__ import annotations

__all__ = ["UNPAIRED", "Trial", "by_candidate", "trials_of"]

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import frozen

from kernelevolve.accelerator import Device, Source
from kernelevolve.kernel import Configuration, configuration_label
from kernelevolve.knowledge.bottleneck import Bottleneck
from kernelevolve.knowledge.diagnosis import diagnose
from kernelevolve.knowledge.finding import Diagnosis
from kernelevolve.outcome import Outcome
from kernelevolve.store import ALL_WORKLOADS, Candidate, Evaluation

#: What an engine, a machine or a configuration did, and not the kernel.
_NOT_ITS_DOING: Final = (
    Outcome.CONSTRAINT,
    Outcome.UNSTABLE,
    Outcome.DEVICE_LOST,
    Outcome.PLUGIN_BUG,
    Outcome.TOOLCHAIN_ERROR,
)
#: How far the ratio of two times may be off that were never taken side by side, as a ratio less one. Kernels far behind
#: the incumbent get a first look only, and between two looks a busy host changes its speed by as much as this.
UNPAIRED: Final = 1.0
#: Clocks that do not depend on the moment.
_NO_DRIFT: Final = (Source.EMULATED_CYCLES, Source.RECORDED, Source.ANALYTIC)


@frozen
class Trial:
    """One change and what it did."""

    candidate: int
    parent: int
    operator: str
    note: str
    #: Of the parent: what the change was made against.
    bottleneck: Bottleneck
    #: Fitness over the parent's, like for like (`_compared`); None where either is not right or has no time, or where
    #: one was tuned and the other was not.
    gain: float | None
    #: How far `gain` may be from the truth, as a ratio less one; `UNPAIRED` where never timed side by side.
    uncertainty: float
    #: Why the candidate is not right; None where it is.
    failure: Diagnosis | None
    message: str
    source: Source | None


def trials_of(candidates: Iterable[Candidate], evaluations: Iterable[Evaluation], device: Device) -> tuple[Trial, ...]:
    """One trial per candidate that was made from another and was evaluated, in the order of their numbers.

    Failures that say nothing about the kernel (a machine that was busy, a device that went away) are left out.
    """
    tried = by_candidate(evaluations)
    standing = {number: max(each, key=_rank) for number, each in tried.items()}
    diagnoses: dict[int, Diagnosis] = {}

    def diagnosis(number: int) -> Diagnosis:
        if number not in diagnoses:
            diagnoses[number] = diagnose_evaluation(standing[number], device)
        return diagnoses[number]

    found = []
    for candidate in sorted(candidates, key=lambda one: one.number):
        parent = next(iter(candidate.parents), None)
        if parent is None or parent not in standing or candidate.number not in standing:
            continue
        child = standing[candidate.number]
        if child.outcome in _NOT_ITS_DOING:
            continue
        compared = _compared(tried[candidate.number], tried[parent])
        found.append(
            Trial(
                candidate=candidate.number,
                parent=parent,
                operator=candidate.operator,
                note=candidate.note,
                bottleneck=diagnosis(parent).bottleneck,
                gain=None if compared is None else _ratio(*compared),
                uncertainty=0.0 if compared is None else _spread(*compared),
                failure=None if child.outcome.right else diagnosis(candidate.number),
                message=child.message,
                source=child.source,
            )
        )
    return tuple(found)


def diagnose_evaluation(evaluation: Evaluation, device: Device) -> Diagnosis:
    """`diagnose`, of a stored evaluation."""
    return diagnose(
        outcome=evaluation.outcome,
        message=evaluation.message,
        details=evaluation.details,
        profile=evaluation.profile,
        device=device,
    )


def by_candidate(evaluations: Iterable[Evaluation]) -> dict[int, tuple[Evaluation, ...]]:
    """Every candidate's evaluations over all workloads, by configuration in the order in which these were first tried;
    of the same configuration the latest counts, as it does in the store.
    """
    latest: dict[int, dict[str, Evaluation]] = {}
    for one in sorted(evaluations, key=lambda one: one.id):
        if one.workload == ALL_WORKLOADS:
            latest.setdefault(one.candidate, {})[configuration_label(one.configuration)] = one
    return {number: tuple(each.values()) for number, each in latest.items()}


def _rank(evaluation: Evaluation) -> tuple[bool, float]:
    return evaluation.outcome.right, evaluation.fitness or 0.0


def _compared(child: Sequence[Evaluation], parent: Sequence[Evaluation]) -> tuple[Evaluation, Evaluation] | None:
    """The two evaluations whose ratio says what a change did; None where there are no two such.

    Best against best flatters whoever was tuned longer, so it counts only against that: a gain over a parent that had
    as many tries, a loss of a child that had as many. Otherwise both must have run in one configuration, as far as they
    have the same tunables: the parent's best of those, and where several of the child's fit, the first.
    """
    timed, before = (
        [one for one in each if one.outcome is Outcome.CORRECT and one.fitness] for each in (child, parent)
    )
    pairs = [(one, other) for one in timed for other in before if one.source == other.source]
    if not pairs:
        return None
    best, over = max(timed, key=_rank), max(before, key=_rank)
    longer, shorter = (parent, child) if _rank(best) > _rank(over) else (child, parent)
    if best.source == over.source and len(longer) >= len(shorter):
        return best, over
    alike = [(one, other) for one, other in pairs if _agree(one.configuration, other.configuration)]
    return max(alike, key=lambda pair: pair[1].fitness or 0.0, default=None)


def _timed(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    return [one for one in evaluations if one.outcome is Outcome.CORRECT and one.fitness]


def _agree(one: Configuration, other: Configuration) -> bool:
    return all(one[name] == other[name] for name in set(one) & set(other))


def _ratio(child: Evaluation, parent: Evaluation) -> float:
    assert child.fitness
    assert parent.fitness
    return child.fitness / parent.fitness


def _spread(child: Evaluation, parent: Evaluation) -> float:
    return math.hypot(_uncertainty(child), _uncertainty(parent))


def _uncertainty(evaluation: Evaluation) -> float:
    """Half the widest interval of the paired comparisons that a fitness rests on, relative to the ratio."""
    if evaluation.source is None or evaluation.source in _NO_DRIFT:
        return 0.0
    paired: Sequence[Any] = [timing.get("paired") for timing in evaluation.profile.get("timings") or ()]
    if not any(paired):
        # What every fitness of a run is relative to is exact; all else that is not paired was timed at another moment.
        return 0.0 if evaluation.profile.get("anchor") else UNPAIRED
    widths = [(one["high"] - one["low"]) / (2 * one["ratio"]) for one in paired if one]
    return float(max(widths))
