"""What the verbs return, as plain data and as JSON values."""

from __future__ import annotations

__all__ = ["Choice", "Evaluated", "RunResult", "confirmation_record", "result_record"]

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from kernelevolve.accelerator import Device
from kernelevolve.evaluation.confirm import Confirmation
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import Configuration, Kernel


@frozen
class Evaluated:
    """What `evaluate` found."""

    evaluation: Evaluation
    problem: str
    device: Device
    #: One per workload, where the kernel was right and had something to be compared with.
    confirmations: tuple[Confirmation, ...] = ()


@frozen
class Choice:
    """What is best on one workload: a row of the table that dispatches by workload."""

    workload: str
    candidate: int
    configuration: Configuration = field(hash=False)
    #: The confirmed paired ratio to the seed; 1.0 where the seed itself is best.
    speedup: float


@frozen
class RunResult:
    """What a run came to."""

    run: str
    reason: str
    #: The winner's number in the run, its kernel and configuration.
    best: int
    kernel: Kernel
    configuration: Configuration = field(hash=False)
    confirmations: tuple[Confirmation, ...]
    #: The best candidate and configuration for each workload.
    table: tuple[Choice, ...]
    #: Geometric mean over workloads of the confirmed paired ratios to the seed; 1.0 where the seed itself is best; None
    #: where the device has no clock.
    speedup: float | None
    evaluations: int
    candidates: int
    outcomes: Mapping[str, int] = field(hash=False)
    #: Evaluations by the stage they ended at.
    stages: Mapping[str, int] = field(hash=False)
    device: Device
    seconds: float


def result_record(result: RunResult) -> dict[str, Any]:
    """The result as JSON values: what the store keeps and ``--json`` prints."""
    return {
        "run": result.run,
        "reason": result.reason,
        "best": result.best,
        "configuration": dict(result.configuration),
        "speedup": result.speedup,
        "table": [unstructure(choice) for choice in result.table],
        "evaluations": result.evaluations,
        "candidates": result.candidates,
        "outcomes": dict(result.outcomes),
        "stages": dict(result.stages),
        "device": result.device.label,
        "realm": result.device.realm,
        "seconds": result.seconds,
        "confirmations": [confirmation_record(one) for one in result.confirmations],
    }


def confirmation_record(one: Confirmation) -> dict[str, Any]:
    """A confirmation as JSON values, raw samples included."""
    return {
        "workload": one.workload,
        "timings": {name: unstructure(timing) for name, timing in one.timings.items()},
        "comparisons": [
            {"baseline": baseline, "side": side, **unstructure(comparison)}
            for (baseline, side), comparison in one.comparisons.items()
        ],
        "eager": unstructure(one.eager) if one.eager else None,
        "eager_description": one.eager_description,
    }
