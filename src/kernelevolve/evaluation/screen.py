"""The screen: a first look, then as many paired rounds with the anchor as a candidate is worth.

Fitness is never a chain of ratios: what beats the anchor is measured against the baseline itself, and a gain over the
anchor that the samples do not prove counts by the lower end of its interval. So a lucky sample cannot become a record.
"""

from __future__ import annotations

__all__ = ["Anchor", "Screen", "exact", "launches_within", "on_one_clock", "same_clock"]

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from kernelevolve.accelerator import Realm, Sample, Source
from kernelevolve.evaluation.measure import Comparison, Protocol, compare_paired, median_interval, repeated
from kernelevolve.evaluation.profile import plausibility_floor
from kernelevolve.evaluation.records import Timing
from kernelevolve.evaluation.runner import Contestant
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.outcome import Implausible, Unstable
from kernelevolve.problem import Workload

if TYPE_CHECKING:
    from kernelevolve.evaluation.pipeline import Evaluator

#: How often a candidate is timed within a sample at most, to lengthen very short ones.
MAX_LAUNCHES: Final = 1000
#: How often a paired screen that looks better and proves nothing gets as many rounds again.
_HELPINGS: Final = 2


@frozen
class Anchor:
    """A kernel that candidates are paired with: the seed at first, then the best that was proved better."""

    kernel: Kernel
    configuration: Configuration
    #: Its own fitness against the baseline.
    fitness: float
    #: Its median seconds by workload label.
    seconds: Mapping[str, float]
    source: Source


@frozen
class _Pair:
    """A candidate's samples and those of another from the same rounds."""

    ours: Sequence[Sample]
    theirs: Sequence[Sample]
    resolution: float
    #: Whether the clock has shown no noise; then there is one sample for each set of inputs.
    exact: bool = False

    @property
    def comparison(self) -> Comparison:
        """How much faster the candidate is."""
        return compare_paired(_seconds(self.theirs), _seconds(self.ours), resolution=self.resolution)

    def with_more(self, other: _Pair) -> _Pair:
        """These and further rounds."""
        return evolve(self, ours=[*self.ours, *other.ours], theirs=[*self.theirs, *other.theirs])


