"""From what the pipeline measured to what the store keeps."""

from __future__ import annotations

__all__ = ["anchor_of", "becomes_anchor", "evaluation_record", "median", "proposed"]

import math
from collections.abc import Sequence
from typing import Any

from kernelevolve.accelerator import Source
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.evaluation.records import Evaluation as Measured
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.evolution.descriptors import describe, limited_by
from kernelevolve.evolution.proposal import Proposal
from kernelevolve.evolution.search import Propose
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import CandidateError, Outcome
from kernelevolve.registry import language
from kernelevolve.store import Candidate, Evaluation, Store, WorkloadTimes


def evaluation_record(
    store: Store,
    run: str,
    number: int,
    kernel: Kernel,
    measured: Measured,
    evaluator: Evaluator,
    anchor: Anchor | None,
    seconds: float,
) -> Evaluation:
    """The record of one evaluation; artifacts are kept of those that set a record, the others can be compiled again."""
    times = {
        timing.workload: WorkloadTimes(timing.samples, timing.source, "paired" if timing.paired else "screen")
        for timing in measured.timings
    }
    sets_record = becomes_anchor(measured, anchor)
    profile = {
        **unstructure(measured.profile),
        "resources": unstructure(measured.resources),
        "checks": unstructure(measured.checks),
        "spent": dict(measured.spent),
        "timings": [_timing_record(timing) for timing in measured.timings],
        "anchor": sets_record,
    }
    artifacts = {name: store.artifacts.put(blob) for name, blob in measured.stages.items()} if sets_record else {}
    return Evaluation(
        run=run,
        candidate=number,
        stage=measured.stage,
        outcome=measured.outcome,
        configuration=dict(measured.configuration),
        message=measured.message,
        details=unstructure(dict(measured.details)),
        times=times,
        fitness=measured.fitness,
        descriptor=_cell(kernel, measured, evaluator),
        profile=profile,
        seconds=seconds,
        artifacts=artifacts,
    )


def proposed(run: str, action: Propose, proposal: Proposal, normal_form: str, asked: str = "") -> Candidate:
    """The record of a proposed kernel, not numbered yet; `asked` is the id under which it was asked for outside."""
    usage = proposal.usage
    told: dict[str, Any] = {
        "predicted": proposal.predicted,
        "bottleneck": proposal.bottleneck,
        "draft": action.draft,
        "asked": asked,
    }
    if usage is not None:
        told |= {"model": usage.model, "calls": usage.calls, "tokens": usage.tokens, "dollars": usage.dollars}
    return Candidate(
        run=run,
        operator=proposal.operator,
        parents=proposal.parents or (action.choice.parent,),
        note=proposal.note,
        memory=action.memory,
        island=action.choice.island,
        normal_form=normal_form,
        proposal={name: value for name, value in told.items() if value},
    )


def anchor_of(kernel: Kernel, evaluation: Evaluation) -> Anchor:
    """What later candidates are paired with: a kernel, as it was recorded."""
    return Anchor(
        kernel=kernel,
        configuration=evaluation.configuration,
        fitness=evaluation.fitness or 0.0,
        seconds={label: median(times.seconds) for label, times in evaluation.times.items()},
        source=evaluation.source or Source.HOST_WALL,
    )


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else math.fsum(ordered[middle - 1 : middle + 1]) / 2


def becomes_anchor(measured: Measured, anchor: Anchor | None) -> bool:
    """Whether later candidates are paired with it.

    The first right one; then whatever beats the anchor in every paired interval, not by a lucky sample.
    """
    if measured.outcome is not Outcome.CORRECT:
        return False
    if anchor is None:
        return True
    paired = [timing.paired for timing in measured.timings]
    better = all(one is not None and one.low > 1 for one in paired)
    return better and measured.fitness > anchor.fitness


def _cell(kernel: Kernel, measured: Measured, evaluator: Evaluator) -> tuple[int, ...] | None:
    workload = evaluator.workloads[0]
    try:
        plan = evaluator.gate.plan(kernel, measured.configuration, workload)
        source = language(kernel.language).normalize(kernel.body)
    except CandidateError:
        return None
    rate = measured.profile.get("rates", {}).get(workload.label, {})
    moved, operations = rate.get("bytes_per_second"), rate.get("operations_per_second")
    bound = limited_by(moved, operations, evaluator.device.peaks)
    return describe(plan, source=source, resources=measured.resources, bound=bound).cell


def _timing_record(timing: Any) -> dict[str, Any]:
    record = unstructure(timing)
    record.pop("samples")  # kept once, in the evaluation's times
    assert isinstance(record, dict)
    return record
