"""The task linter: finds problems whose kernels could not be judged, before any kernel is.

A bad task rewards nothing: an output that never changes, a single tiny shape, a reference that is slow by construction.
The ids C1 to C5 are those of public collections of benchmark failures.
"""

from __future__ import annotations

__all__ = ["Finding", "lint"]

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal

import torch
from attrs import evolve, frozen

from kernelevolve.errors import ProblemError
from kernelevolve.evaluation.cases import (
    DEFAULT_LIMIT,
    InputCase,
    case_seed,
    derived_workloads,
    expect,
    make_inputs,
    run_reference,
    tensor_bytes,
)
from kernelevolve.problem import Problem, Workload

Severity = Literal["error", "warning"]

#: The linter's own draw of inputs. It is no secret: nothing here is ever shown to a candidate.
_SEED: Final = 20_251
#: The reference runs a dozen times, on a workload of at most so many bytes if there is one.
_CONVENIENT_BYTES: Final = 2**20
#: Below this many bytes and operations a launch takes longer than its work on any device (about 10 microseconds at
#: 100 GB/s and 10^11 operations per second).
_TINY_BYTES: Final = 2**20
_TINY_OPERATIONS: Final = 10**6
#: A reference this many times slower than copying its data, and slower than its arithmetic allows, loops in Python.
_SLOW_FACTOR: Final = 200.0
_SLOW_SECONDS: Final = 0.02
#: Operations per second that PyTorch reaches on one slow core (a plain float32 matrix product).
_SLOW_RATE: Final = 1e9


@frozen
class Finding:
    """One thing that is wrong with a problem: errors make it unfit for evaluation, warnings weaken its results."""

    severity: Severity
    #: A stable id: ``C1-constant-output``.
    rule: str
    #: One sentence that says what to change.
    message: str

    def __str__(self) -> str:
        return f"{self.severity} {self.rule}: {self.message}"


@frozen
class _Probe:
    """The reference's run on the smallest workload that can tell anything."""

    problem: Problem
    case: InputCase
    inputs: Mapping[str, torch.Tensor]
    outputs: tuple[torch.Tensor, ...]

    def again(self, changed: Mapping[str, torch.Tensor] | None = None) -> tuple[torch.Tensor, ...]:
        """The outputs for the same inputs, with `changed` ones in place of their namesakes."""
        given = {name: tensor.clone() for name, tensor in {**self.inputs, **(changed or {})}.items()}
        return run_reference(self.problem, self.case.workload, given)

    def redraw(self, draw: int) -> dict[str, torch.Tensor]:
        """Other inputs of the same kind, respecting the problem's generator."""
        return make_inputs(evolve(self.case, seed=case_seed(_SEED, draw)))


def lint(problem: Problem) -> tuple[Finding, ...]:
    """Everything the linter has to say, errors first. Runs the reference a few times on the smallest workload."""
    try:
        probe = _probe(problem)
        expect(probe.case, probe.inputs)
    except ProblemError as error:
        return (Finding("error", "reference", str(error)),)
    findings = [finding for rule in _RULES for finding in rule(probe)]
    return tuple(sorted(findings, key=lambda finding: finding.severity != "error"))


def _probe(problem: Problem) -> _Probe:
    case = InputCase(problem, _convenient(problem), problem.distributions[0], case_seed(_SEED, 0))
    inputs = make_inputs(case)
    probe = _Probe(problem, case, inputs, ())
    return evolve(probe, outputs=probe.again())


def _convenient(problem: Problem) -> Workload:
    """The smallest visible workload; where that is large, the largest unseen one that is not."""

    def nbytes(workload: Workload) -> int:
        return sum(problem.nbytes(spec, workload) for spec in problem.tensors)

    smallest = min(problem.workloads, key=nbytes)
    if nbytes(smallest) <= _CONVENIENT_BYTES:
        return smallest
    unseen = problem.hidden or derived_workloads(problem, _CONVENIENT_BYTES)
    return max((one for one in unseen if nbytes(one) <= _CONVENIENT_BYTES), key=nbytes, default=smallest)


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.dtype == right.dtype and bytes(tensor_bytes(left)) == bytes(tensor_bytes(right))


def _nondeterministic(probe: _Probe) -> Iterator[Finding]:
    for spec, first, second in zip(probe.problem.outputs, probe.outputs, probe.again(), strict=True):
        if not _same(first, second):
            message = (
                f"the reference gave two results for {spec.name!r} from the same inputs; take randomness out of it"
            )
            yield Finding("error", "nondeterministic", message)


def _changed_inputs(probe: _Probe) -> Iterator[Finding]:
    given = {name: tensor.clone() for name, tensor in probe.inputs.items()}
    run_reference(probe.problem, probe.case.workload, given)
    for name, tensor in given.items():
        if not _same(tensor, probe.inputs[name]):
            yield Finding("error", "input-changed", f"the reference writes to its input {name!r}; make it copy first")


def _constant_output(probe: _Probe) -> Iterator[Finding]:
    others = [probe.again(probe.redraw(draw)) for draw in (1, 2)]
    for index, spec in enumerate(probe.problem.outputs):
        if all(_same(probe.outputs[index], other[index]) for other in others):
            yield Finding(
                "error",
                "C1-constant-output",
                f"output {spec.name!r} is the same for different inputs, so a kernel that computes nothing would pass; "
                "make the reference depend on its inputs, or the generator draw other ones",
            )


def _constant_inputs(probe: _Probe) -> Iterator[Finding]:
    draws = [probe.redraw(draw) for draw in (1, 2)]
    for name, tensor in probe.inputs.items():
        if tensor.numel() and all(_same(tensor, draw[name]) for draw in draws):
            yield Finding(
                "error",
                "C2-constant-input",
                f"input {name!r} is the same in every draw, so a kernel may carry its values; "
                "let generate use request.rng",
            )


