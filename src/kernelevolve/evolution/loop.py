"""The loop: ask the search what next, propose or tune, evaluate, record, learn.

Every record is a checkpoint. What is in the store after a kill is all that a resumed run needs; an evaluation that was
under way is simply done again, since nothing of it was recorded.
"""

from __future__ import annotations

__all__ = ["Evolution", "Progress", "Reason"]

import heapq
import math
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from kernelevolve.accelerator import Realm, Source
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.evaluation.records import Evaluation as Measured
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.evolution.budget import Ledger, Remaining
from kernelevolve.evolution.descriptors import describe, limited_by
from kernelevolve.evolution.proposal import Parent, ProposalRequest, Proposer
from kernelevolve.evolution.search import Propose, Search, Tune
from kernelevolve.kernel import Configuration, Kernel, parse_kernel, render_kernel
from kernelevolve.outcome import CandidateError, Outcome
from kernelevolve.plan import serves, violated
from kernelevolve.problem import Problem, Workload
from kernelevolve.registry import language
from kernelevolve.store import Candidate, Evaluation, EventKind, Run, Store, WorkloadTimes

#: How often the seed is evaluated again where the samples say too little.
_SEED_TRIES = 3
#: Points of the curve that a progress display gets at most.
_SHOWN = 1000
#: Why a run ended, in words.
Reason = str


@frozen
class Progress:
    """A look at a run under way."""

    #: What is happening now, in a few words.
    activity: str
    evaluations: int
    candidates: int
    outcomes: Mapping[str, int] = field(hash=False)
    best: int | None
    #: None where the device has no clock.
    best_fitness: float | None
    remaining: Remaining
    #: Best fitness after each evaluation.
    curve: tuple[float, ...] = field(repr=False, default=())


Observer = Callable[[Progress], None]


