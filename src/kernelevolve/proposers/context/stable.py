"""The stable prefix: contract, kernel file, language, hardware and problem. The same bytes all through a run."""

from __future__ import annotations

__all__ = ["FILE_ANSWER", "guide", "hardware_page", "stable_sections"]

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import resources
from typing import Final

from kernelevolve.accelerator import Device, Peaks, Realm
from kernelevolve.evaluation.profile import plausibility_floor
from kernelevolve.evolution.proposal import ProposalRequest
from kernelevolve.knowledge import Page
from kernelevolve.problem import Problem, TensorSpec, Tolerance, Workload
from kernelevolve.proposers.context.document import Section, fenced
from kernelevolve.proposers.context.reference_source import reference_source
from kernelevolve.registry import language

#: How a proposal is handed in where nothing else is said: for a person, a script or an agent.
FILE_ANSWER: Final = """Answer with one complete kernel file, header and source as described below, and nothing around
it. Say with it, in one line each, what was changed, which bottleneck that is aimed at, and how many times as fast as
the first parent the kernel should be."""

_REALMS: Final = {
    Realm.HARDWARE: "Times are measured on the hardware itself.",
    Realm.EMULATED: "The chip is emulated: times are cycles of a machine model, and come out the same every time.",
    Realm.INTERPRETED: "Kernels are interpreted: results are checked, and no time exists. Write for the chip named.",
    Realm.REPLAY: "Times were recorded on another machine.",
}
_FACTS: Final = {
    "num_units": "units that run groups (SMs, CUs, PEs, cores)",
    "warp_size": "lanes that run together",
    "max_group_size": "items in a group, at most",
}
_MEMORY: Final = {
    "global": "device memory",
    "local": "local (shared) memory of one group",
    "cache": "last-level cache",
    "max_allocation": "largest single buffer",
}
#: Longer facts about a device are for people: how to install what is missing, for example.
_LONGEST_FACT: Final = 120


def stable_sections(request: ProposalRequest, answer: str, constraints: Sequence[Page]) -> tuple[Section, ...]:
    """The sections that every proposal of a run shares, in order; `constraints` are pages that hold all through it."""
    held = "\n\n".join(page.text.strip() for page in constraints)
    return (
        Section("contract", "The task", f"{guide('contract')}\n\n{answer.strip()}"),
        Section("kernel-file", "The kernel file", guide("kernel_file") or ""),
        Section("language", f"The language: {request.language}", _language(request.language)),
        Section("hardware", f"The device: {request.device.name}", hardware_page(request.device)),
        *([Section("constraints", "What holds here", held)] if held else []),
        Section("problem", f"The problem: {request.problem.name}", _problem(request)),
    )


@lru_cache(maxsize=16)
def guide(name: str) -> str | None:
    """The text of ``guides/NAME.md``; None where there is none."""
    path = resources.files("kernelevolve.proposers.context") / "guides" / f"{name}.md"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _language(name: str) -> str:
    written = guide(name)
    if written is not None:
        return written
    known = language(name)
    return (
        f"The header's prefix is `{known.comment} `, and files end in `{known.suffix}`. What a source may contain is "
        "for the gate to say: a rejection names the rule and the line."
    )


def hardware_page(device: Device) -> str:
    """What is known of a device: target, facts, memory, element types and peaks, each with its unit."""
    lines = [
        f"- accelerator `{device.accelerator}`, target `{device.target.name}`",
        f"- {_REALMS[device.realm]}",
        *(
            f"- {device.facts[name]} {meaning} (`{name}` in header expressions)"
            for name, meaning in _FACTS.items()
            if name in device.facts
        ),
        *(f"- {_bytes(device.memory[name])} {meaning}" for name, meaning in _MEMORY.items() if name in device.memory),
        f"- computes with {', '.join(sorted(device.dtypes))}",
    ]
    if device.host_threads is not None:
        lines.append(f"- runs on the host's own processor, on {device.host_threads} threads")
    lines += _peaks(device.peaks)
    lines += [
        f"- {name.replace('_', ' ')}: {value}"
        for name, value in sorted(device.description.items())
        if len(value) <= _LONGEST_FACT
    ]
    return "\n".join(lines)


