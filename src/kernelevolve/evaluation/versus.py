"""Kernels against PyTorch: paired samples from two processes, in random order, on the same secret inputs.

A round takes one sample of every kernel (in the candidates' worker, a fresh process) and of every implementation (in
the baselines' process), on one set of inputs, each after a flush. While one process is timed the other one waits, so
that they share the device and never at once.
"""

from __future__ import annotations

__all__ = ["Versus", "versus"]

import random
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import field, frozen

from kernelevolve.accelerator import Sample, Source
from kernelevolve.evaluation.casebook import CaseBook, PreparedCase
from kernelevolve.evaluation.check import verify
from kernelevolve.evaluation.confirm import ROTATIONS, Side, SideError
from kernelevolve.evaluation.measure import Comparison, Protocol, compare_paired, settled
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.records import Timing
from kernelevolve.evaluation.runner import Contestant
from kernelevolve.evaluation.screen import MAX_LAUNCHES, on_one_clock, same_clock
from kernelevolve.evaluation.torch_baseline import TorchBaseline
from kernelevolve.outcome import CandidateError
from kernelevolve.problem import Workload


@frozen
class Versus:
    """Kernels and PyTorch's implementations on one workload."""

    workload: str
    #: By side's name, and by implementation; each on its best clock.
    kernels: Mapping[str, Timing] = field(hash=False)
    torch: Mapping[str, Timing] = field(hash=False)
    #: ``(implementation, side)`` → how much faster `side` is, both on one clock.
    comparisons: Mapping[tuple[str, str], Comparison] = field(hash=False)
    #: Why an implementation took no part, and how the results of one that did differ from the oracle.
    failures: Mapping[str, str] = field(hash=False)
    differences: Mapping[str, str] = field(hash=False)
    #: What PyTorch said of each implementation (compile seconds, graphs), and of its settings.
    built: Mapping[str, Mapping[str, Any]] = field(hash=False)
    settings: Mapping[str, str] = field(hash=False)

    @property
    def best(self) -> str | None:
        """The fastest implementation whose results are right: the one that a kernel has to beat."""
        right = [name for name in self.torch if name not in self.differences]
        return min(right, key=lambda name: self.torch[name].seconds, default=None)


def versus(
    evaluator: Evaluator,
    workload: Workload,
    sides: Sequence[Side],
    torch: TorchBaseline,
    reference: str,
    *,
    implementations: Sequence[str] | None = None,
    cases: Sequence[PreparedCase] = (),
    protocol: Protocol | None = None,
) -> Versus:
    """Measure `sides` against PyTorch's `implementations` (default: all) until the ratios are tight or time is up.

    `reference` is how PyTorch's process finds the evaluator's problem: its name, or ``/path/to/file.py:name``. `cases`
    are inputs that no candidate has seen (default: made here). Raises `SideError` for a kernel that fails; an
    implementation that does is out, and the result says why.
    """
    if not cases:
        book = CaseBook(evaluator.problem, secrets.randbits(63), limit_bytes=0, dtypes=evaluator.device.dtypes)
        cases = book.rotations(workload, ROTATIONS)
    evaluator.release_anchors()
    evaluator.worker.stop()
    ring = _Ring(evaluator, workload, sides, torch, cases, protocol or evaluator.settings.protocol)
    torch.enter(reference, evaluator.problem, cases, implementations)
    ring.warm_up()
    ring.sample_until_settled()
    differences = ring.verify()
    return ring.result(differences)


@contextmanager
def _blaming(side: str) -> Iterator[None]:
    try:
        yield
    except CandidateError as error:
        raise SideError(side, error) from error


