"""Figures out of the GPU benchmark's records: what was promised, what was measured, and whether it holds.

Records are what ``python -m benchmarks.gpu`` writes. Nothing here measures, and nothing is filled in: what was not
measured is said to be so.
"""

from __future__ import annotations

__all__ = ["Figures", "Measured", "Orientation", "Target"]

import enum
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

Record = Mapping[str, Any]


class Metric(enum.StrEnum):
    """What a target bounds."""

    MICROSECONDS = "microseconds"
    """Of the best right kernel."""
    OVER_TORCH = "over-torch"
    """Paired ratio to PyTorch's fastest right implementation, eager or compiled."""
    OVER_EAGER = "over-eager"
    """The same, to the fastest eager one: the vendor's library."""
    OF_COPY = "of-copy"
    """Percent of the measured copy bandwidth that the compulsory bytes come to."""
    MEAN = "mean"
    """Geometric mean of OVER_TORCH over the suite, one workload of each problem."""
    LEAST = "least"
    """The smallest of them."""
    MEAN_AS_WRITTEN = "mean-as-written"
    """Geometric mean over the suite of ratios to the fastest of the problem's reference alone, eager or compiled:
    without the formulas that a person rewrote for PyTorch (its baselines)."""
    CONFIGURATIONS = "configurations"
    """Configurations of one kernel a second."""
    KERNELS = "kernels"
    """New kernels a second."""
    WARMTH = "warmth"
    """Percent by which a warm worker differs from fresh processes, at most."""


@frozen
class Target:
    """A bound that was set beforehand."""

    name: str
    metric: Metric
    #: ``>=`` or ``<=``.
    relation: str
    value: float
    unit: str
    problem: str = ""
    axes: Mapping[str, int] = field(factory=dict, hash=False)
    dtype: str = ""
    accelerator: str = "triton-cuda"


@frozen
class Orientation:
    """What somebody measured elsewhere: to compare with, never counted as ours."""

    problem: str
    axes: Mapping[str, int] = field(hash=False)
    dtype: str
    who: str
    microseconds: float


@frozen
class Measured:
    """A target's figure; None where it was not measured, or what was measured does not decide it."""

    value: float | None
    note: str = ""
    #: Measured, and nothing right came of it: no bound is kept.
    failed: bool = False

    def holds(self, target: Target) -> bool | None:
        """Whether the bound is kept; None where that is not known."""
        if self.value is None:
            return False if self.failed else None
        return self.value >= target.value if target.relation == ">=" else self.value <= target.value


