"""How many candidates a second: configurations of one kernel, new kernels, and the seconds that one takes.

A rate counts right candidates alone; the time counts from the first request to the last verdict, correctness check
included. New kernels are one kernel under other
names: the compiler sees a function that it has not seen. Cold is a fresh evaluator with fresh
processes; the oracle of the check cases is counted there as well.
"""

from __future__ import annotations

__all__ = ["run"]

import os
import re
import secrets
import statistics
import time
from collections.abc import Iterator
from typing import Any, Final

from attrs import evolve, frozen

from benchmarks.gpu import kernels
from benchmarks.gpu.call import Call, say
from benchmarks.gpu.records import anchor_of
from benchmarks.gpu.subjects import Subject, evaluator
from benchmarks.gpu.text import table
from kernelevolve import registry
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.evolution.kernels import validity
from kernelevolve.evolution.recording import becomes_anchor
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload

#: Makes names new to caches on disk as well, which an earlier call may have filled.
_CALL: Final = secrets.token_hex(3)
#: Kernels whose compiling is under way at a time.
_AHEAD: Final = 2 * (os.cpu_count() or 1)


def run(call: Call) -> str:
    """Measure each accelerator on one small workload and on one of a public harness's size."""
    for subject in call.subjects:
        for workload in call.options.workloads or [_small(call, subject)]:
            key = f"throughput/{call.options.problem}/{workload}/{subject.name}"
            if call.late or call.done(key):
                continue
            say(f"{workload} on {subject.name}")
            one = _Throughput(call, registry.problem(call.options.problem), Workload.parse(str(workload)), subject)
            call.record(key, one.common(), one.run)
    return render(call)


def _small(call: Call, subject: Subject) -> str:
    problem = registry.problem(call.options.problem)
    smoke = [one for one in problem.tagged("smoke") if set(problem.dtypes(one).values()) <= subject.device.dtypes]
    if not smoke:
        raise KernelEvolveError(f"{problem.name} has no smoke workload for {subject.device.label}")
    return smoke[0].label


