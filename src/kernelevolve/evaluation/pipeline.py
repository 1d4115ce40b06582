"""The pipeline: gate, compile, check, screen; cheapest question first, and a candidate stops at its first failure.

`Evaluator` is one problem on one device. It owns the worker, the secret cases and the incumbent that candidates are
paired with. `kernelevolve.evaluation.confirm` is the last stage, for the few best.
"""

from __future__ import annotations

__all__ = ["Anchor", "Evaluator", "Settings"]

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from attrs import evolve, frozen

from kernelevolve.accelerator import Accelerator, Artifact, Device, Realm, Sample, Source
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.casebook import CaseBook, PreparedCase
from kernelevolve.evaluation.check import check_case, verify
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.measure import Protocol, compare_paired, spread
from kernelevolve.evaluation.profile import describe, plausibility_floor
from kernelevolve.evaluation.records import CheckSummary, Evaluation, Stage, Timing
from kernelevolve.evaluation.runner import Contestant, Runner, Staged
from kernelevolve.kernel import Configuration, Kernel, configuration_label
from kernelevolve.outcome import CandidateError, ConstraintViolated, Implausible, Outcome, Unstable
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import Problem, Workload

#: How many sets of inputs timed launches rotate over: every sample finds other contents than the one before.
ROTATIONS = 2
#: How often a candidate is timed within a sample at most, to lengthen very short ones.
MAX_LAUNCHES = 1000


@frozen
class Settings:
    """How candidates are evaluated."""

    limits: Limits = Limits()
    protocol: Protocol = Protocol()
    #: Bytes of inputs and outputs of one check case, at most.
    check_bytes: int = 16 << 20


@frozen
class Anchor:
    """The kernel that candidates are paired with: the incumbent, or the seed at first."""

    kernel: Kernel
    configuration: Configuration
    #: Its own fitness against the baseline.
    fitness: float
    #: Its median seconds by workload label.
    seconds: Mapping[str, float]
    source: Source