def _peaks(peaks: Peaks | None) -> Iterator[str]:
    if peaks is None:
        yield "- no peaks are known"
        return
    moved, computed = peaks.bytes_per_second, peaks.operations_per_second
    if moved:
        yield f"- at most {_plain(moved / 1e9)} GB/s from memory"
    if computed:
        yield f"- at most {_plain(computed / 1e9)} Gop/s"
    if moved and computed:
        yield f"- ridge of the roofline: {_plain(computed / moved)} operations per byte; below it memory is the limit"
    yield f"- bounds, not expectations; from: {peaks.source}"


def _plain(value: float) -> str:
    """Four digits, and never an exponent for a large number."""
    return f"{value:.4g}" if value < 1e4 else f"{value:,.0f}"


def _bytes(count: int) -> str:
    power = min(3, int(math.log2(count)) // 10) if count > 0 else 0
    return f"{count / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"


def _problem(request: ProposalRequest) -> str:
    problem = request.problem
    parts = [problem.description, _tensors(problem)]
    source = reference_source(problem)
    if source is not None:
        parts.append(
            f"The reference, in PyTorch (expected values come from it in float64):\n\n{fenced(source, 'python')}"
        )
    if problem.requires is not None:
        parts.append(f"Every workload satisfies `{problem.requires.text}`.")
    parts += [_tolerance(problem.tolerance), _distributions(problem), _workloads(request)]
    return "\n\n".join(part for part in parts if part)


def _tensors(problem: Problem) -> str:
    lines = [f"Axes: {', '.join(f'`{axis}`' for axis in problem.axes)}.", ""]
    for role, specs in (("input", problem.inputs), ("output", problem.outputs)):
        lines += [
            f"- {role} `{one.name}`: [{_shape(one)}], {one.dtype} unless a workload says otherwise" for one in specs
        ]
    lines += [f"- scalar `{scalar.name}` = {scalar.value!r}, {scalar.dtype}" for scalar in problem.scalars]
    return "\n".join(lines)


def _shape(spec: TensorSpec) -> str:
    return ", ".join(expression.text for expression in spec.shape) or "one element"


def _tolerance(tolerance: Tolerance) -> str:
    return (
        f"Tolerance, as a share of the magnitude of the element's row: {tolerance.output_roundings:g} roundings of the "
        f"output's type, plus the largest of {tolerance.compute_roundings:g} float32 roundings, "
        f"{tolerance.summation_roundings:g} × √(longest axis) of them, and {tolerance.native_multiple:g} × the error "
        f"of PyTorch in the tensors' own types; at most {tolerance.ceiling:.0%}. Integers must be equal."
    )


def _distributions(problem: Problem) -> str:
    return f"Checked on inputs of these kinds: {', '.join(problem.distributions)}; on sizes that are not shown."


def _workloads(request: ProposalRequest) -> str:
    lines = (f"- `{workload.label}`: {_limits(request, workload)}" for workload in request.workloads)
    return "\n".join(["Timed workloads:", "", *lines])


def _limits(request: ProposalRequest, workload: Workload) -> str:
    problem = request.problem
    moved, operations = problem.compulsory_bytes(workload), problem.operation_count(workload)
    types = ", ".join(f"{name}:{dtype}" for name, dtype in problem.dtypes(workload).items())
    text = f"{types}; {moved / 1e6:.4g} MB must move at least"
    if operations:
        text += f", {operations / 1e6:.4g} M operations ({operations / moved:.3g} per byte)"
    floor = plausibility_floor(problem, request.device, workload)
    return f"{text}; by the device's peaks not below {floor * 1e6:.4g} µs" if floor else text