class Evolution:
    """One run in progress."""

    def __init__(
        self,
        *,
        store: Store,
        run: Run,
        problem: Problem,
        workloads: tuple[Workload, ...],
        evaluator: Evaluator,
        proposer: Proposer,
        search: Search,
        ledger: Ledger,
        observer: Observer = lambda _: None,
    ) -> None:
        self.store, self.run, self.problem, self.workloads = store, run, problem, workloads
        self.evaluator, self.proposer, self.search, self.ledger = evaluator, proposer, search, ledger
        self.observer = observer
        #: Whether times exist here; without them the run collects right kernels and prefers none.
        self.ranked = evaluator.device.realm.has_clock
        self.anchor: Anchor | None = None
        #: The seed, measured.
        self.baseline: Anchor | None = None
        self.outcomes: Counter[str] = Counter()
        #: Best fitness after each evaluation.
        self.curve = array("d")
        self.candidates = 0

    # --- rebuilding

    def rebuild(self) -> None:
        """Learn everything that the store holds of this run, in the order in which it happened."""
        candidates = self.store.candidates(self.run.id)
        declines = deque(self.store.events(self.run.id, EventKind.DECLINED))
        for evaluation in self.store.evaluations(self.run.id):
            while declines and declines[0].data["evaluations"] <= self.search.evaluations:
                self._replay_decline(declines.popleft().data)
            # Candidates are first evaluated in the order of their numbers, so that one pass over them is enough.
            fresh = evaluation.candidate not in self.search.archive
            self._learn(next(candidates) if fresh else self._known(evaluation.candidate), evaluation)
        for event in declines:
            self._replay_decline(event.data)
        self.candidates = len(self.search.archive) + len(self.store.pending(self.run.id))

    def _known(self, number: int) -> Candidate:
        """A candidate that is in the archive, for `_learn`, which asks no more of it than its number."""
        return Candidate(run=self.run.id, operator="", number=number)

    def _replay_decline(self, data: Mapping[str, Any]) -> None:
        self.search.declined(data["operator"], data["parent"], data["seconds"])

    def _learn(self, candidate: Candidate, evaluation: Evaluation) -> None:
        fitness = evaluation.fitness or 0.0
        if not self.ranked:  # right is all that a kernel can be here: one standing for all of them, shown to nobody
            fitness = float(evaluation.outcome.right)
        cost = evaluation.seconds if self.evaluator.device.realm is Realm.HARDWARE else 1.0
        self.search.evaluated(
            candidate, evaluation.configuration, fitness, descriptor=evaluation.descriptor, seconds=cost
        )
        self.outcomes[evaluation.outcome] += 1
        if evaluation.profile.get("anchor"):
            self.anchor = self._anchor_of(evaluation)
            self.baseline = self.baseline or self.anchor
        if self.ranked:
            self.curve.append(max(fitness, self.curve[-1] if self.curve else 0.0))

    def _anchor_of(self, evaluation: Evaluation) -> Anchor:
        seconds = {label: _median(times.seconds) for label, times in evaluation.times.items()}
        return Anchor(
            kernel=self.search.archive.kernel(evaluation.candidate),
            configuration=evaluation.configuration,
            fitness=evaluation.fitness or 0.0,
            seconds=seconds,
            source=evaluation.source or Source.HOST_WALL,
        )

    # --- the loop

    def search_until_done(self) -> Reason:
        """Run until the budget ends or nothing is left to try; why it ended, in words.

        Raises `CandidateError` where the seed itself is not right: nothing can be compared with it.
        """
        for number in self.store.pending(self.run.id):
            self._evaluate(self.store.candidate(self.run.id, number), self.kernel(number).default)
        if not self.search.best_fitness:
            last = next(iter(self.store.evaluations(self.run.id, 0)))
            raise SeedError(f"the seed kernel is {last.outcome}, so nothing can be compared with it: {last.message}")
        while True:
            reason = self.ledger.exhausted()
            if reason is not None:
                return reason
            if not self._step():
                return "every operator declined for every candidate that was tried; nothing is left to propose"

    def _step(self) -> bool:
        match self.search.next():
            case Tune(candidate=number, configuration=configuration):
                self._report(f"tuning candidate {number}")
                self._evaluate(self._known(number), configuration)
            case Propose() as action:
                self._propose(action)
            case None:
                return False
        return True

    def _propose(self, action: Propose) -> None:
        begin = time.perf_counter()
        self._report(f"{action.operator} on candidate {action.choice.parent}")
        proposal = self.proposer.propose(self._request(action))
        if proposal is not None:
            kernel = proposal.kernel.with_default(proposal.configuration)
            form = normal_form(kernel)
            if self.store.duplicate(self.run.id, form) is None:
                candidate = Candidate(
                    run=self.run.id,
                    operator=proposal.operator,
                    parents=proposal.parents or (action.choice.parent,),
                    note=proposal.note,
                    island=action.choice.island,
                    normal_form=form,
                )
                self._evaluate(self._add(candidate, kernel), kernel.default)
                return
        seconds = time.perf_counter() - begin if self.evaluator.device.realm is Realm.HARDWARE else 1.0
        data = {
            "operator": action.operator,
            "parent": action.choice.parent,
            "evaluations": self.search.evaluations,
            "candidates": self.candidates,
            "seconds": seconds,
        }
        self.store.add_event(self.run.id, EventKind.DECLINED, data)
        self._replay_decline(data)

    def _request(self, action: Propose) -> ProposalRequest:
        numbers = [action.choice.parent, *([] if action.mate is None else [action.mate])]
        return ProposalRequest(
            problem=self.problem,
            device=self.evaluator.device,
            language=self.run.language,
            workloads=self.workloads,
            parents=tuple(self.parent(number) for number in numbers),
            operator=action.operator,
            seed=action.seed,
        )

    def parent(self, number: int) -> Parent:
        """A candidate as proposers see it."""
        best = self.best_evaluation(number)
        return Parent(
            candidate=number,
            kernel=self.kernel(number),
            outcome=best.outcome,
            fitness=best.fitness or 0.0,
            configuration=best.configuration,
            message=best.message,
            profile=best.profile,
        )

    def best_evaluation(self, number: int) -> Evaluation:
        """The fittest evaluation of a candidate, the earliest of equals."""
        return max(self.store.evaluations(self.run.id, number), key=lambda one: one.fitness or 0.0)

    def _add(self, candidate: Candidate, kernel: Kernel) -> Candidate:
        made = candidate if candidate.normal_form else evolve(candidate, normal_form=normal_form(kernel))
        number = self.store.add_candidate(made, render_kernel(kernel))
        self.candidates += 1
        return evolve(made, number=number)

    def _evaluate(self, candidate: Candidate, configuration: Configuration) -> None:
        number, kernel = candidate.number, self.kernel(candidate.number)
        begin = time.perf_counter()
        measured = self.evaluator.evaluate(kernel, configuration, self.anchor, self.baseline)
        for _ in range(_SEED_TRIES if self.anchor is None else 0):  # a busy moment must not end a run before it began
            if measured.outcome is not Outcome.UNSTABLE:
                break
            measured = self.evaluator.evaluate(kernel, configuration, self.anchor, self.baseline)
        seconds = time.perf_counter() - begin
        self.ledger.spend(device_seconds=sum(measured.spent.get(stage, 0.0) for stage in ("check", "screen")))
        self.ledger.evaluated(measured.fitness)
        record = self._record(number, kernel, measured, seconds)
        self.store.add_evaluation(record, spent=self.ledger.snapshot())
        self._learn(candidate, record)
        self._report(f"candidate {number}: {measured.outcome}")

    def _record(self, number: int, kernel: Kernel, measured: Measured, seconds: float) -> Evaluation:
        times = {
            timing.workload: WorkloadTimes(timing.samples, timing.source, "paired" if timing.paired else "screen")
            for timing in measured.timings
        }
        anchor = self._becomes_anchor(measured)
        profile = {
            **unstructure(measured.profile),
            "resources": unstructure(measured.resources),
            "checks": unstructure(measured.checks),
            "spent": dict(measured.spent),
            "timings": [_timing_record(timing) for timing in measured.timings],
            "anchor": anchor,
        }
        return Evaluation(
            run=self.run.id,
            candidate=number,
            stage=measured.stage,
            outcome=measured.outcome,
            configuration=dict(measured.configuration),
            message=measured.message,
            details=unstructure(dict(measured.details)),
            times=times,
            fitness=measured.fitness,
            descriptor=self._cell(kernel, measured),
            profile=profile,
            seconds=seconds,
            # Of those that set a record; what the others compile to can be made again from their source.
            artifacts={name: self.store.artifacts.put(blob) for name, blob in measured.stages.items()}
            if anchor
            else {},
        )

    def _becomes_anchor(self, measured: Measured) -> bool:
        """The first right one; then whatever beats the anchor in every paired interval, not by a lucky sample."""
        if measured.outcome is not Outcome.CORRECT:
            return False
        if self.anchor is None:
            return True
        paired = [timing.paired for timing in measured.timings]
        better = all(one is not None and one.low > 1 for one in paired)
        return better and measured.fitness > self.anchor.fitness

    def _cell(self, kernel: Kernel, measured: Measured) -> tuple[int, ...] | None:
        try:
            plan = self.evaluator.gate.plan(kernel, measured.configuration, self.workloads[0])
            source = language(kernel.language).normalize(kernel.body)
        except CandidateError:
            return None
        rate = measured.profile.get("rates", {}).get(self.workloads[0].label, {})
        moved, operations = rate.get("bytes_per_second"), rate.get("operations_per_second")
        bound = limited_by(moved, operations, self.evaluator.device.peaks)
        return describe(plan, source=source, resources=measured.resources, bound=bound).cell

    def _report(self, activity: str) -> None:
        best = self.search.archive.best if len(self.search.archive) else None
        self.observer(
            Progress(
                activity=activity,
                evaluations=self.search.evaluations,
                candidates=self.candidates,
                outcomes=dict(self.outcomes),
                best=best,
                best_fitness=self.search.best_fitness if self.ranked else None,
                remaining=self.ledger.remaining(),
                curve=tuple(self.curve[-_SHOWN:]),
            )
        )

    def top(self, count: int) -> list[tuple[int, float, Configuration]]:
        """The fittest candidates with their best configurations: number, fitness, configuration."""
        archive = self.search.archive
        ranked = heapq.nsmallest(count, archive, key=lambda number: (-archive.fitness(number), number))
        right = [number for number in ranked if archive.fitness(number) > 0]
        return [(number, archive.fitness(number), self.best_evaluation(number).configuration) for number in right]

    def fastest_by_workload(self) -> list[tuple[int, Configuration]]:
        """Where several workloads are timed: the candidate and configuration with the shortest median on each."""
        best: dict[str, tuple[float, int, Configuration]] = {}
        for one in self.store.evaluations(self.run.id) if len(self.workloads) > 1 else ():
            for label, times in one.times.items() if one.outcome is Outcome.CORRECT else ():
                seconds = _median(times.seconds)
                if label not in best or seconds < best[label][0]:
                    best[label] = (seconds, one.candidate, one.configuration)
        return [(number, configuration) for _, number, configuration in best.values()]

    def stages(self) -> dict[str, int]:
        """How many evaluations fell at which stage."""
        fell = (one for one in self.store.evaluations(self.run.id) if not one.outcome.right)
        return dict(Counter(str(one.stage) for one in fell))

    def kernel(self, number: int) -> Kernel:
        """The kernel of a candidate."""
        return self.search.archive.kernel(number)


