"""What the subcommands write of kernels, PyTorch and the comparison between them, as JSON values."""

from __future__ import annotations

__all__ = ["anchor_of", "evaluation_record", "median_seconds", "timing_record", "versus_record", "workload_record"]

import math
from typing import Any

from benchmarks.gpu.datasheet import rate_of
from kernelevolve.accelerator import Device
from kernelevolve.evaluation.pipeline import Anchor
from kernelevolve.evaluation.records import Evaluation, Timing
from kernelevolve.evaluation.versus import Versus
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload


def workload_record(problem: Problem, workload: Workload, device: Device) -> dict[str, Any]:
    """What a roofline needs: compulsory bytes, operations, and the datasheet's rate for the element type."""
    dtype, rate = rate_of(device.name, problem, workload)
    return {
        "problem": problem.name,
        "workload": workload.label,
        "axes": dict(workload.axes),
        "dtype": dtype,
        "bytes": problem.compulsory_bytes(workload),
        "operations": problem.operation_count(workload),
        "operations_per_second": rate,
    }


def evaluation_record(found: Evaluation, kernel: Kernel, origin: str) -> dict[str, Any]:
    """A kernel's outcome, what it was checked on and what it takes."""
    return {
        "origin": origin,
        "digest": kernel.digest,
        "language": kernel.language,
        "configuration": dict(found.configuration),
        "outcome": found.outcome,
        "stage": found.stage,
        "message": "" if found.outcome.right else found.message[:500],
        "checks": unstructure(found.checks),
        "resources": unstructure(dict(found.resources)),
        "spent": dict(found.spent),
    }


def timing_record(timing: Timing) -> dict[str, Any]:
    """Raw samples in seconds, their median, and their clock."""
    return {
        "seconds": timing.seconds,
        "source": timing.source,
        "launches": timing.launches,
        "flushed": timing.flushed,
        "samples": list(timing.samples),
        "host": list(timing.host) if timing.host and timing.host != timing.samples else None,
    }


def versus_record(found: Versus) -> dict[str, Any]:
    """Kernels and implementations in one ring: times, paired ratios, and what took no part."""
    return {
        "kernels": {name: timing_record(timing) for name, timing in found.kernels.items()},
        "torch": {
            name: {**timing_record(timing), **found.built.get(name, {}), "difference": found.differences.get(name)}
            for name, timing in found.torch.items()
        },
        "torch_failures": dict(found.failures),
        "torch_settings": dict(found.settings),
        "best_torch": found.best,
        "ratios": [
            {"implementation": implementation, "kernel": name, **unstructure(comparison)}
            for (implementation, name), comparison in found.comparisons.items()
        ],
    }


def anchor_of(kernel: Kernel, found: Evaluation) -> Anchor | None:
    """A right kernel as one that others are paired with; None for any other."""
    if found.outcome is not Outcome.CORRECT:
        return None
    seconds = {timing.workload: timing.seconds for timing in found.timings}
    return Anchor(kernel, found.configuration, found.fitness, seconds, found.timings[0].source)


def median_seconds(found: Evaluation) -> float:
    """Geometric mean over workloads of the medians; infinity where there are none."""
    logs = [math.log(timing.seconds) for timing in found.timings]
    return math.exp(math.fsum(logs) / len(logs)) if logs and found.outcome is Outcome.CORRECT else math.inf
