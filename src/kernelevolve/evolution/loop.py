"""The loop: ask the search what next, propose or tune, evaluate, record, learn.

Every record is a checkpoint. What is in the store after a kill is all that a resumed run needs; an evaluation that was
under way is simply done again, since nothing of it was recorded.
"""

from __future__ import annotations

__all__ = ["Evolution", "Progress", "Reason"]

import threading
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from kernelevolve.accelerator import Realm
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.evolution.budget import Ledger, Remaining
from kernelevolve.evolution.history import best_evaluation, history_for, seen
from kernelevolve.evolution.kernels import normal_form
from kernelevolve.evolution.proposal import Failed, Parent, Proposal, ProposalRequest, Proposer, ProposesConcurrently
from kernelevolve.evolution.recording import anchor_of, evaluation_record, proposed
from kernelevolve.evolution.search import Propose, Search, Tune
from kernelevolve.evolution.workbench import Bench
from kernelevolve.kernel import Configuration, Kernel, render_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload
from kernelevolve.store import Candidate, Evaluation, EventKind, Lesson, Memory, Run, Store

#: How often the seed is evaluated again where the samples say too little.
_SEED_TRIES = 3
#: Points of the curve that a progress display gets at most.
_SHOWN = 1000
#: Seconds between looks at whether the budget has ended while everything waits for a proposer.
_PATIENCE = 1.0
#: Why a run ended, in words.
Reason = str


