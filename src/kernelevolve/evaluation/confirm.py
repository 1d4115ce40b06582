"""The last stage, for the few best: fresh process, fresh secret inputs, everything interleaved in random order.

Rounds go on until the interval of every paired ratio against the first side is tight, or the time is up. Outputs are
verified after timing, and the engine's own clock is a witness to what the worker claims.
"""

from __future__ import annotations

__all__ = ["Confirmation", "Side", "SideError", "confirm"]

import random
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import field, frozen

from kernelevolve.accelerator import Sample, Source
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.casebook import CaseBook, PreparedCase
from kernelevolve.evaluation.check import verify
from kernelevolve.evaluation.eager import Eager
from kernelevolve.evaluation.measure import Comparison, Protocol, compare_paired, settled
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.records import Timing
from kernelevolve.evaluation.runner import Contestant
from kernelevolve.evaluation.screen import exact, launches_within, on_one_clock, same_clock
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.outcome import CandidateError, Implausible
from kernelevolve.problem import Workload

#: Sets of secret inputs, each with its own seed.
ROTATIONS: Final = 3
#: The engine's clock may see this much more than the worker claims before the claim is not believed...
_WITNESS_FACTOR: Final = 3.0
#: Runs that the witness watches, and how often it looks again before it objects (a busy host can delay one look).
_WITNESSED: Final = 10
_TRIES: Final = 3
#: ...beyond the cost of one request and of one launch on a slow driver (seconds).
_REQUEST_COST: Final = 0.02
_LAUNCH_COST: Final = 0.002


@frozen
class Side:
    """One kernel in the ring."""

    name: str
    kernel: Kernel
    configuration: Configuration


@frozen
class Confirmation:
    """Times and paired ratios of every side on one workload."""

    workload: str
    timings: Mapping[str, Timing] = field(hash=False)
    #: ``(baseline, side)`` → how much faster `side` is. Against eager both sides are on the host clock.
    comparisons: Mapping[tuple[str, str], Comparison] = field(hash=False)
    #: The host-clock times of eager PyTorch, where it took part.
    eager: Timing | None = None
    eager_description: str = ""


def confirm(
    evaluator: Evaluator,
    workload: Workload,
    sides: Sequence[Side],
    *,
    baselines: Sequence[str],
    eager: bool = False,
    protocol: Protocol | None = None,
) -> Confirmation:
    """Measure `sides` against each other on `workload`; every other side is compared with each of `baselines`.

    Raises `SideError` for a side that turns out wrong or implausible here: the others can be confirmed without it.
    """
    ring = _Ring(evaluator, workload, sides, protocol or evaluator.settings.protocol, eager=eager)
    evaluator.release_anchors()
    evaluator.worker.stop()
    with evaluator.alone():
        ring.warm_up()
        ring.sample_until_settled(baselines)
        ring.verify()
    return ring.result(baselines)


class SideError(Exception):
    """One side failed where it had passed before; `error` says how."""

    def __init__(self, side: str, error: CandidateError) -> None:
        self.side, self.error = side, error
        super().__init__(f"{side}: {error.message}")


@contextmanager
def _blaming(side: str) -> Iterator[None]:
    try:
        yield
    except CandidateError as error:
        raise SideError(side, error) from error


