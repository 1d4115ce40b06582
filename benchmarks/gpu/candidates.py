"""Kernels that people wrote, ranked: each evaluated like any candidate, the best of a problem beside PyTorch."""

from __future__ import annotations

__all__ = ["run"]

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from benchmarks.gpu import kernels
from benchmarks.gpu.call import Call, say
from benchmarks.gpu.records import versus_record, workload_record
from benchmarks.gpu.starts import Judged, judge
from benchmarks.gpu.subjects import Subject, evaluator, timed_workloads
from benchmarks.gpu.text import microseconds, ratio, table
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.confirm import Side, SideError
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.torch_process import implementation_names
from kernelevolve.evaluation.versus import versus
from kernelevolve.kernel import read_kernel
from kernelevolve.outcome import CandidateError
from kernelevolve.problem import Problem, Workload

#: How many of a problem's kernels meet PyTorch.
_FINALISTS: Final = 2


def run(call: Call) -> str:
    """Rank the kernels of ``options.folder`` for each problem that it has some for.

    Raises `KernelEvolveError` for a name that no kernel has.
    """
    found = {
        (problem.name, subject.name): list(kernels.hand_written(call.options.folder, problem.name, subject.made))
        for _, problem in call.problems()
        for subject in call.subjects
    }
    names = {Path(one.origin).stem for written in found.values() for one in written}
    for name in call.options.names or ():
        if name not in names:
            listed = ", ".join(sorted(names)) or "none"
            raise KernelEvolveError(
                f"{call.options.folder}: no kernel named {name!r} for these problems; there is {listed}"
            )
    for reference, problem in call.problems():
        for subject in call.subjects:
            written = [
                one
                for one in found[problem.name, subject.name]
                if not call.options.names or Path(one.origin).stem in call.options.names
            ]
            if not written:
                continue
            workloads = timed_workloads(problem, [subject], call.options.workloads, every=call.options.every_workload)
            for workload in workloads:
                key = f"candidates/{problem.name}/{workload.label}/{subject.name}"
                if call.late or call.done(key):
                    continue
                say(f"{problem.name} {workload.label} on {subject.name}")
                one = _Ranking(call, reference, problem, workload, subject, tuple(written))
                call.record(key, one.common(), one.run)
    return render(call)


@frozen
class _Ranking:
    call: Call
    reference: str
    problem: Problem
    workload: Workload
    subject: Subject
    written: tuple[kernels.Found, ...]

    def common(self) -> dict[str, Any]:
        shape = workload_record(self.problem, self.workload, self.subject.device)
        marks = {"origin": "hand-written", "accelerator": self.subject.name, "device": self.subject.device.name}
        return {**shape, **marks}

    def run(self) -> dict[str, Any]:
        options = self.call.options
        with evaluator(self.problem, self.subject, [self.workload], self.call.settings) as judging:
            judging.warm_up()
            judged = judge(judging, self.written, tune=options.tune)
            right = [one for one in judged if math.isfinite(one.seconds)]
            ring = self._ring(judging, right[:_FINALISTS]) if right else {}
        kept: dict[str, Any] = {}
        if right and options.keep:
            best = right[0]
            chosen = best.evaluation.configuration
            path = kernels.save(
                options.kernels, self.subject.name, self.problem.name, self.workload, best.found.kernel, chosen
            )
            # Another default makes another digest, by which the kernel is known from then on.
            kept = {"kept": {"origin": best.found.origin, "digest": read_kernel(path).digest}}
        return {"ranked": [one.record for one in judged], **kept, **ring}

    def _ring(self, judging: Evaluator, finalists: Sequence[Judged]) -> dict[str, Any]:
        sides = [Side(one.found.origin, one.found.kernel, one.evaluation.configuration) for one in finalists]
        names = implementation_names(self.problem, self.call.options.modes)
        if not names:
            return {}
        try:
            baseline = self.call.torch(self.subject)
            return versus_record(versus(judging, self.workload, sides, baseline, self.reference, implementations=names))
        except (SideError, CandidateError, KernelEvolveError) as error:
            return {"ring_error": str(error)}


def render(call: Call) -> str:
    """Every known ranking, the fastest first."""
    rows = [["problem", "workload", "kernel", "outcome", "time", "against PyTorch's best"]]
    for record in call.results.of_kind("candidates"):
        where = [record["problem"], record["workload"][:40]]
        if "error" in record:
            rows.append([*where, record["error"][:80], "", "", ""])
        for one in record.get("ranked", ()):
            paired = next(
                (
                    r
                    for r in record.get("ratios", ())
                    if r["kernel"] == one["origin"] and r["implementation"] == record["best_torch"]
                ),
                None,
            )
            time = microseconds(one["seconds"]) if one["seconds"] else ""
            last = f"{ratio(paired)} {record['best_torch']}" if paired else ""
            rows.append([*where, one["origin"], one["outcome"], time, last])
    return table(rows)
