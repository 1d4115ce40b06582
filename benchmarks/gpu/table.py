"""Every problem on every accelerator: the seed, the best kernel that is known, and PyTorch, in one ring each."""

from __future__ import annotations

__all__ = ["run"]

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Final

from attrs import frozen

from benchmarks.gpu import kernels
from benchmarks.gpu.call import Call, say
from benchmarks.gpu.records import anchor_of, evaluation_record, timing_record, versus_record, workload_record
from benchmarks.gpu.subjects import Cases, Subject, evaluator, serves, timed_workloads
from benchmarks.gpu.text import microseconds, ratio, table
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.casebook import PreparedCase
from kernelevolve.evaluation.confirm import Side, SideError
from kernelevolve.evaluation.pipeline import ROTATIONS, Anchor, Evaluator
from kernelevolve.evaluation.torch_process import implementation_names
from kernelevolve.evaluation.versus import versus
from kernelevolve.outcome import CandidateError, Outcome
from kernelevolve.problem import Problem, Workload

#: A seed this many times slower than the best kernel is timed by its screen alone: it would be most of the ring's time.
_FAR: Final = 20.0
#: And one that takes longer than this (seconds) where there is nothing else.
_SLOW: Final = 0.1


@frozen
class _Entry:
    """One kernel in the table, with what its evaluation came to."""

    name: str
    found: kernels.Found
    record: dict[str, Any]
    anchor: Anchor | None
    seconds: float


def run(call: Call) -> str:
    """Measure what is not known yet, until the call's time is up; the table of everything known."""
    for reference, problem in call.problems():
        workloads = timed_workloads(problem, call.subjects, call.options.workloads, every=call.options.every_workload)
        with ExitStack() as opened:
            cases = Cases(problem, call.settings)
            evaluators: dict[str, Evaluator] = {}
            for workload in workloads:
                for subject in call.subjects:
                    key = f"table/{problem.name}/{workload.label}/{subject.name}"
                    if call.late or call.done(key) or not serves(problem, subject, workload):
                        continue
                    if subject.name not in evaluators:
                        made = evaluator(problem, subject, [workload], call.settings, cases)
                        evaluators[subject.name] = opened.enter_context(made)
                    measure = _Measurement(call, reference, problem, workload, subject, evaluators[subject.name], cases)
                    say(f"{problem.name} {workload.label} on {subject.name}")
                    call.record(key, measure.common(), measure.run)
    return render(call)


