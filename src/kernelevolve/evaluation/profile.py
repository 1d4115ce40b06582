"""What a time means: achieved bandwidth and arithmetic, the plausibility floor, and a sentence on the bottleneck."""

from __future__ import annotations

__all__ = ["describe", "plausibility_floor"]

from collections.abc import Mapping, Sequence
from typing import Any

from kernelevolve.accelerator import Device, Realm
from kernelevolve.evaluation.records import Timing
from kernelevolve.problem import Problem, Workload


def plausibility_floor(problem: Problem, device: Device, workload: Workload) -> float:
    """Seconds below which no kernel can be: ``max(compulsory bytes / peak bandwidth, operations / peak rate)``.

    0 where the device's peaks are unknown. Williams et al., "Roofline", 2009. A discrete device's peak is that of its
    memory, so what its last cache may hold back of the traffic (written and not yet evicted) is left out.
    """
    if device.peaks is None:
        return 0.0
    floors = [0.0]
    if device.peaks.bytes_per_second:
        discrete = device.realm is Realm.HARDWARE and device.host_threads is None
        held = device.memory.get("cache", 0) if discrete else 0
        floors.append(max(0, problem.compulsory_bytes(workload) - held) / device.peaks.bytes_per_second)
    operations = problem.operation_count(workload)
    if operations and device.peaks.operations_per_second:
        floors.append(operations / device.peaks.operations_per_second)
    return max(floors)


def describe(
    problem: Problem,
    timings: Sequence[Timing],
    workloads: Sequence[Workload],
    told: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Achieved rates per workload, the bottleneck in one sentence, and under ``device`` what the device has `told`.

    Compulsory traffic counts each input read once and each output written once, so a kernel that re-reads its inputs is
    charged for it.
    """
    rates: dict[str, dict[str, float]] = {}
    for workload, timing in zip(workloads, timings, strict=True):
        moved = problem.compulsory_bytes(workload)
        rate = {"bytes_per_second": moved / timing.seconds, "compulsory_bytes": float(moved)}
        operations = problem.operation_count(workload)
        if operations:
            rate |= {"operations_per_second": operations / timing.seconds, "intensity": operations / moved}
        rates[workload.label] = rate
    slowest = max(timings, key=lambda timing: timing.seconds)
    known = {label: dict(profile) for label, profile in (told or {}).items() if profile}
    reason = str(known.get(slowest.workload, {}).get("bottleneck", ""))
    found: dict[str, Any] = {"rates": rates, "bottleneck": _sentence(rates[slowest.workload], slowest, reason)}
    return found | ({"device": known} if known else {})


def _sentence(rate: dict[str, float], timing: Timing, reason: str) -> str:
    text = f"{timing.workload}: {rate['bytes_per_second'] / 1e9:.1f} GB/s of compulsory traffic"
    if "operations_per_second" in rate:
        text += f", {rate['operations_per_second'] / 1e9:.1f} Gop/s"
    if reason:
        return f"{text}; {reason}"
    launch_bound = 20e-6
    if timing.seconds < launch_bound:
        return f"{text}; so short that the launch itself is most of it"
    return text