class _Ring:
    def __init__(
        self, evaluator: Evaluator, workload: Workload, sides: Sequence[Side], protocol: Protocol, *, eager: bool
    ) -> None:
        self.evaluator, self.workload, self.protocol = evaluator, workload, protocol
        book = CaseBook(evaluator.problem, secrets.randbits(63), limit_bytes=0, dtypes=evaluator.device.dtypes)
        self.book = book
        self.cases: Sequence[PreparedCase] = book.rotations(workload, ROTATIONS)
        staged = tuple(case.staged for case in self.cases)
        plans = {side.name: evaluator.gate.plan(side.kernel, side.configuration, workload) for side in sides}
        self.contestants = {name: Contestant(f"confirm/{name}", plan, staged) for name, plan in plans.items()}
        self.samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
        self.eager: Eager | None = None
        if eager and evaluator.device.host_threads:
            flush = 2 * evaluator.device.memory.get("cache", 0)
            self.eager = Eager(book.run_reference, threads=evaluator.device.host_threads, flush_bytes=flush)
        self.eager_samples: list[Sample] = []
        self.launches = 1
        #: The smallest difference that means anything.
        self.resolution = self.protocol.resolution
        self.rng = random.Random(secrets.randbits(63))

    def warm_up(self) -> None:
        runner = self.evaluator.runner
        warm: list[Sample] = []
        for name, contestant in self.contestants.items():
            with _blaming(name):
                samples, _ = runner.sample([(contestant, turn) for turn in range(ROTATIONS)], flush=False)
                warm += samples
        self.launches = launches_within(warm, self.protocol.short)
        if self.eager:
            self.eager.warm_up(self.cases)
        for name, contestant in self.contestants.items():
            with _blaming(name):
                self._witness(name, contestant)

    def _witness(self, name: str, contestant: Contestant) -> None:
        """Compare the worker's claim with the engine's clock around the same launches, caches warm."""
        overhead = _REQUEST_COST + _LAUNCH_COST * _WITNESSED * len(contestant.plan.launches)
        claimed = wall = 0.0
        for _ in range(_TRIES):
            samples, wall = self.evaluator.runner.sample([(contestant, 0)], flush=False, launches=_WITNESSED)
            claimed = samples[0].seconds * _WITNESSED
            if samples[0].source not in (Source.DEVICE_EVENT, Source.HOST_WALL):
                return
            if 0.9 * claimed <= wall <= _WITNESS_FACTOR * claimed + overhead:
                return
        message = (
            f"{name}: the worker claims {claimed:.3g} s for {_WITNESSED} runs and the engine's clock saw {wall:.3g} s"
        )
        raise Implausible(message, measured=claimed, floor=wall)

    def sample_until_settled(self, baselines: Sequence[str]) -> None:
        deadline = time.monotonic() + self.protocol.seconds * max(1, len(self.samples) + bool(self.eager) - 1)
        turn = 0
        while True:
            self._round(turn)
            turn += 1
            if turn == 2 * ROTATIONS and self._exact():
                return
            enough = turn >= self.protocol.confirm_rounds
            if enough and (time.monotonic() > deadline or self._settled(baselines)):
                return
            if (
                time.monotonic() > 3 * self.protocol.seconds + deadline
            ):  # very slow sides: fewer rounds, wider intervals
                return

    def _round(self, turn: int) -> None:
        """Every side once, in random order; eager runs here, the others in the worker."""
        names: list[str | None] = [*self.samples, *([None] if self.eager else [])]
        self.rng.shuffle(names)
        place = names.index(None) if None in names else len(names)
        self._in_worker([name for name in names[:place] if name], turn)
        if self.eager:
            case = self.cases[turn % ROTATIONS]
            self.eager_samples.append(self.eager.sample(case, flush=self.protocol.flush))
        self._in_worker([name for name in names[place:] if name], turn)

    def _in_worker(self, names: Sequence[str], turn: int) -> None:
        if not names:
            return
        turns = [(self.contestants[name], turn) for name in names]
        samples, _ = self.evaluator.runner.sample(turns, flush=self.protocol.flush, launches=self.launches)
        for name, sample in zip(names, samples, strict=True):
            self.samples[name].append(sample)

    def _exact(self) -> bool:
        """Whether no clock has shown noise; then one sample for each set of inputs is kept, and none more is needed."""
        if self.eager or not all(exact(samples, ROTATIONS) for samples in self.samples.values()):
            return False
        self.samples = {name: samples[:ROTATIONS] for name, samples in self.samples.items()}
        self.resolution = 0.0
        return True

    def _settled(self, baselines: Sequence[str]) -> bool:
        precision, least = self.protocol.precision, self.protocol.confirm_rounds
        return all(
            settled(_seconds(self.samples[baseline]), _seconds(ours), precision=precision, least=least)
            for baseline in baselines
            for name, ours in self.samples.items()
            if name != baseline
        )

    def verify(self) -> None:
        runner = self.evaluator.runner
        for name, contestant in self.contestants.items():
            with _blaming(name):
                for rotation, case in enumerate(self.cases):
                    verify(runner, contestant.plan, case, contestant.handle(rotation))
            runner.leave(contestant)

    def result(self, baselines: Sequence[str]) -> Confirmation:
        self._agree_on_a_clock()
        if same_clock(next(iter(self.samples.values()))) is Source.ANALYTIC:
            raise KernelEvolveError("these times come from a formula; they rank candidates and are no speed-up")
        limit = self.resolution
        comparisons = {
            (baseline, name): compare_paired(_seconds(self.samples[baseline]), _seconds(ours), resolution=limit)
            for baseline in baselines
            for name, ours in self.samples.items()
            if name != baseline
        }
        if self.eager_samples:
            theirs = _seconds(self.eager_samples)
            for name, ours in self.samples.items():
                comparisons["eager", name] = compare_paired(theirs, _host(ours), resolution=limit)
        return Confirmation(
            workload=self.workload.label,
            timings={name: self._timing(samples) for name, samples in self.samples.items()},
            comparisons=comparisons,
            eager=self._timing(self.eager_samples) if self.eager_samples else None,
            eager_description=self.eager.description if self.eager else "",
        )

    def _agree_on_a_clock(self) -> None:
        everything = on_one_clock([sample for samples in self.samples.values() for sample in samples])
        for name, samples in self.samples.items():
            self.samples[name], everything = everything[: len(samples)], everything[len(samples) :]

    def _timing(self, samples: Sequence[Sample]) -> Timing:
        return Timing(
            workload=self.workload.label,
            samples=tuple(_seconds(samples)),
            source=same_clock(samples),
            host=tuple(_host(samples)),
            launches=samples[0].launches,
            flushed=self.protocol.flush,
        )


def _seconds(samples: Sequence[Sample]) -> list[float]:
    return [sample.seconds for sample in samples]


def _host(samples: Sequence[Sample]) -> list[float]:
    return [sample.host_seconds or sample.seconds for sample in samples]
