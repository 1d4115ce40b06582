"""Fitness: how many times faster than the baseline, over all workloads; a number only where a clock is behind it."""

from __future__ import annotations

__all__ = ["IncomparableTimesError", "Timing", "estimate", "fitness", "speedup"]

import math
from collections.abc import Mapping

from attrs import Attribute, field, frozen

from kernelevolve.accelerator import Realm, Source
from kernelevolve.errors import KernelEvolveError
from kernelevolve.outcome import Outcome


class IncomparableTimesError(KernelEvolveError):
    """Times whose ratio would mean nothing: another clock, another realm, another set of workloads."""


def _positive(_instance: object, attribute: Attribute[float], value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        message = f"Timing.{attribute.name} is {value!r}; a time is a finite number of seconds above 0"
        raise ValueError(message)


@frozen
class Timing:
    """One time, with its origin: seconds per run of the plan."""

    seconds: float = field(validator=_positive)
    source: Source
    realm: Realm


def fitness(outcome: Outcome, times: Mapping[str, Timing], baseline: Mapping[str, Timing]) -> float:
    """`speedup` for a CORRECT kernel; 0 for any other outcome, whatever its times. Raises as `speedup`."""
    return speedup(times, baseline) if outcome is Outcome.CORRECT else 0.0


def speedup(times: Mapping[str, Timing], baseline: Mapping[str, Timing]) -> float:
    """Geometric mean over workloads of baseline time / kernel time.

    The geometric mean, because it is the only mean of ratios whose ranking does not depend on which kernel is the
    baseline (Fleming and Wallace, "How not to lie with statistics", 1986). Raises `IncomparableTimesError` where the
    two do not cover the same workloads, where any two times differ in source or realm, and for times from a formula.
    """
    _refuse_analytic(times, baseline)
    return _geometric_mean_of_ratios(times, baseline)


def estimate(times: Mapping[str, Timing], baseline: Mapping[str, Timing]) -> float:
    """`speedup` that takes times from a formula too: to rank and to prune with, never to report."""
    return _geometric_mean_of_ratios(times, baseline)


def _geometric_mean_of_ratios(times: Mapping[str, Timing], baseline: Mapping[str, Timing]) -> float:
    _check_workloads(times, baseline)
    _check_origins(times, baseline)
    logs = [math.log(baseline[label].seconds) - math.log(timing.seconds) for label, timing in sorted(times.items())]
    return math.exp(math.fsum(logs) / len(logs))


def _check_workloads(times: Mapping[str, Timing], baseline: Mapping[str, Timing]) -> None:
    if not times:
        raise IncomparableTimesError("no times; a speed-up needs the time of at least one workload")
    for one, other, who, whose in ((baseline, times, "kernel", "baseline"), (times, baseline, "baseline", "kernel")):
        missing = sorted(one.keys() - other.keys())
        if missing:
            message = f"the {who} has no time for workload {missing[0]!r}, which the {whose} has; time both on the same"
            raise IncomparableTimesError(message)


def _check_origins(times: Mapping[str, Timing], baseline: Mapping[str, Timing]) -> None:
    origins = {(timing.source, timing.realm) for timing in (*times.values(), *baseline.values())}
    if len(origins) > 1:
        listed = ", ".join(sorted(f"{source} on {realm}" for source, realm in origins))
        message = f"times of different origin do not compare ({listed}); time kernel and baseline with one clock"
        raise IncomparableTimesError(message)


def _refuse_analytic(times: Mapping[str, Timing], baseline: Mapping[str, Timing]) -> None:
    if any(timing.source is Source.ANALYTIC for timing in (*times.values(), *baseline.values())):
        raise IncomparableTimesError("a time from a formula is no speed-up; use it to rank (`estimate`), or measure")