class _Ring:
    def __init__(
        self,
        evaluator: Evaluator,
        workload: Workload,
        sides: Sequence[Side],
        torch: TorchBaseline,
        cases: Sequence[PreparedCase],
        protocol: Protocol,
    ) -> None:
        self.evaluator, self.workload, self.torch, self.cases = evaluator, workload, torch, cases
        self.protocol = protocol
        staged = tuple(case.staged for case in cases)
        plans = {side.name: evaluator.gate.plan(side.kernel, side.configuration, workload) for side in sides}
        self.contestants = {name: Contestant(f"versus/{name}", plan, staged) for name, plan in plans.items()}
        self.kernels: dict[str, list[Sample]] = {side.name: [] for side in sides}
        self.theirs: dict[str, list[Sample]] = {}
        self.launches = 1
        self.rng = random.Random(secrets.randbits(63))

    def warm_up(self) -> None:
        """Everything once on every case; how many runs one sample needs to be long enough."""
        self.theirs = {name: [] for name in self.torch.implementations}
        turns = range(len(self.cases))
        samples: list[Sample] = []
        for name, contestant in self.contestants.items():
            with _blaming(name):
                found, _ = self.evaluator.runner.sample([(contestant, turn) for turn in turns], flush=False)
                samples += found
        for name in self.torch.implementations:
            samples += [sample for turn in turns if (sample := self._rival(name, turn, flush=False))]
        shortest = min(sample.seconds for sample in samples)
        self.launches = min(MAX_LAUNCHES, max(1, round(self.protocol.short / shortest)))

    def _rival(self, name: str, turn: int, *, flush: bool) -> Sample | None:
        """A sample of one implementation; None from the moment on that it fails."""
        if name not in self.theirs:
            return None
        try:
            return self.torch.sample(name, turn, flush=flush, launches=self.launches)
        except CandidateError:  # the baseline keeps the reason
            del self.theirs[name]
            return None

    def sample_until_settled(self) -> None:
        """As many rounds as the protocol asks for; more while a ratio is not tight and there is time."""
        deadline = time.monotonic() + self.protocol.seconds * (len(self.kernels) + len(self.theirs) - 1)
        turn = 0
        while True:
            self._round(turn)
            turn += 1
            late = time.monotonic() - deadline
            if turn >= self.protocol.confirm_rounds and (late > 0 or self._settled()):
                return
            if late > 3 * self.protocol.seconds:  # very slow sides: fewer rounds, wider intervals
                return

    def _round(self, turn: int) -> None:
        names = [*self.kernels, *self.theirs]
        self.rng.shuffle(names)
        for name in names:
            if name in self.kernels:
                with _blaming(name):
                    found, _ = self.evaluator.runner.sample(
                        [(self.contestants[name], turn)], flush=self.protocol.flush, launches=self.launches
                    )
                self.kernels[name] += found
            elif sample := self._rival(name, turn, flush=self.protocol.flush):
                self.theirs[name].append(sample)

    def _settled(self) -> bool:
        precision, least = self.protocol.precision, self.protocol.confirm_rounds
        pairs = [_on_one_clock(theirs, ours) for theirs in self.theirs.values() for ours in self.kernels.values()]
        return all(settled(theirs, ours, precision=precision, least=least) for theirs, ours in pairs)

    def verify(self) -> dict[str, str]:
        """Judge what the last runs left: kernels are out if it is wrong; implementations' differences are returned."""
        runner = self.evaluator.runner
        for name, contestant in self.contestants.items():
            with _blaming(name):
                for rotation, case in enumerate(self.cases):
                    verify(runner, contestant.plan, case, contestant.handle(rotation))
            runner.leave(contestant)
        return self.torch.verify()

    def result(self, differences: Mapping[str, str]) -> Versus:
        """Timings and paired ratios."""
        limit = self.protocol.resolution
        return Versus(
            workload=self.workload.label,
            kernels={name: self._timing(samples) for name, samples in self.kernels.items()},
            torch={name: self._timing(samples) for name, samples in self.theirs.items()},
            comparisons={
                (implementation, name): compare_paired(*_on_one_clock(theirs, ours), resolution=limit)
                for implementation, theirs in self.theirs.items()
                for name, ours in self.kernels.items()
            },
            failures=dict(self.torch.failures),
            differences=dict(differences),
            built=dict(self.torch.built),
            settings=dict(self.torch.settings),
        )

    def _timing(self, samples: Sequence[Sample]) -> Timing:
        one = on_one_clock(samples)
        return Timing(
            workload=self.workload.label,
            samples=tuple(sample.seconds for sample in one),
            source=same_clock(one),
            host=tuple(sample.host_seconds for sample in one if sample.host_seconds is not None),
            launches=samples[0].launches,
            flushed=self.protocol.flush,
        )


def _on_one_clock(theirs: Sequence[Sample], ours: Sequence[Sample]) -> tuple[list[float], list[float]]:
    """Both on the clock they share: the device's events, else the host's. Raises `Implausible` where there is none."""
    both = on_one_clock([*theirs, *ours])
    if same_clock(both) is Source.ANALYTIC:
        raise ValueError("times from a formula rank candidates and are no speed-up")
    seconds = [sample.seconds for sample in both]
    return seconds[: len(theirs)], seconds[len(theirs) :]