class Screen:
    """One candidate's timing on every workload of a run."""

    def __init__(
        self,
        owner: Evaluator,
        kernel: Kernel,
        configuration: Configuration,
        anchor: Anchor | None,
        baseline: Anchor | None,
    ) -> None:
        self._owner, self._kernel, self._configuration = owner, kernel, configuration
        self._anchor, self._baseline = anchor, baseline
        self._protocol: Protocol = owner.settings.protocol
        #: What the device says of where the time goes, by workload.
        self.profiles: dict[str, Mapping[str, Any]] = {}

    def run(self) -> tuple[tuple[Timing, ...], float]:
        """Timings by workload, and the fitness. Raises `Implausible`, `Unstable`, `WrongResult`, and what a run may."""
        timings = tuple(self._time(workload) for workload in self._owner.workloads)
        self._check_clocks(timings)
        return timings, self._fitness(timings)

    def _check_clocks(self, timings: Sequence[Timing]) -> None:
        """A fitness is made of times of one clock; where a device's own failed at some workload there is none."""
        clocks = {timing.source for timing in timings}
        if self._anchor is not None and any(timing.paired is None for timing in timings):
            clocks.add(self._anchor.source)
        if len(clocks) > 1:
            listed = ", ".join(sorted(clocks))
            raise Unstable(f"the times come from several clocks ({listed}), so they cannot be compared", spread=None)

    def _fitness(self, timings: Sequence[Timing]) -> float:
        anchor, baseline = self._anchor, self._baseline
        if anchor is None or baseline is None:
            return 1.0
        paired = [timing.paired for timing in timings]
        if all(one is not None and one.low > 1 for one in paired):
            if baseline is anchor:
                return anchor.fitness * _mean([one.ratio for one in paired if one])
            return baseline.fitness * _mean([self._against(baseline, workload) for workload in self._owner.workloads])
        gains = [
            _proved(timing.paired) if timing.paired else anchor.seconds[timing.workload] / timing.seconds
            for timing in timings
        ]
        return anchor.fitness * _mean(gains)

    def _against(self, baseline: Anchor, workload: Workload) -> float:
        """The paired ratio to the baseline on one workload."""
        owner = self._owner
        contestant = owner.contestant(self._kernel, self._configuration, workload)
        other = owner.anchored(baseline)[workload.label]
        try:
            rounds = self._protocol.rounds_within(baseline.seconds[workload.label])
            return self._pair(contestant, other, rounds, 1, helpings=0).comparison.ratio
        finally:
            self._leave(contestant)

    def _time(self, workload: Workload) -> Timing:
        owner = self._owner
        contestant = owner.contestant(self._kernel, self._configuration, workload)
        other = owner.anchored(self._anchor)[workload.label] if self._anchor else None
        try:
            owner.runner.enter(contestant)
            look, launches = self._first_look(contestant)
            self._plausible(workload, look)
            if other is None or other.name == contestant.name:
                timing = self._alone(workload, contestant, look, launches)
            elif self._far_behind(workload, look):
                timing = self._timing(workload, look, launches)
            else:
                timing = self._paired(workload, contestant, other, look, launches)
            owner.verify(contestant, workload)  # first: a profile may run the kernel again, on poisoned outputs
            self.profiles[workload.label] = owner.runner.profile(contestant)
            return timing
        finally:
            self._leave(contestant)

    def _leave(self, contestant: Contestant) -> None:
        if not self._owner.is_anchored(contestant):
            self._owner.runner.leave(contestant)

    def _first_look(self, contestant: Contestant) -> tuple[list[Sample], int]:
        """A few samples, and how many runs one sample needs to be long enough."""
        runner, protocol, rng = self._owner.runner, self._protocol, self._owner.rng
        warm = runner.rounds([contestant], max(1, protocol.warmup), rng, flush=False)[contestant.name]
        launches = launches_within(warm, protocol.short)
        look = runner.rounds([contestant], protocol.first_look, rng, flush=protocol.flush, launches=launches)
        return look[contestant.name], launches

    def _far_behind(self, workload: Workload, look: Sequence[Sample]) -> bool:
        second = sorted(sample.seconds for sample in look)[1 if len(look) > 1 else 0]
        return self._anchor is not None and second > self._protocol.far_behind * self._anchor.seconds[workload.label]

    def _alone(self, workload: Workload, contestant: Contestant, look: Sequence[Sample], launches: int) -> Timing:
        """No one to be paired with: the median of more samples, more again while they say too little."""
        inputs = len(contestant.rotations)
        if exact(look, inputs):
            return self._timing(workload, look[:inputs], launches)
        samples, rounds = list(look), self._protocol.rounds_within(launches * look[0].seconds)
        for _ in range(2):
            samples += self._owner.runner.rounds(
                [contestant], rounds, self._owner.rng, flush=self._protocol.flush, launches=launches
            )[contestant.name]
            if _uncertainty(samples) <= self._protocol.unstable:
                break
        self._stable(workload, samples)
        return self._timing(workload, samples, launches)

    def _paired(
        self, workload: Workload, contestant: Contestant, other: Contestant, look: Sequence[Sample], launches: int
    ) -> Timing:
        assert self._anchor is not None
        fastest = min(sample.seconds for sample in look)
        rounds = self._protocol.rounds_within(launches * (self._anchor.seconds[workload.label] + fastest))
        pair = self._pair(contestant, other, rounds, launches, helpings=_HELPINGS)
        self._plausible(workload, pair.ours)
        if not pair.exact:
            self._stable(workload, pair.ours)
        return evolve(self._timing(workload, pair.ours, launches), paired=pair.comparison)

    def _pair(self, contestant: Contestant, other: Contestant, rounds: int, launches: int, *, helpings: int) -> _Pair:
        """Paired rounds, and as many again while they look better and prove nothing; few where a clock has no noise."""
        inputs = len(contestant.rotations)
        if self._owner.device.realm is Realm.EMULATED:
            pair = self._rounds(contestant, other, 2 * inputs, launches)
            if exact(pair.ours, inputs) and exact(pair.theirs, inputs):
                return _Pair(pair.ours[:inputs], pair.theirs[:inputs], resolution=0.0, exact=True)
        pair = self._rounds(contestant, other, rounds, launches)
        for _ in range(helpings):
            if _uncertainty(pair.ours) <= self._protocol.unstable and not self._open(pair.comparison):
                break
            pair = pair.with_more(self._rounds(contestant, other, rounds, launches))
        return pair

    def _open(self, comparison: Comparison) -> bool:
        """Better by more than noise as it looks, and not proved: worth more rounds."""
        return comparison.low <= 1 and comparison.ratio > 1 + self._protocol.resolution

    def _rounds(self, contestant: Contestant, other: Contestant, rounds: int, launches: int) -> _Pair:
        """Paired rounds of the candidate and another, on one clock."""
        found = self._owner.runner.rounds(
            [contestant, other], rounds, self._owner.rng, flush=self._protocol.flush, launches=launches
        )
        both = on_one_clock([*found[contestant.name], *found[other.name]])
        return _Pair(both[:rounds], both[rounds:], self._protocol.resolution)

    def _plausible(self, workload: Workload, samples: Sequence[Sample]) -> None:
        floor = plausibility_floor(self._owner.problem, self._owner.device, workload)
        # The median: a driver's clock gives single samples that are nonsense, and outputs are verified after timing.
        measured = statistics.median(_seconds(samples))
        if measured < floor:
            message = f"{measured:.3g} s on {workload.label}; the device cannot do it in less than {floor:.3g} s"
            raise Implausible(message, measured=measured, floor=floor)

    def _stable(self, workload: Workload, samples: Sequence[Sample]) -> None:
        found = _uncertainty(samples)
        if found > self._protocol.unstable:
            message = f"the median of {len(samples)} samples on {workload.label} is uncertain by {found:.0%}"
            raise Unstable(message, spread=found)

    def _timing(self, workload: Workload, samples: Sequence[Sample], launches: int) -> Timing:
        one = on_one_clock(samples)
        return Timing(
            workload=workload.label,
            samples=tuple(_seconds(one)),
            source=same_clock(one),
            host=tuple(sample.host_seconds for sample in one if sample.host_seconds is not None),
            launches=launches,
            flushed=self._protocol.flush,
        )