def _ignored_inputs(probe: _Probe) -> Iterator[Finding]:
    for spec in probe.problem.inputs:
        draws = [probe.again({spec.name: probe.redraw(draw)[spec.name]}) for draw in (1, 2, 3)]
        if all(_same(old, new) for draw in draws for old, new in zip(probe.outputs, draw, strict=True)):
            yield Finding(
                "error",
                "ignored-input",
                f"no output changes with input {spec.name!r}; use it in the reference or leave it out of the problem",
            )


def _copied_input(probe: _Probe) -> Iterator[Finding]:
    for spec, output in zip(probe.problem.outputs, probe.outputs, strict=True):
        for name, tensor in probe.inputs.items():
            if output.shape == tensor.shape and output.numel() > 1 and torch.equal(output, tensor):
                yield Finding(
                    "warning",
                    "copied-input",
                    f"output {spec.name!r} equals input {name!r}; a kernel that copies would pass, "
                    "so check the reference",
                )


def _not_finite(probe: _Probe) -> Iterator[Finding]:
    for name, wanted in expect(probe.case, probe.inputs).outputs.items():
        if wanted.slack is not None and bool(torch.isnan(wanted.values).any()):
            yield Finding(
                "error",
                "nan",
                f"the reference gives NaN in {name!r} for {probe.case.distribution} inputs; "
                "declare a generator that draws from where it is defined",
            )
        elif wanted.slack is not None and bool(torch.isnan(wanted.slack).any()):
            yield Finding(
                "warning",
                "overflow",
                f"output {name!r} overflows {wanted.dtype} for {probe.case.distribution} inputs; "
                "those elements only check that a kernel overflows too, so scale the inputs down in a generator",
            )


def _one_workload(probe: _Probe) -> Iterator[Finding]:
    if len({one.label for one in probe.problem.workloads}) == 1:
        yield Finding(
            "warning",
            "C5-one-workload",
            "there is one workload only, so a kernel may fit nothing but that shape; declare a second one",
        )


def _no_smoke(probe: _Probe) -> Iterator[Finding]:
    if not probe.problem.tagged("smoke"):
        message = (
            "no workload is tagged 'smoke'; tag a small one, Workload.parse(…, ['smoke']), to stop broken kernels early"
        )
        yield Finding("warning", "no-smoke", message)


def _tiny(probe: _Probe) -> Iterator[Finding]:
    problem = probe.problem
    if all(_is_tiny(problem, one) for one in problem.workloads):
        largest = max(problem.workloads, key=problem.compulsory_bytes)
        yield Finding(
            "warning",
            "C3-launch-overhead",
            f"even {largest.label} moves {problem.compulsory_bytes(largest)} bytes only, so times would be launch "
            f"overhead; declare a workload of at least {_TINY_BYTES} bytes",
        )


def _is_tiny(problem: Problem, workload: Workload) -> bool:
    return (
        problem.compulsory_bytes(workload) < _TINY_BYTES and (problem.operation_count(workload) or 0) < _TINY_OPERATIONS
    )


def _slow_reference(probe: _Probe) -> Iterator[Finding]:
    """C4: time against a pass over the same bytes and against what the declared operations may take."""
    buffers = [*probe.inputs.values(), *probe.outputs]
    reference = _fastest(probe.again)
    copying = _fastest(lambda: [tensor.clone() for tensor in buffers])
    arithmetic = (probe.problem.operation_count(probe.case.workload) or 0) / _SLOW_RATE
    if reference > max(_SLOW_SECONDS, _SLOW_FACTOR * copying + arithmetic):
        yield Finding(
            "warning",
            "C4-slow-reference",
            f"the reference takes {reference * 1e3:.0f} ms on {probe.case.workload.label}, "
            f"{reference / copying:.0f} times as long as copying its data; "
            "write it with whole-tensor operations, without a Python loop over elements",
        )


def _fastest(action: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of this thread's own processor time, which other work on the machine does not stretch."""
    best = math.inf
    for _ in range(repeats):
        start = time.thread_time()
        action()
        best = min(best, time.thread_time() - start)
    return max(best, 1e-6)


def _no_hidden(probe: _Probe) -> Iterator[Finding]:
    problem = probe.problem
    if not problem.hidden and not derived_workloads(problem, DEFAULT_LIMIT):
        requires = problem.requires.text if problem.requires else "its shapes"
        yield Finding(
            "warning",
            "no-hidden",
            f"no unseen workload could be derived that fits {requires}, so kernels are checked on visible shapes only; "
            "declare hidden=(…) with odd sizes",
        )


def _other_distributions(probe: _Probe) -> Iterator[Finding]:
    """Every declared distribution must give inputs, and a reference that runs on them."""
    for kind in probe.problem.distributions[1:]:
        try:
            expect(evolve(probe.case, distribution=kind))
        except ProblemError as error:
            yield Finding("error", "distribution", f"{error}; mend it, or leave {kind!r} out of distributions")
    if "adversarial" in probe.problem.distributions and probe.problem.generate is None:
        message = "'adversarial' inputs are declared and no generate makes them; add one, or leave them out"
        yield Finding("warning", "distribution", message)


_RULES: Final[tuple[Callable[[_Probe], Iterator[Finding]], ...]] = (
    _nondeterministic,
    _changed_inputs,
    _constant_output,
    _constant_inputs,
    _ignored_inputs,
    _copied_input,
    _not_finite,
    _other_distributions,
    _one_workload,
    _no_smoke,
    _tiny,
    _slow_reference,
    _no_hidden,
)
