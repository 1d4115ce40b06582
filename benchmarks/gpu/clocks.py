"""What the clock can tell apart: identical kernels against each other, and a warm worker against fresh processes."""

from __future__ import annotations

__all__ = ["resolution", "warmth"]

import random
from typing import Any

from attrs import frozen

from benchmarks.gpu import kernels
from benchmarks.gpu.call import Call, say
from benchmarks.gpu.subjects import Subject, evaluator, timed_workloads
from benchmarks.gpu.text import microseconds, table
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.measure import compare_paired
from kernelevolve.evaluation.pipeline import ROTATIONS, Evaluator
from kernelevolve.evaluation.selftest import self_test
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import Kernel
from kernelevolve.problem import Problem, Workload


def resolution(call: Call) -> str:
    """``kernelevolve doctor``'s A/A self-test on each accelerator's device."""
    for subject in call.subjects:
        key = f"resolution/{subject.name}"
        if call.late or call.done(key):
            continue
        say(f"identical kernels on {subject.name}")

        def measure(on: Subject = subject) -> dict[str, Any]:
            found = self_test(on.name, device=str(on.device.index), batches=call.options.batches)
            record: dict[str, Any] = unstructure(found)
            return record

        call.record(key, {"accelerator": subject.name}, measure)
    rows = [["device", "kernel", "median", "resolution", "warm against fresh"]]
    for record in call.results.of_kind("resolution"):
        if "error" in record:
            rows.append([record["accelerator"], record["error"][:80], "", "", ""])
            continue
        resolved = [f"±{100 * record['resolution']:.2f} %", f"{record['fresh_ratio']:.4f}"]
        rows.append([record["device"], record["kernel"], microseconds(record["seconds"]), *resolved])
    return table(rows)


def warmth(call: Call) -> str:
    """A worker that has evaluated candidates against fresh ones, on the same kernel and inputs, round by round."""
    for subject in call.subjects:
        for _, problem in call.problems():
            for workload in timed_workloads(problem, [subject], call.options.workloads, every=False):
                key = f"warmth/{problem.name}/{workload.label}/{subject.name}"
                if call.late or call.done(key):
                    continue
                say(f"{problem.name} {workload.label} on {subject.name}")
                one = _Warmth(call, problem, workload, subject)
                call.record(key, one.common(), one.run)
    rows = [["problem", "workload", "accelerator", "fresh / warm", "interval", "processes"]]
    for record in call.results.of_kind("warmth"):
        where = [record["problem"], record["workload"][:40], record["accelerator"]]
        if "error" in record:
            rows.append([*where, record["error"][:80], "", ""])
            continue
        interval = f"[{record['low']:.4f}, {record['high']:.4f}]"
        rows.append([*where, f"{record['ratio']:.4f}", interval, str(len(record["processes"]))])
    return table(rows)


@frozen
class _Warmth:
    call: Call
    problem: Problem
    workload: Workload
    subject: Subject

    def common(self) -> dict[str, Any]:
        return {
            "problem": self.problem.name,
            "workload": self.workload.label,
            "accelerator": self.subject.name,
            "device": self.subject.device.name,
        }

    def run(self) -> dict[str, Any]:
        options = self.call.options
        found = kernels.best(options.kernels, self.subject.name, self.problem, self.workload) or kernels.seed(
            self.problem, self.subject.made
        )
        if found is None:
            raise KernelEvolveError(f"{self.problem.name} has no seed for {self.subject.name}")
        processes = []
        with self._evaluator() as warm:
            warm.warm_up()
            first = warm.evaluate(found.kernel)
            if not first.outcome.right:
                raise KernelEvolveError(f"the kernel to time is {first.outcome}: {first.message}")
            for _ in range(options.processes):
                with self._evaluator() as fresh:
                    fresh.book = warm.book  # the very same inputs
                    processes.append(self._against(warm, fresh, found.kernel))
        ours = [seconds for one in processes for seconds in one["warm"]]
        theirs = [seconds for one in processes for seconds in one["fresh"]]
        both = compare_paired(theirs, ours, resolution=0.0)
        return {
            "origin": found.origin,
            "digest": found.kernel.digest,
            "ratio": both.ratio,
            "low": both.low,
            "high": both.high,
            "processes": processes,
        }

    def _evaluator(self) -> Evaluator:
        return evaluator(self.problem, self.subject, [self.workload], self.call.settings)

    def _against(self, warm: Evaluator, fresh: Evaluator, kernel: Kernel) -> dict[str, list[float]]:
        """Rounds of one sample each, in random order."""
        flush = self.call.settings.protocol.flush
        sides = {
            name: (one, one.contestant(kernel, kernel.default, self.workload))
            for name, one in (("warm", warm), ("fresh", fresh))
        }
        order, rng = list(sides), random.Random(0)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for one, contestant in sides.values():
            one.runner.sample([(contestant, turn) for turn in range(ROTATIONS)], flush=flush)
        for turn in range(self.call.options.rounds):
            rng.shuffle(order)
            for name in order:
                one, contestant = sides[name]
                samples, _ = one.runner.sample([(contestant, turn)], flush=flush)
                times[name].append(samples[0].seconds)
        return times
