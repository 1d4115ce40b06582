"""What a run tried, as pairs of a kernel and the one it was made from: what lessons are counted over."""

from __future__ import annotations

__all__ = ["Trial", "trials_of"]

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from kernelevolve.accelerator import Device, Source
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


@frozen
class Trial:
    """One change and what it did."""

    candidate: int
    parent: int
    operator: str
    note: str
    #: Of the parent: what the change was made against.
    bottleneck: Bottleneck
    #: Fitness over the parent's, the best configuration of each; None where either is not right or has no time.
    gain: float | None
    #: How far `gain` may be from the truth, as a ratio less one; 0 where the evaluations give no interval.
    uncertainty: float
    #: Why the candidate is not right; None where it is.
    failure: Diagnosis | None
    message: str
    source: Source | None


def trials_of(candidates: Iterable[Candidate], evaluations: Iterable[Evaluation], device: Device) -> tuple[Trial, ...]:
    """One trial per candidate that was made from another and was evaluated, in the order of their numbers.

    Failures that say nothing about the kernel (a machine that was busy, a device that went away) are left out.
    """
    standing = _standing(evaluations)
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
        child, before = standing[candidate.number], standing[parent]
        if child.outcome in _NOT_ITS_DOING:
            continue
        gain, uncertainty = _gain(child, before)
        found.append(
            Trial(
                candidate=candidate.number,
                parent=parent,
                operator=candidate.operator,
                note=candidate.note,
                bottleneck=diagnosis(parent).bottleneck,
                gain=gain,
                uncertainty=uncertainty,
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


def _standing(evaluations: Iterable[Evaluation]) -> dict[int, Evaluation]:
    """What each candidate stands at: its fittest evaluation over all workloads, the first of equals, right ones first.

    Of evaluations of the same configuration the latest counts, as it does in the store.
    """
    latest: dict[tuple[int, str], Evaluation] = {}
    for one in sorted(evaluations, key=lambda one: one.id):
        if one.workload == ALL_WORKLOADS:
            latest[one.candidate, str(sorted(one.configuration.items()))] = one
    best: dict[int, Evaluation] = {}
    for one in latest.values():
        held = best.get(one.candidate)
        if held is None or _rank(one) > _rank(held):
            best[one.candidate] = one
    return best


def _rank(evaluation: Evaluation) -> tuple[bool, float]:
    return evaluation.outcome.right, evaluation.fitness or 0.0


def _gain(child: Evaluation, parent: Evaluation) -> tuple[float | None, float]:
    measured = child.outcome is Outcome.CORRECT and parent.outcome is Outcome.CORRECT
    if not (measured and child.fitness and parent.fitness) or child.source != parent.source:
        return None, 0.0
    spread = math.hypot(_uncertainty(child.profile), _uncertainty(parent.profile))
    return child.fitness / parent.fitness, spread


def _uncertainty(profile: Mapping[str, Any]) -> float:
    """Half the widest interval of the paired comparisons that a fitness rests on, relative to the ratio."""
    paired: Sequence[Any] = [timing.get("paired") for timing in profile.get("timings") or ()]
    widths = [
        (one["high"] - one["low"]) / (2 * one["ratio"]) for one in paired if one and one.get("ratio") and "low" in one
    ]
    return max(widths, default=0.0)