class Evaluator:
    """Evaluates kernels for one problem on one device. A context manager: leaving it stops the worker.

    `secret` seeds the inputs of this run and is shown to nobody; `path` is how a worker imports the accelerator.
    """

    def __init__(
        self,
        problem: Problem,
        made: Accelerator,
        device: Device,
        *,
        workloads: Sequence[Workload],
        path: str,
        settings: Settings | None = None,
        cache: CompileCache | None = None,
        secret: int,
    ) -> None:
        self.problem, self.device, self.workloads = problem, device, tuple(workloads)
        self.settings = settings or Settings()
        self.worker = Worker(made, device, path=path, limits=self.settings.limits)
        self.runner = Runner(self.worker, device.target, cache or CompileCache())
        self.book = CaseBook(problem, secret, limit_bytes=self.settings.check_bytes, dtypes=device.dtypes)
        self.gate = Gate(problem, device.facts, memory=device.memory.get("global"))
        self._rng = random.Random(secret)
        self._anchored: tuple[Anchor, dict[str, Contestant]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.stop()

    def warm_up(self) -> None:
        """Start the worker and compute the oracle before the first candidate, so that neither counts as its time."""
        self.worker.start()
        if not self.computes:
            return
        for case in self.book.checks():
            case.expected  # noqa: B018  # computed on first use
        for workload in self.workloads:
            self.book.rotations(workload, ROTATIONS)

    def evaluate(
        self, kernel: Kernel, configuration: Configuration | None = None, anchor: Anchor | None = None
    ) -> Evaluation:
        """Judge one kernel in one configuration. Never raises for what a candidate does.

        Paired with `anchor` where there is one; without, the candidate is the baseline itself and its fitness is 1.
        """
        chosen = dict(configuration) if configuration is not None else kernel.default
        return _Evaluation(self, kernel, chosen, anchor).run()

    @property
    def computes(self) -> bool:
        """Whether the device computes results at all; a recording has times, and its word on correctness."""
        return self.device.realm is not Realm.REPLAY

    def contestant(self, kernel: Kernel, configuration: Configuration, workload: Workload) -> Contestant:
        """`kernel` ready to be timed on `workload`."""
        plan = self.gate.plan(kernel, configuration, workload)
        name = f"{kernel.digest}/{configuration_label(configuration)}/{workload.label}"
        cases = self.book.rotations(workload, ROTATIONS) if self.computes else ()
        return Contestant(name, plan, tuple(case.staged for case in cases) or (Staged("recorded", {}),))

    def anchored(self, anchor: Anchor) -> dict[str, Contestant]:
        """The anchor's contestants by workload, kept prepared until another anchor comes."""
        if self._anchored is None or self._anchored[0] != anchor:
            self.release_anchor()
            ring = {w.label: self.contestant(anchor.kernel, anchor.configuration, w) for w in self.workloads}
            self._anchored = (anchor, ring)
        return self._anchored[1]

    def release_anchor(self) -> None:
        """Give back the anchor's buffers."""
        for contestant in self._anchored[1].values() if self._anchored else ():
            self.runner.leave(contestant)
        self._anchored = None

    def verify(self, contestant: Contestant, workload: Workload) -> None:
        """Judge what the last timed launches left. Raises `WrongResult`, `InputModified` or `OutOfBounds`."""
        for rotation, case in enumerate(self.book.rotations(workload, ROTATIONS) if self.computes else ()):
            verify(self.runner, contestant.plan, case, contestant.handle(rotation))


class _Evaluation:
    """One pass through the pipeline: the state that its stages share."""

    def __init__(self, owner: Evaluator, kernel: Kernel, configuration: Configuration, anchor: Anchor | None) -> None:
        self.owner, self.kernel, self.configuration, self.anchor = owner, kernel, configuration, anchor
        self.stage = Stage.GATE
        self.spent: dict[str, float] = {}
        self.checks = CheckSummary()
        self.timings: list[Timing] = []
        self.fitness = 0.0
        self.profile: dict[str, Any] = {}
        self.plans: dict[str, LaunchPlan] = {}
        self.artifact: Artifact | None = None
        #: The best of the first look at the workload that is being timed, seconds.
        self._look = 0.0

    def run(self) -> Evaluation:
        try:
            for stage, work in self._stages():
                with self._within(stage):
                    work()
        except CandidateError as error:
            return self._result(error.outcome, error.message, error.details)
        if not self.owner.device.realm.has_clock:
            return self._result(Outcome.UNMEASURED, "right; this device has no clock", {})
        return self._result(Outcome.CORRECT, str(self.profile.get("bottleneck", "")), {})

    def _stages(self) -> Iterator[tuple[Stage, Callable[[], None]]]:
        yield Stage.GATE, self._gate
        yield Stage.COMPILE, self._compile
        if self.owner.computes:
            yield Stage.CHECK, self._check
        if self.owner.device.realm.has_clock:
            yield Stage.SCREEN, self._screen

    @contextmanager
    def _within(self, stage: Stage) -> Iterator[None]:
        self.stage = stage
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.spent[stage] = time.perf_counter() - begin

    def _result(self, outcome: Outcome, message: str, details: Mapping[str, Any]) -> Evaluation:
        return Evaluation(
            outcome=outcome,
            stage=self.stage,
            message=message,
            details=dict(details),
            configuration=dict(self.configuration),
            checks=self.checks,
            timings=tuple(self.timings),
            fitness=self.fitness if outcome is Outcome.CORRECT else 0.0,
            resources=self.artifact.resources if self.artifact else {},
            profile=self.profile,
            spent=dict(self.spent),
        )

    def _gate(self) -> None:
        self.owner.gate.admit(self.kernel)
        for workload in self.owner.workloads:
            self.plans[workload.label] = self.owner.gate.plan(self.kernel, self.configuration, workload)

    def _compile(self) -> None:
        for plan in self.plans.values():
            _, self.artifact = self.owner.runner.program(plan)

    def _check(self) -> None:
        cases = self.owner.book.checks()
        self.checks = CheckSummary(planned=len(cases))
        for index, case in enumerate(cases):
            try:
                plan = self.owner.gate.plan(self.kernel, self.configuration, case.workload)
            except ConstraintViolated:  # a specialised kernel: it says itself that it does not serve this size
                self.checks = evolve(self.checks, unserved=self.checks.unserved + 1)
                continue
            same = check_case(self.owner.runner, plan, case, repeat=self._repeats(index, case))
            self.checks = evolve(
                self.checks, passed=self.checks.passed + 1, deterministic=self.checks.deterministic and same
            )

    def _repeats(self, index: int, case: PreparedCase) -> bool:
        """Run twice: the first case, and every one with odd sizes (where remainders live)."""
        return index == 0 or any(size % 2 for size in case.workload.axes.values())

    def _screen(self) -> None:
        logs: list[float] = []
        for workload in self.owner.workloads:
            timing = self._time(workload)
            self.timings.append(timing)
            if self.anchor is not None:
                before = self.anchor.seconds[workload.label]
                logs.append(math.log(timing.paired.ratio if timing.paired else before / timing.seconds))
        gain = math.exp(sum(logs) / len(logs)) if logs else 1.0
        self.fitness = gain * (self.anchor.fitness if self.anchor else 1.0)
        self.profile = describe(self.owner.problem, self.timings, self.owner.workloads)

    def _time(self, workload: Workload) -> Timing:
        owner, protocol = self.owner, self.owner.settings.protocol
        contestant = owner.contestant(self.kernel, self.configuration, workload)
        anchored = owner.anchored(self.anchor)[workload.label] if self.anchor else None
        itself = anchored is not None and anchored.name == contestant.name
        try:
            owner.runner.enter(contestant)
            look, launches = self._first_look(contestant, protocol)
            self._plausible(workload, look)
            self._look = min(sample.seconds for sample in look)
            timing = _timing(workload, look, launches, flushed=protocol.flush)
            if anchored is None or itself:
                more = self._more(contestant, protocol, launches)
                timing = _timing(workload, look + more, launches, flushed=protocol.flush)
            elif not self._far_behind(workload, look, protocol):
                timing = self._paired(workload, contestant, anchored, protocol, launches)
            owner.verify(contestant, workload)
            _stable(timing, protocol)
            return timing
        finally:
            if not itself:
                owner.runner.leave(contestant)

    def _first_look(self, contestant: Contestant, protocol: Protocol) -> tuple[list[Sample], int]:
        runner, rng = self.owner.runner, self.owner._rng  # noqa: SLF001  # one class in two halves
        warm = runner.rounds([contestant], max(1, protocol.warmup), rng, flush=False)
        shortest = min(sample.seconds for sample in warm[contestant.name])
        launches = min(MAX_LAUNCHES, max(1, math.ceil(protocol.short / shortest)))
        found = runner.rounds([contestant], protocol.first_look, rng, flush=protocol.flush, launches=launches)
        return found[contestant.name], launches

    def _more(self, contestant: Contestant, protocol: Protocol, launches: int) -> list[Sample]:
        rng = self.owner._rng  # noqa: SLF001
        found = self.owner.runner.rounds(
            [contestant],
            protocol.rounds_within(launches * self._look),
            rng,
            flush=protocol.flush,
            launches=launches,
        )
        return found[contestant.name]

    def _far_behind(self, workload: Workload, look: Sequence[Sample], protocol: Protocol) -> bool:
        second = sorted(sample.seconds for sample in look)[1 if len(look) > 1 else 0]
        return self.anchor is not None and second > protocol.far_behind * self.anchor.seconds[workload.label]

    def _paired(
        self, workload: Workload, contestant: Contestant, anchored: Contestant, protocol: Protocol, launches: int
    ) -> Timing:
        rng = self.owner._rng  # noqa: SLF001
        assert self.anchor is not None
        rounds = protocol.rounds_within(launches * (self.anchor.seconds[workload.label] + self._look))
        found = self.owner.runner.rounds([contestant, anchored], rounds, rng, flush=protocol.flush, launches=launches)
        ours, theirs = found[contestant.name], found[anchored.name]
        same_clock([*ours, *theirs])
        comparison = compare_paired(
            [s.seconds for s in theirs], [s.seconds for s in ours], resolution=protocol.resolution
        )
        self._plausible(workload, ours)
        return evolve(_timing(workload, ours, launches, flushed=protocol.flush), paired=comparison)

    def _plausible(self, workload: Workload, samples: Sequence[Sample]) -> None:
        floor = plausibility_floor(self.owner.problem, self.owner.device, workload)
        fastest = min(sample.seconds for sample in samples)
        if fastest < floor:
            message = f"{fastest:.3g} s on {workload.label}; the device cannot do it in less than {floor:.3g} s"
            raise Implausible(message, measured=fastest, floor=floor)


def same_clock(samples: Sequence[Sample]) -> Source:
    """The one source of all samples. Raises `Implausible` where clocks were mixed: such times are never compared."""
    sources = {sample.source for sample in samples}
    if len(sources) > 1:
        listed = " and ".join(sorted(sources))
        raise Implausible(f"times from different clocks ({listed}) cannot be compared", measured=None, floor=None)
    return sources.pop()


def _stable(timing: Timing, protocol: Protocol) -> None:
    found = spread(timing.samples)
    if found > protocol.unstable:
        message = f"samples on {timing.workload} spread over {found:.0%} of their median (interquartile range)"
        raise Unstable(message, spread=found)


def _timing(workload: Workload, samples: Sequence[Sample], launches: int, *, flushed: bool) -> Timing:
    return Timing(
        workload=workload.label,
        samples=tuple(sample.seconds for sample in samples),
        source=same_clock(samples),
        host=tuple(sample.host_seconds for sample in samples if sample.host_seconds is not None),
        launches=launches,
        flushed=flushed,
    )
