"""Kernels as a run handles them: compared without their layout, read from the store, held against constraints."""

from __future__ import annotations

__all__ = ["add_seed", "fetcher", "normal_form", "validity"]

from collections.abc import Callable, Mapping

from kernelevolve.kernel import Configuration, Kernel, parse_kernel, render_kernel
from kernelevolve.outcome import CandidateError
from kernelevolve.plan import serves, violated
from kernelevolve.problem import Problem, Workload
from kernelevolve.registry import language
from kernelevolve.store import Candidate, Store


def normal_form(kernel: Kernel) -> str:
    """Digest of header and source without layout: equal for kernels that differ only in comments."""
    try:
        body = language(kernel.language).normalize(kernel.body)
    except CandidateError:  # a source that cannot be read is compared as it is
        body = kernel.body
    return kernel.with_body(body).digest


def add_seed(store: Store, run: str, kernel: Kernel, note: str = "what the run starts from") -> None:
    """Keep the kernel that a run starts from as its candidate 0."""
    seed = Candidate(run=run, operator="seed", note=note, normal_form=normal_form(kernel))
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