@frozen
class _Throughput:
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
        kernel = found.kernel
        with evaluator(self.problem, self.subject, [self.workload], self.call.settings) as warm:
            warm.warm_up()
            anchor = self._anchor(warm, kernel)
            self._heat(warm, kernel, anchor)
            # First the one that compiles nothing ahead: a part whose time is over may leave compiles under way.
            alone = self._new_kernels(warm, kernel, anchor, options.count, ahead=0)
            configurations = self._configurations(warm, kernel, anchor)
            together = self._new_kernels(warm, kernel, anchor, options.count, ahead=_AHEAD)
        cold = self._colds(kernel)
        return {
            "origin": found.origin,
            "digest": kernel.digest,
            "configurations": configurations,
            "new_kernels": together,
            "warm": _spread(alone["seconds_each"]),
            "cold": _spread(cold),
        }

    def _anchor(self, warm: Evaluator, kernel: Kernel) -> Anchor:
        first = warm.evaluate(kernel)
        anchor = anchor_of(kernel, first)
        if anchor is None:
            raise KernelEvolveError(f"the kernel to vary is {first.outcome}: {first.message}")
        return anchor

    def _heat(self, warm: Evaluator, kernel: Kernel, anchor: Anchor) -> None:
        """Start every compiling process, so that none starts while others are measured."""
        variants = [renamed(kernel, f"heat{index}") for index in range(os.cpu_count() or 1)]
        for one in variants:
            warm.prefetch(one, [one.default])
        for one in variants[-1:]:
            warm.evaluate(one, anchor=anchor)

    def _configurations(self, warm: Evaluator, kernel: Kernel, anchor: Anchor) -> dict[str, Any]:
        """Every configuration but the default once, up to the count asked for; each is compiled for the first time.

        The default comes before, untimed, as in a search: a kernel that is known to be right is checked on fewer cases
        in further configurations, until one is faster, which the later ones are paired with.
        """
        valid = validity(self.problem, (self.workload,), self.subject.device.facts)
        fresh = renamed(kernel, "tuned")
        others = [one for one in fresh.configurations() if valid(fresh, one) and dict(one) != dict(fresh.default)]
        chosen = others[: self.call.options.count] or [fresh.default]
        if others:
            self._anchor(warm, fresh)
        return self._evaluate(warm, [(fresh, one) for one in chosen], anchor, ahead=_AHEAD, moves=True)

    def _new_kernels(
        self, warm: Evaluator, kernel: Kernel, anchor: Anchor, count: int, *, ahead: int
    ) -> dict[str, Any]:
        variants = [renamed(kernel, f"new{ahead}x{index}") for index in range(count)]
        return self._evaluate(warm, [(one, one.default) for one in variants], anchor, ahead=ahead)

    def _evaluate(
        self,
        warm: Evaluator,
        todo: list[tuple[Kernel, Configuration]],
        anchor: Anchor,
        *,
        ahead: int,
        moves: bool = False,
    ) -> dict[str, Any]:
        """Evaluate one after the other, at most `ahead` being compiled meanwhile, until the part's time is over.

        `moves`: what beats the anchor is the next one's, as in a search.
        """
        each, outcomes = list[float](), list[str]()
        begin = time.perf_counter()
        for kernel, configuration in todo[:ahead]:
            warm.prefetch(kernel, [configuration])
        for index, (kernel, configuration) in enumerate(todo):
            if each and time.perf_counter() - begin > self.call.options.part_seconds:
                break
            for later, values in todo[index + ahead : index + ahead + 1] if ahead else ():
                warm.prefetch(later, [values])
            start = time.perf_counter()
            found = warm.evaluate(kernel, configuration, anchor)
            outcomes.append(str(found.outcome))
            if moves and becomes_anchor(found, anchor):
                anchor = anchor_of(kernel, found) or anchor
            each.append(time.perf_counter() - start)
        wall = time.perf_counter() - begin
        counted = {name: outcomes.count(name) for name in sorted(set(outcomes))}
        right = counted.get(Outcome.CORRECT, 0)
        return {"count": len(each), "per_second": right / wall, "seconds_each": each, "outcomes": counted}

    def _colds(self, kernel: Kernel) -> list[float]:
        seconds = [self._cold(kernel, 0)]
        while len(seconds) < self.call.options.cold and sum(seconds) <= self.call.options.part_seconds:
            seconds.append(self._cold(kernel, len(seconds)))
        return seconds

    def _cold(self, kernel: Kernel, index: int) -> float:
        begin = time.perf_counter()
        with evaluator(self.problem, self.subject, [self.workload], self.call.settings) as fresh:
            one = renamed(kernel, f"cold{index}")
            found = fresh.evaluate(one)
            seconds = time.perf_counter() - begin
        if not found.outcome.right:
            raise KernelEvolveError(f"a fresh evaluator says {found.outcome}: {found.message}")
        return seconds


def renamed(kernel: Kernel, suffix: str) -> Kernel:
    """The kernel with other names for its entries: the same to the device, unknown to every cache."""
    suffix = f"{suffix}_{_CALL}"
    entries = {launch.entry for launch in kernel.launches}
    body = re.sub(rf"\b({'|'.join(map(re.escape, sorted(entries)))})\b", rf"\1_{suffix}", kernel.body)
    launches = tuple(evolve(launch, entry=f"{launch.entry}_{suffix}") for launch in kernel.launches)
    return evolve(kernel, body=body, launches=launches)


def _spread(seconds: list[float]) -> dict[str, Any]:
    """Median and 95th percentile (nearest rank), raw values beside them."""
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)]
    return {"median": statistics.median(ordered), "p95": last, "seconds_each": seconds}


def render(call: Call) -> str:
    """Every known figure."""
    return table([_HEADING, *_rows(call)])


_HEADING: Final = ["accelerator", "workload", "configurations/s", "new kernels/s", "warm s (p95)", "cold s (p95)"]


def _rows(call: Call) -> Iterator[list[str]]:
    for record in call.results.of_kind("throughput"):
        where = [record["accelerator"], record["workload"]]
        if "error" in record:
            yield [*where, record["error"][:80], "", "", ""]
            continue
        rates = [f"{record[name]['per_second']:.2f}" for name in ("configurations", "new_kernels")]
        spreads = [f"{record[name]['median']:.2f} ({record[name]['p95']:.2f})" for name in ("warm", "cold")]
        yield [*where, *rates, *spreads]