class SeedError(Exception):
    """The seed is not right, so that nothing can be compared with it."""


def normal_form(kernel: Kernel) -> str:
    """Digest of header and source without layout: equal for kernels that differ only in comments."""
    try:
        body = language(kernel.language).normalize(kernel.body)
    except CandidateError:  # a source that cannot be read is compared as it is
        body = kernel.body
    return kernel.with_body(body).digest


def add_seed(store: Store, run: str, kernel: Kernel) -> None:
    """Keep the kernel that a run starts from as its candidate 0."""
    seed = Candidate(run=run, operator="seed", note="what the run starts from", normal_form=normal_form(kernel))
    store.add_candidate(seed, render_kernel(kernel))


def validity(problem: Problem, workloads: tuple[Workload, ...], facts: Mapping[str, int]) -> Callable[..., bool]:
    """A predicate on (kernel, configuration): whether the kernel's constraints hold on every timed workload."""

    def valid(kernel: Kernel, configuration: Configuration) -> bool:
        try:
            return all(
                serves(kernel, problem, workload) and violated(kernel, workload.axes, configuration, facts) is None
                for workload in workloads
            )
        except CandidateError:
            return False

    return valid


def fetcher(store: Store, run: str) -> Callable[[int], Kernel]:
    """Reads a candidate's kernel from the store."""
    return lambda number: parse_kernel(store.kernel_text(run, number), name=f"candidate {number}")


def _timing_record(timing: Any) -> dict[str, Any]:
    record = unstructure(timing)
    record.pop("samples")  # kept once, in the evaluation's times
    assert isinstance(record, dict)
    return record


def _median(values: tuple[float, ...]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else math.fsum(ordered[middle - 1 : middle + 1]) / 2