@frozen
class _Measurement:
    call: Call
    reference: str
    problem: Problem
    workload: Workload
    subject: Subject
    evaluator: Evaluator
    cases: Cases

    def common(self) -> dict[str, Any]:
        shape = workload_record(self.problem, self.workload, self.subject.device)
        first = timed_workloads(self.problem, [self.subject], [], every=False)
        return {
            **shape,
            "accelerator": self.subject.name,
            "device": self.subject.device.name,
            "headline": self.workload.label in {one.label for one in first},
        }

    def run(self) -> Mapping[str, Any]:
        self.evaluator.release_anchors()
        self.evaluator.workloads = (self.workload,)
        self._prepare()
        entries = self._entries()
        ring = self._ring(entries)
        return {"evaluated": {entry.name: entry.record for entry in entries}, **ring}

    def _prepare(self) -> None:
        """Compute the oracles of large inputs while ``torch.compile`` is busy; nothing is timed meanwhile."""
        last = self.cases.last(self.workload)
        with ThreadPoolExecutor(1) as beside:
            oracles = beside.submit(self._expect, last)
            with suppress(KernelEvolveError, CandidateError):  # the ring says what is wrong with PyTorch here
                names = implementation_names(self.problem, self.call.options.modes)
                self.call.torch(self.subject).enter(self.reference, self.problem, last, names)
            oracles.result()
        self.evaluator.warm_up()

    def _expect(self, last: Sequence[PreparedCase]) -> None:
        for case in (*self.cases.book(self.subject.device.dtypes).rotations(self.workload, ROTATIONS), *last):
            case.expected  # noqa: B018  # computed on first use

    def _entries(self) -> list[_Entry]:
        """The best that is known first: what is far behind it needs few samples."""
        options, entries = self.call.options, []
        best = kernels.best(options.kernels, self.subject.name, self.problem, self.workload)
        seed = kernels.seed(self.problem, self.subject.made)
        if best is None and seed is None:
            raise KernelEvolveError(f"no seed in a language of {self.subject.name}, and no other kernel is known")
        anchor = None
        for name, found in (("best", best), ("seed", seed)):
            if found is not None:
                entries.append(self._evaluate(name, found, anchor))
                anchor = anchor or entries[-1].anchor
        return entries

    def _evaluate(self, name: str, found: kernels.Found, anchor: Anchor | None) -> _Entry:
        kernel = found.kernel
        evaluation = self.evaluator.evaluate(kernel, kernel.default, anchor)
        record = evaluation_record(evaluation, kernel, found.origin)
        record["screen"] = timing_record(evaluation.timings[0]) if evaluation.timings else None
        seconds = evaluation.timings[0].seconds if evaluation.outcome is Outcome.CORRECT else 0.0
        if not evaluation.outcome.right:
            say(f"  {name}: {evaluation.outcome}: {evaluation.message[:200]}")
        return _Entry(name, found, record, anchor_of(kernel, evaluation), seconds)

    def _ring(self, entries: list[_Entry]) -> dict[str, Any]:
        """Right kernels against PyTorch; one that turns out wrong here is out, and the others meet without it."""
        right = [entry for entry in entries if entry.anchor is not None]
        limit = min((_FAR * entry.seconds for entry in right), default=0.0)
        ring = [entry for entry in right if entry.seconds <= (limit if len(right) > 1 else _SLOW)]
        names = implementation_names(self.problem, self.call.options.modes)
        while ring:
            sides = [Side(entry.name, entry.found.kernel, entry.found.kernel.default) for entry in ring]
            try:
                found = versus(
                    self.evaluator,
                    self.workload,
                    sides,
                    self.call.torch(self.subject),
                    self.reference,
                    implementations=names,
                    cases=self.cases.last(self.workload),
                )
                return versus_record(found)
            except SideError as failed:
                _demote(next(entry for entry in ring if entry.name == failed.side), failed.error)
                ring = [entry for entry in ring if entry.name != failed.side]
            except (CandidateError, KernelEvolveError) as error:  # what the kernels did stays known without PyTorch
                return {"ring_error": str(error)}
        return {"ring_error": "no right kernel, or none fast enough, to compare with PyTorch"}


def _demote(entry: _Entry, error: CandidateError) -> None:
    """Right in the check and wrong in the ring is wrong."""
    say(f"  {entry.name}: {error.outcome}: {error.message[:200]}")
    entry.record.update(outcome=error.outcome, message=error.message[:500], stage="confirm")


def render(call: Call) -> str:
    """Everything known, one line per problem, workload and accelerator."""
    rows = [["problem", "workload", "accelerator", "seed", "best", "PyTorch", "", "ratio"]]
    for record in call.results.of_kind("table"):
        times = record.get("kernels", {})
        outcomes = {name: one["outcome"] for name, one in record.get("evaluated", {}).items()}
        theirs = record.get("best_torch")
        side = "best" if "best" in times else "seed"
        cells = [microseconds(times[name]["seconds"]) if name in times else outcomes.get(name, "") for name in _SIDES]
        paired = next(
            (r for r in record.get("ratios", ()) if r["kernel"] == side and r["implementation"] == theirs), None
        )
        beaten = [microseconds(record["torch"][theirs]["seconds"]), theirs] if theirs else ["", ""]
        why = record.get("error") or record.get("ring_error") or ""
        last = ratio(paired) if paired else why[:60]
        rows.append([record["problem"], record["workload"][:40], record["accelerator"], *cells, *beaten, last])
    return table(rows)


_SIDES: Final = ("seed", "best")
