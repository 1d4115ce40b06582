"""What the engine itself costs: import, --help, the gate, and a whole evaluation in a warm worker."""

from __future__ import annotations

__all__ = ["figures"]

import secrets
import statistics
import subprocess
import sys
import time

from benchmarks.figures import Figure
from kernelevolve import parse_kernel, registry
from kernelevolve.evaluation.gate import Gate
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.kernel import Kernel

#: Candidates that are evaluated one after the other.
CANDIDATES = 12


def _process(*command: str) -> float:
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _gate() -> float:
    """Seconds per candidate that the gate has not seen before: rules, entries, plan."""
    problem = registry.problem("softmax")
    kernel = parse_kernel(problem.seeds["opencl"])
    facts = {"num_units": 2, "warp_size": 16, "max_group_size": 4096}
    gate = Gate(problem, facts)
    times = []
    for index in range(50):
        fresh = kernel.with_body(f"{kernel.body}\n// {index}\n")
        begin = time.perf_counter()
        gate.admit(fresh)
        gate.plan(fresh, fresh.default, problem.workloads[0])
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _evaluations() -> list[float]:
    """Seconds per whole evaluation of small candidates: each has a source of its own, so that PoCL builds it."""
    made = registry.accelerator("opencl")
    device = registry.find_device(made)
    problem = registry.problem("softmax")
    kernel = parse_kernel(problem.seeds["opencl"])
    workload = problem.tagged("smoke")[0]
    times = []
    secret = secrets.randbits(62)
    with Evaluator(problem, made, device, workloads=[workload], path="opencl", secret=secret) as evaluator:
        evaluator.warm_up()
        first = evaluator.evaluate(kernel)
        seconds = {timing.workload: timing.seconds for timing in first.timings}
        anchor = Anchor(kernel, kernel.default, 1.0, seconds, first.timings[0].source)
        for index in range(CANDIDATES):
            begin = time.perf_counter()
            found = evaluator.evaluate(_variant(kernel, index), anchor=anchor)
            times.append(time.perf_counter() - begin)
            assert found.outcome.right, found.message
    return times


def _variant(kernel: Kernel, index: int) -> Kernel:
    """Another kernel to every cache, the same to the reader."""
    return kernel.with_body(kernel.body + f"\n__constant int variant_{index} = {index};\n")


def figures() -> list[Figure]:
    """All of them."""
    bare = _process("-c", "pass")
    evaluations = _evaluations()
    return [
        Figure("import kernelevolve", 1e3 * (_process("-c", "import kernelevolve") - bare), "ms", "<=", 150),
        Figure("kernelevolve --help", 1e3 * _process("-m", "kernelevolve", "--help"), "ms", "<=", 400),
        Figure("gate, per new candidate (softmax seed)", 1e3 * _gate(), "ms", "<=", 2),
        Figure(
            "whole evaluation, warm worker, PoCL's build included",
            statistics.median(evaluations),
            "s",
            "<=",
            0.8,
            f"softmax seed on its smoke workload, median of {len(evaluations)}; slowest {max(evaluations):.2f} s",
        ),
    ]
