"""Evolution on the device: from the fastest of the seed, the best that is known, and kernels that people wrote."""

from __future__ import annotations

__all__ = ["run"]

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

import kernelevolve
from benchmarks.gpu import kernels
from benchmarks.gpu.call import Call, say
from benchmarks.gpu.kernels import Found
from benchmarks.gpu.records import workload_record
from benchmarks.gpu.starts import Judged, judge
from benchmarks.gpu.subjects import Subject, evaluator, timed_workloads
from benchmarks.gpu.text import microseconds, table
from kernelevolve.api import RunResult, confirmation_record
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.loop import Progress
from kernelevolve.kernel import Configuration, Kernel, render_kernel
from kernelevolve.problem import Problem, Workload


def run(call: Call) -> str:
    """Evolve each problem for its share of time on each accelerator; what is found better is kept as a file."""
    for reference, problem in call.problems():
        for subject in call.subjects:
            workloads = timed_workloads(problem, [subject], call.options.workloads, every=call.options.every_workload)
            for workload in workloads:
                key = f"evolve/{problem.name}/{workload.label}/{subject.name}"
                if call.late or call.done(key):
                    continue
                say(f"{problem.name} {workload.label} on {subject.name}")
                one = _Evolution(call, reference, problem, workload, subject)
                call.record(key, one.common(), one.run)
    return render(call)


@frozen
class _Evolution:
    call: Call
    reference: str
    problem: Problem
    workload: Workload
    subject: Subject

    def common(self) -> dict[str, Any]:
        shape = workload_record(self.problem, self.workload, self.subject.device)
        return {**shape, "accelerator": self.subject.name, "device": self.subject.device.name}

    def run(self) -> dict[str, Any]:
        found = self._starts()
        judged = self._judge(found) if len(found) > 1 or self.call.options.tune else []
        if judged and not math.isfinite(judged[0].seconds):
            listed = "; ".join(f"{one.found.origin}: {one.evaluation.outcome}" for one in judged)
            raise KernelEvolveError(f"nothing to start from: {listed}")
        start = judged[0].found if judged else found[0]
        result = self._evolve(start.kernel, judged[0].evaluation.configuration if judged else start.kernel.default)
        kept = self._keep(result)
        return {
            "starts": [one.record for one in judged],
            "start": start.origin,
            **_result_record(result),
            "kept_as": kept.name if kept else None,
            "kernel": render_kernel(result.kernel.with_default(result.configuration)),
        }

    def _starts(self) -> list[Found]:
        """The seed, the best that is known, and what people wrote."""
        options, made = self.call.options, self.subject.made
        known = [
            kernels.seed(self.problem, made),
            kernels.best(options.kernels, self.subject.name, self.problem, self.workload),
        ]
        found = [one for one in known if one is not None]
        for folder in options.starts:
            found += [
                Found(one.kernel, f"hand-written {one.origin}")
                for one in kernels.hand_written(folder, self.problem.name, made)
            ]
        if not found:
            raise KernelEvolveError(f"{self.problem.name} has no seed for {self.subject.name}, and no start was given")
        return found

    def _judge(self, found: Sequence[Found]) -> list[Judged]:
        """The starts, the fastest right one first."""
        with evaluator(self.problem, self.subject, [self.workload], self.call.settings) as judging:
            judging.warm_up()
            return judge(judging, found, tune=self.call.options.tune)

    def _evolve(self, kernel: Kernel, configuration: Configuration) -> RunResult:
        options = self.call.options
        seconds = max(1.0, min(options.evolve_seconds, self.call.left))
        store = kernelevolve.Store.open(f"sqlite:///{options.store.absolute()}")
        try:
            return kernelevolve.evolve(
                self.reference,
                self.subject.name,
                device=str(self.subject.device.index),
                budget=kernelevolve.Budget(seconds=seconds, evaluations=options.evaluations),
                seed=options.random,
                workloads=[self.workload],
                start=kernel.with_default(configuration),
                store=store,
                settings=self.call.settings,
                eager=False,
                observer=_watch,
            )
        finally:
            store.close()

    def _keep(self, result: RunResult) -> Path | None:
        """The winner as a file, where it is not what is there already."""
        here, name = self.call.options.kernels, self.subject.name
        old = kernels.best(here, name, self.problem, self.workload)
        chosen = result.kernel.with_default(result.configuration)
        if old is not None and old.kernel.digest == chosen.digest:
            return None
        return kernels.save(here, name, self.problem.name, self.workload, result.kernel, result.configuration)


def _watch(progress: Progress) -> None:
    if progress.evaluations and progress.evaluations % 25 == 0:
        say(f"  {progress.evaluations} evaluations, best {progress.best_fitness:.3g}× the start")


def _result_record(result: RunResult) -> dict[str, Any]:
    chosen = result.kernel.with_default(result.configuration)
    return {
        "reason": result.reason,
        "evaluations": result.evaluations,
        "candidates": result.candidates,
        "outcomes": dict(result.outcomes),
        "stages": dict(result.stages),
        "seconds": result.seconds,
        "speedup": result.speedup,
        "digest": chosen.digest,
        "configuration": dict(result.configuration),
        "confirmations": [confirmation_record(one) for one in result.confirmations],
    }


def render(call: Call) -> str:
    """Every known evolution, one line each."""
    rows = [["problem", "accelerator", "start", "evaluations", "right", "seconds", "over start", "time"]]
    for record in call.results.of_kind("evolve"):
        if "error" in record:
            rows.append([record["problem"], record["accelerator"], record["error"][:60], *[""] * 5])
            continue
        timings = record["confirmations"][0]["timings"] if record["confirmations"] else {}
        times = sorted(sorted(one["samples"])[len(one["samples"]) // 2] for one in timings.values())
        rows.append(
            [
                record["problem"],
                record["accelerator"],
                record["start"][:40],
                str(record["evaluations"]),
                str(record["outcomes"].get("CORRECT", 0)),
                f"{record['seconds']:.0f}",
                f"{record['speedup']:.3g}×",
                microseconds(times[0]) if times else "",
            ]
        )
    return table(rows)
