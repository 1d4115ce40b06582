"""What an evaluation says: plain data, for stores, reports and proposers."""

from __future__ import annotations

__all__ = ["CheckSummary", "Evaluation", "Stage", "Timing"]

import enum
import statistics
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from kernelevolve.accelerator import Source
from kernelevolve.evaluation.measure import Comparison
from kernelevolve.kernel import Value
from kernelevolve.outcome import Outcome


class Stage(enum.StrEnum):
    """The pipeline's stages, cheapest question first."""

    GATE = "gate"
    COMPILE = "compile"
    CHECK = "check"
    SCREEN = "screen"
    CONFIRM = "confirm"
    DONE = "done"


@frozen
class Timing:
    """Raw samples of one kernel on one workload, in seconds per run of its plan."""

    workload: str
    samples: tuple[float, ...]
    source: Source
    #: The host clock around the same launches.
    host: tuple[float, ...] = ()
    #: Runs of the plan within one sample.
    launches: int = 1
    #: Whether caches were evicted before each sample.
    flushed: bool = False
    #: Paired with the incumbent of that moment.
    paired: Comparison | None = None

    @property
    def seconds(self) -> float:
        """The median sample."""
        return statistics.median(self.samples)


@frozen
class CheckSummary:
    """What was checked: cases run, cases the kernel does not serve, cases left out (for lack of time, or since the
    configuration is not faster than what it was measured against), and whether repeated runs gave the same bytes.
    """

    passed: int = 0
    unserved: int = 0
    skipped: int = 0
    planned: int = 0
    deterministic: bool = True


@frozen
class Evaluation:
    """Everything measured about one kernel in one configuration on one device."""

    outcome: Outcome
    #: The stage that decided: where it failed, or the last one that ran.
    stage: Stage
    message: str = ""
    details: Mapping[str, Any] = field(factory=dict, hash=False)
    configuration: Mapping[str, Value] = field(factory=dict, hash=False)
    checks: CheckSummary = CheckSummary()
    timings: tuple[Timing, ...] = ()
    #: Baseline time / kernel time, geometric mean over workloads; 0 unless right and timed.
    fitness: float = 0.0
    resources: Mapping[str, Mapping[str, int]] = field(factory=dict, hash=False)
    #: Achieved bandwidth and arithmetic, the bottleneck's sentence.
    profile: Mapping[str, Any] = field(factory=dict, hash=False)
    #: The compiled stages by name, as the toolchain gave them for the first workload.
    stages: Mapping[str, bytes] = field(factory=dict, hash=False, repr=False)
    #: Wall seconds per stage.
    spent: Mapping[str, float] = field(factory=dict, hash=False)

    def timing(self, workload: str) -> Timing | None:
        """The timing on one workload, if it was taken."""
        return next((timing for timing in self.timings if timing.workload == workload), None)