def launches_within(samples: Sequence[Sample], short: float) -> int:
    """How often to launch within a sample so that it takes `short` seconds; a count of cycles is never too short."""
    if {sample.source for sample in samples} == {Source.EMULATED_CYCLES}:
        return 1
    return min(MAX_LAUNCHES, max(1, math.ceil(short / min(sample.seconds for sample in samples))))


def exact(samples: Sequence[Sample], inputs: int) -> bool:
    """Whether these are counted cycles, the same each time that a set of inputs comes round: a clock without noise."""
    return {sample.source for sample in samples} == {Source.EMULATED_CYCLES} and repeated(_seconds(samples), inputs)


def on_one_clock(samples: Sequence[Sample]) -> list[Sample]:
    """The samples as they are, or all on the host clock where the device's gave out for some of them.

    Raises `Implausible` where no one clock saw them all: times of different origin are never compared.
    """
    if len({sample.source for sample in samples}) == 1:
        return list(samples)
    if any(sample.host_seconds is None for sample in samples):
        listed = " and ".join(sorted({sample.source for sample in samples}))
        raise Implausible(f"times from different clocks ({listed}) cannot be compared", measured=None, floor=None)
    return [
        evolve(sample, seconds=sample.host_seconds, source=Source.HOST_WALL)
        for sample in samples
        if sample.host_seconds is not None
    ]


def same_clock(samples: Sequence[Sample]) -> Source:
    """The one source of all samples."""
    (source,) = {sample.source for sample in samples}
    return source


def _uncertainty(samples: Sequence[Sample]) -> float:
    """Half the width of the median's interval, relative to the median."""
    middle, low, high = median_interval(_seconds(samples))
    return (high - low) / 2 / middle


def _proved(comparison: Comparison) -> float:
    """A loss as it was measured; a gain only as far as the interval proves it."""
    return comparison.ratio if comparison.ratio <= 1 else max(1.0, comparison.low)


def _mean(ratios: Sequence[float]) -> float:
    return math.exp(math.fsum(math.log(ratio) for ratio in ratios) / len(ratios))


def _seconds(samples: Sequence[Sample]) -> list[float]:
    return [sample.seconds for sample in samples]
