"""What a proposer may ask of a run while it works on a proposal, from whatever thread it works in."""

from __future__ import annotations

__all__ = ["Bench", "preflight"]

import threading
from collections.abc import Sequence
from typing import Final

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.evolution.archive import Archive
from kernelevolve.evolution.budget import Ledger
from kernelevolve.evolution.history import seen
from kernelevolve.evolution.proposal import Parent, Preflight, Usage
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import CandidateError
from kernelevolve.store import EventKind, Store

#: Characters of a compiler's log that are worth a reader's time; the end holds the errors' summary.
_LOG: Final = 4000


class Bench:
    """The `Workbench` of one run.

    `busy` is held by whoever uses the evaluator, so that a compile never runs beside a timed launch.
    """

    def __init__(
        self, store: Store, run: str, archive: Archive, evaluator: Evaluator, ledger: Ledger, busy: threading.RLock
    ) -> None:
        self._store, self._run, self._archive = store, run, archive
        self._evaluator, self._ledger, self._busy = evaluator, ledger, busy

    def afford(self, most: Usage | None = None) -> str | None:
        if most is None:
            return self._ledger.begin_call()
        return self._ledger.begin_call(tokens=most.tokens, dollars=most.dollars)

    def pay(self, usage: Usage) -> None:
        with self._ledger.lock:
            self._ledger.end_call(tokens=usage.tokens, dollars=usage.dollars)
            self._store.add_event(self._run, EventKind.SPENT, self._ledger.snapshot())

    def candidates(self) -> Sequence[int]:
        with self._busy:
            return sorted(self._archive, key=lambda number: (-self._archive.fitness(number), number))

    def look(self, candidate: int) -> Parent:
        with self._busy:
            if candidate not in self._archive:
                count = len(self._archive)
                raise KernelEvolveError(f"there is no evaluated candidate {candidate}; there are {count}, from 0")
            return seen(self._store, self._run, candidate, self._archive.kernel(candidate))

    def preflight(self, kernel: Kernel) -> Preflight:
        with self._busy:
            return preflight(self._evaluator, kernel)


def preflight(evaluator: Evaluator, kernel: Kernel) -> Preflight:
    """Gate and compile `kernel` in its default configuration for the timed workloads; run nothing."""
    try:
        evaluator.gate.admit(kernel)
        plans = [evaluator.gate.plan(kernel, kernel.default, workload) for workload in evaluator.workloads]
        artifacts = [evaluator.runner.compile(plan) for plan in plans]
    except CandidateError as error:
        return Preflight(error.outcome, error.message, str(error.details.get("log", ""))[-_LOG:])
    last = artifacts[-1]
    return Preflight(None, "the gate lets it pass and it compiles", last.log[-_LOG:], unstructure(last.resources))