@frozen
class Progress:
    """A look at a run under way."""

    #: The run's id.
    run: str
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
        lessons: tuple[Lesson, ...] = (),
        knowledge: bool = True,
        observer: Observer = lambda _: None,
    ) -> None:
        self.store, self.run, self.problem, self.workloads = store, run, problem, workloads
        self.evaluator, self.proposer, self.search, self.ledger = evaluator, proposer, search, ledger
        self.lessons, self.knowledge, self.observer = lessons, knowledge, observer
        #: Whether times exist here; without them the run collects right kernels and prefers none.
        self.ranked = evaluator.device.realm.has_clock
        self.anchor: Anchor | None = None
        #: The seed, measured.
        self.baseline: Anchor | None = None
        self.outcomes: Counter[str] = Counter()
        #: Best fitness after each evaluation.
        self.curve = array("d")
        self.candidates = 0
        #: Held by whoever uses the evaluator.
        self.busy = threading.RLock()
        self.workbench = Bench(store, run.id, search.archive, evaluator, ledger, self.busy)
        #: Proposals that a concurrent proposer works on, by its tickets, with the time they were begun.
        self._waiting: dict[int, float] = {}

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
            candidate = next(candidates) if fresh else self._known(evaluation.candidate)
            if candidate.number != evaluation.candidate:
                raise KernelEvolveError(
                    f"run {self.run.id}: candidate {evaluation.candidate} was evaluated before {candidate.number}; two "
                    "processes wrote to the run at once, so it cannot be gone on with"
                )
            self._learn(candidate, evaluation)
        for event in declines:
            self._replay_decline(event.data)
        self._rebuild_asked()
        self.candidates = len(self.search.archive) + len(self.store.pending(self.run.id))

    def _rebuild_asked(self) -> None:
        """What was asked for outside and is still expected counts as open."""
        told = {
            event.data["id"]
            for event in self.store.events(self.run.id, EventKind.TOLD)
            if event.data["status"] != "pending"  # waits for results of an absent device
        }
        asked = self.store.events(self.run.id, EventKind.ASKED)
        if asked:  # a tell that was killed after its evaluation has left a candidate and no event
            told |= {one.proposal.get("asked") for one in self.store.candidates(self.run.id)}
        for event in asked:
            key = event.data["id"]
            self.search.begin(key, Propose.from_record(event.data["action"]))
            if key in told or event.data["expires"] < time.time():
                self.search.end(key)

    def next_proposal(self) -> Propose:
        """What somebody outside is to propose next, with a view to what is open already."""
        return self.search.ask()

    def _known(self, number: int) -> Candidate:
        """A candidate that is in the archive, for `_learn`, which asks no more of it than its number."""
        return Candidate(run=self.run.id, operator="", number=number)

    def _replay_decline(self, data: Mapping[str, Any]) -> None:
        self.search.declined(
            data["operator"],
            data["parent"],
            data["seconds"],
            dollars=data.get("dollars", 0.0),
            memory=Memory(data.get("memory", "none")),
            draft=data.get("draft", False),
        )

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
            self.anchor = anchor_of(self.kernel(evaluation.candidate), evaluation)
            self.baseline = self.baseline or self.anchor
        if self.ranked:
            self.curve.append(max(fitness, self.curve[-1] if self.curve else 0.0))

    # --- the loop

    def search_until_done(self) -> Reason:
        """Run until the budget ends or nothing is left to try; why it ended, in words.

        Raises `SeedError` where the seed itself is not right: nothing can be compared with it.
        """
        self.evaluate_pending()
        try:
            while True:
                reason = self.ledger.exhausted()
                if reason is not None:
                    return reason
                if not self._step():
                    return "every operator declined for every candidate that was tried; nothing is left to propose"
        finally:
            self._cancel()

    def evaluate_pending(self) -> None:
        """Evaluate what was added and has no evaluation: the seed of a new run, or what a killed process left.

        Raises `SeedError` where the seed is not right.
        """
        for number in self.store.pending(self.run.id):
            self.report(f"candidate {number}" if number else "the seed")
            if number:
                self._require_seed()
            self._evaluate(self.store.candidate(self.run.id, number), self.kernel(number).default)
        self._require_seed()

    def _require_seed(self) -> None:
        first = next(iter(self.store.evaluations(self.run.id, 0)))
        if not first.outcome.right:
            raise SeedError(f"the seed kernel is {first.outcome}, so nothing can be compared with it: {first.message}")

    def _step(self) -> bool:
        """Do one thing; False where nothing is left to do."""
        if self._collect(0.0):
            return True
        full = self._full()
        match self.search.next(without=full):
            case Tune() as action:
                self.tune(action)
            case Propose() as action:
                self._propose(action)
            case None if self._waiting:
                self.report(f"waiting for {len(self._waiting)} proposals")
                self._collect(_PATIENCE)
            case None:
                return False
        return True

    def tune(self, action: Tune | None = None) -> bool:
        """Evaluate `action`, or else what tuners want next, whatever the budget says; False where they want nothing."""
        wanted = action or self.search.tune()
        if wanted is not None:
            self.report(f"tuning candidate {wanted.candidate}")
            self._evaluate(self._known(wanted.candidate), wanted.configuration)
        return wanted is not None

    def _propose(self, action: Propose) -> None:
        self.report("a draft" if action.draft else f"{action.operator} on candidate {action.choice.parent}")
        concurrent = self._concurrent
        if concurrent is not None and concurrent.concurrent(action.operator):
            ticket = concurrent.begin(self.request(action))
            self.search.begin(ticket, action)
            self._waiting[ticket] = time.perf_counter()
            return
        begin = time.perf_counter()
        answer: Proposal | Failed | None
        try:
            answer = self.proposer.propose(self.request(action))
        except KernelEvolveError:  # nothing can be proposed at all, and it says why
            raise
        except Exception as error:
            answer = Failed(action.operator, f"{type(error).__name__}: {error}")
        self._conclude(action, answer, begin)

    @property
    def _concurrent(self) -> ProposesConcurrently | None:
        return self.proposer if isinstance(self.proposer, ProposesConcurrently) else None

    def _full(self) -> tuple[str, ...]:
        """Operators that have as many proposals open as they can take, or as there are evaluations left."""
        concurrent = self._concurrent
        if concurrent is None:
            return ()
        left = self.ledger.remaining().evaluations
        if len(self._waiting) < (concurrent.width if left is None else min(concurrent.width, left)):
            return ()
        return tuple(operator for operator in self.search.operators if concurrent.concurrent(operator))

    def _collect(self, timeout: float) -> bool:
        """Judge one proposal that came back; whether there was one."""
        if self._concurrent is None or not self._waiting:
            return False
        found = self._concurrent.finished(timeout)
        if found is None:
            return False
        ticket, answer = found
        action = self.search.open[ticket]
        self.search.end(ticket)
        self._conclude(action, answer, self._waiting.pop(ticket))
        return True

    def _cancel(self) -> None:
        if self._concurrent is not None:
            self._concurrent.cancel()
        for ticket in self._waiting:
            self.search.end(ticket)
        self._waiting.clear()

    def _conclude(self, action: Propose, answer: Proposal | Failed | None, begin: float) -> None:
        if isinstance(answer, Proposal):
            taken = self.take(action, answer)
            if not isinstance(taken, int):
                return
            usage, reason = answer.usage, f"the same kernel as candidate {taken}"
        else:
            usage, reason = (answer.usage, answer.reason) if isinstance(answer, Failed) else (None, "")
        seconds = time.perf_counter() - begin if self.evaluator.device.realm is Realm.HARDWARE else 1.0
        self.decline(action, reason, seconds=seconds, dollars=usage.dollars if usage else 0.0)

    def decline(self, action: Propose, reason: str, *, seconds: float, dollars: float = 0.0) -> None:
        """Record that nothing came of a proposal, and why where there is more to say than that none applied."""
        data = {
            "operator": action.operator,
            "parent": action.choice.parent,
            "evaluations": self.search.evaluations,
            "candidates": self.candidates,
            "seconds": seconds,
        }
        if reason:
            data |= {"reason": reason, "memory": action.memory.value, "draft": action.draft, "dollars": dollars}
        self.store.add_event(self.run.id, EventKind.DECLINED, data)
        self._replay_decline(data)

    def take(self, action: Propose, proposal: Proposal, *, asked: str = "") -> tuple[Candidate, Evaluation] | int:
        """Add a proposed kernel and evaluate it; both records. Where the run has the same kernel already: its number.

        `asked` is the id under which somebody outside was asked for it.
        """
        kernel = proposal.kernel.with_default(proposal.configuration)
        form = normal_form(kernel)
        same = self.store.duplicate(self.run.id, form)
        if same is not None:
            return same
        candidate = proposed(self.run.id, action, proposal, form, asked)
        added = self._add(candidate, kernel)
        return added, self._evaluate(added, kernel.default)

    def request(self, action: Propose) -> ProposalRequest:
        """Everything that a proposer may know for this action."""
        numbers = [action.choice.parent, *([] if action.mate is None else [action.mate])]
        return ProposalRequest(
            problem=self.problem,
            device=self.evaluator.device,
            language=self.run.language,
            workloads=self.workloads,
            parents=tuple(self.parent(number) for number in numbers),
            operator=action.operator,
            seed=action.seed,
            memory=action.memory,
            relatives=history_for(action, self.store, self.run.id, self.search.open, self.workbench.candidates()),
            lessons=self.lessons,
            knowledge=self.knowledge,
            draft=action.draft,
            workbench=self.workbench,
        )

    def parent(self, number: int) -> Parent:
        """A candidate as proposers see it."""
        return seen(self.store, self.run.id, number, self.kernel(number))

    def best_evaluation(self, number: int) -> Evaluation:
        """The fittest evaluation of a candidate, the earliest of equals."""
        return best_evaluation(self.store, self.run.id, number)

    def _add(self, candidate: Candidate, kernel: Kernel) -> Candidate:
        made = candidate if candidate.normal_form else evolve(candidate, normal_form=normal_form(kernel))
        number = self.store.add_candidate(made, render_kernel(kernel))
        self.candidates += 1
        return evolve(made, number=number)

    def _evaluate(self, candidate: Candidate, configuration: Configuration) -> Evaluation:
        number, kernel = candidate.number, self.kernel(candidate.number)
        with self.busy:
            begin = time.perf_counter()
            measured = self.evaluator.evaluate(kernel, configuration, self.anchor, self.baseline)
            # A busy moment must not end a run before it began.
            for _ in range(_SEED_TRIES if self.anchor is None else 0):
                if measured.outcome is not Outcome.UNSTABLE:
                    break
                measured = self.evaluator.evaluate(kernel, configuration, self.anchor, self.baseline)
            seconds = time.perf_counter() - begin
            record = evaluation_record(
                self.store, self.run.id, number, kernel, measured, self.evaluator, self.anchor, seconds
            )
            with self.ledger.lock:
                self.ledger.spend(device_seconds=sum(measured.spent.get(one, 0.0) for one in ("check", "screen")))
                self.ledger.evaluated(measured.fitness)
                kept = self.store.add_evaluation(record, spent=self.ledger.snapshot())
            self._learn(candidate, kept)
        self.report(f"candidate {number}: {measured.outcome}")
        return kept

    def report(self, activity: str) -> None:
        """Tell the observer how far the run is, and what it does now."""
        best = self.search.archive.best if len(self.search.archive) else None
        self.observer(
            Progress(
                run=self.run.id,
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

    def kernel(self, number: int) -> Kernel:
        """The kernel of a candidate."""
        return self.search.archive.kernel(number)


class SeedError(Exception):
    """The seed is not right, so that nothing can be compared with it."""