class Figures:
    """The records of one results document, and what follows from them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.runs: Mapping[str, Any] = document["runs"]
        self.records: Sequence[Record] = document["records"]

    def of_kind(self, kind: str) -> list[Record]:
        """Records of one kind, by key."""
        return sorted((one for one in self.records if one["kind"] == kind), key=lambda one: str(one["key"]))

    def find(self, problem: str, axes: Mapping[str, int], dtype: str, accelerator: str) -> Record | None:
        """The table's record of one workload on one accelerator."""
        return next(
            (
                one
                for one in self.of_kind("table")
                if (one["problem"], one["dtype"], one["accelerator"]) == (problem, dtype, accelerator)
                and dict(one["axes"]) == dict(axes)
            ),
            None,
        )

    def copy_bandwidth(self, device: str) -> float | None:
        """Bytes a second of the measured copy on a device."""
        rates = [float(one["bytes_per_second"]) for one in self._ceilings(device) if one["problem"] == "copy"]
        return max(rates, default=None)

    def _ceilings(self, device: str) -> Iterator[Record]:
        return (one for one in self.of_kind("environment") if one["device"] == device and "error" not in one)

    def floor(self, record: Record) -> float | None:
        """Seconds that the roofline sets: max(compulsory bytes / measured copy, operations / datasheet's dense rate).

        None where the copy was not measured. Williams et al., "Roofline", 2009.
        """
        copy = self.copy_bandwidth(record["device"])
        if copy is None:
            return None
        rate = record["operations_per_second"]
        arithmetic = float(record["operations"] / rate) if rate and record["operations"] else 0.0
        return max(float(record["bytes"] / copy), arithmetic)

    def measured(self, target: Target) -> Measured:
        """The target's figure."""
        match target.metric:
            case Metric.MEAN | Metric.LEAST | Metric.MEAN_AS_WRITTEN:
                return self._over_the_suite(target)
            case Metric.CONFIGURATIONS | Metric.KERNELS:
                return self._throughput(target)
            case Metric.WARMTH:
                return self._warmth(target)
            case _:
                return self._of_one(target)

    def _of_one(self, target: Target) -> Measured:
        record = self.find(target.problem, target.axes, target.dtype, target.accelerator)
        if record is None:
            return Measured(None)
        name = fastest(record)
        if name is None:
            return Measured(None, why_not(record), failed=True)
        seconds = record["kernels"][name]["seconds"]
        match target.metric:
            case Metric.MICROSECONDS:
                return Measured(seconds * 1e6)
            case Metric.OF_COPY:
                copy = self.copy_bandwidth(record["device"])
                return Measured(100 * record["bytes"] / seconds / copy if copy else None, "" if copy else "no copy")
            case Metric.OVER_EAGER:
                return _ratio(record, name, best_eager(record))
            case _:
                return _ratio(record, name, record["best_torch"])

    def suite(self, accelerator: str) -> list[Record]:
        """The first workload of each problem on one accelerator."""
        return [one for one in self.of_kind("table") if one["accelerator"] == accelerator and one.get("headline")]

    def _over_the_suite(self, target: Target) -> Measured:
        problems = {one["problem"] for kind in ("table", "candidates", "evolve") for one in self.of_kind(kind)}
        ratios, failed = {}, False
        for record in self.suite(target.accelerator):
            name = fastest(record)
            failed = failed or name is None
            as_written = target.metric is Metric.MEAN_AS_WRITTEN
            other = best_as_written(record) if as_written else record["best_torch"]
            found = _ratio(record, name, other) if name else Measured(None)
            if found.value is not None:
                ratios[record["problem"]] = found.value
        missing = sorted(problems - set(ratios))
        if missing or not ratios:
            note = f"{len(ratios)} of {len(problems)} problems; without {', '.join(missing) or 'any'}"
            return Measured(None, note, failed=failed)
        if target.metric is Metric.LEAST:
            worst = min(ratios, key=lambda name: ratios[name])
            return Measured(ratios[worst], worst)
        return Measured(math.exp(math.fsum(map(math.log, ratios.values())) / len(ratios)), f"{len(ratios)} problems")

    def _throughput(self, target: Target) -> Measured:
        part = "configurations" if target.metric is Metric.CONFIGURATIONS else "new_kernels"
        found = [
            (one[part]["per_second"], one["workload"])
            for one in self.of_kind("throughput")
            if one["accelerator"] == target.accelerator and "error" not in one
        ]
        if not found:
            return Measured(None)
        value, workload = max(found)
        return Measured(value, workload)

    def _warmth(self, target: Target) -> Measured:
        found = [
            (100 * abs(one["ratio"] - 1), f"{one['problem']} {one['workload']}")
            for one in self.of_kind("warmth")
            if one["accelerator"] == target.accelerator and "error" not in one
        ]
        if not found:
            return Measured(None)
        value, where = max(found)
        return Measured(value, f"the worst of {len(found)}: {where}")


def fastest(record: Record) -> str | None:
    """The side of a table's record that is right to the end, and fastest; None where there is none."""
    right = {
        name: timing["seconds"]
        for name, timing in record.get("kernels", {}).items()
        if record["evaluated"][name]["outcome"] == "CORRECT"
    }
    return min(right, key=lambda name: right[name], default=None)


def best_eager(record: Record) -> str | None:
    """The fastest right eager implementation."""
    return _fastest_torch(record, lambda name: name.partition(":")[0] == "eager")


def best_as_written(record: Record) -> str | None:
    """The fastest right implementation of the problem's reference itself, eager or compiled."""
    return _fastest_torch(record, lambda name: ":" not in name)


def _fastest_torch(record: Record, counts: Callable[[str], bool]) -> str | None:
    right = {
        name: one["seconds"] for name, one in record.get("torch", {}).items() if counts(name) and not one["difference"]
    }
    return min(right, key=lambda name: right[name], default=None)


def paired(record: Record, kernel: str, implementation: str | None) -> Record | None:
    """The comparison of one side with one implementation."""
    return next(
        (one for one in record.get("ratios", ()) if (one["kernel"], one["implementation"]) == (kernel, implementation)),
        None,
    )


def why_not(record: Record) -> str:
    """Why a record has no time: what its kernels ended as."""
    outcomes = [f"{name}: {one['outcome']}" for name, one in record.get("evaluated", {}).items()]
    return record.get("error") or record.get("ring_error") or "; ".join(outcomes) or "no kernel"


def _ratio(record: Record, kernel: str, implementation: str | None) -> Measured:
    found = paired(record, kernel, implementation)
    if found is None:
        return Measured(None, "no right implementation in PyTorch to compare with")
    return Measured(found["ratio"], f"{implementation}, [{found['low']:.3g}, {found['high']:.3g}]")
