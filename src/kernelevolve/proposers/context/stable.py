"""The stable prefix: contract, kernel file, language, hardware and problem. The same bytes all through a run."""

from __future__ import annotations

__all__ = ["FILE_ANSWER", "guide", "hardware_page", "stable_sections"]

import math
import re
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
    Realm.HARDWARE: (
        "Times are measured on the hardware itself: a kernel and the fastest one so far, in random order, on inputs "
        "that change; caches are evicted before each, unless the run says otherwise. A time in µs is of its moment, on "
        "a machine that may be busy: compare no two of them. The figure to trust is the paired ratio to the fastest "
        "kernel of that moment; a kernel far behind it gets a quick look alone, told as unpaired. Fitness (`× the "
        "start`) is the ratio to the kernel that the run started from."
    ),
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
#: What a description says that changes no kernel.
_NO_MATTER: Final = frozenset({"platform", "vendor"})
#: What each kind of checking inputs is, where a problem does not make them itself; never a size.
_KINDS: Final = {
    "normal": "independent normal elements, small whole numbers for integers",
    "large": "the same, thousands of times as large (less for narrow types)",
    "constant": "one value everywhere",
    "adversarial": "made for this problem to break what is careless",
}
#: Longer facts about a device are for people: how to install what is missing, for example.
_LONGEST_FACT: Final = 120


def stable_sections(request: ProposalRequest, answer: str, constraints: Sequence[Page]) -> tuple[Section, ...]:
    """The sections that every proposal of a run shares, in order; `constraints` are pages that hold all through it."""
    held = "\n\n".join(page.text.strip() for page in constraints)
    return (
        Section("contract", "The task", f"{guide('contract')}\n\n{answer.strip()}"),
        Section("kernel-file", "The kernel file", _kernel_file(request.language)),
        Section("language", f"The language: {request.language}", _language(request)),
        Section("hardware", f"The device: {request.device.name}", hardware_page(request.device)),
        *([Section("constraints", "What holds here", held)] if held else []),
        Section("problem", f"The problem: {request.problem.name}", _problem(request)),
    )


@lru_cache(maxsize=16)
def guide(name: str) -> str | None:
    """The text of ``guides/NAME.md``; None where there is none."""
    path = resources.files("kernelevolve.proposers.context") / "guides" / f"{name}.md"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _kernel_file(name: str) -> str:
    """What a kernel file is, with the example of a header in the language that is asked for."""
    prefix = f"{language(name).comment} "
    written = guide(f"header_{name}") or guide("header")
    header = "\n".join(prefix + line for line in (written or "").replace("LANGUAGE", name).splitlines())
    return (guide("kernel_file") or "").replace("HEADER", fenced(header, "c" if prefix == "// " else "python"))


def _language(request: ProposalRequest) -> str:
    written = guide(request.language)
    if written is not None:
        return _without_half(written) if "float16" not in request.device.dtypes else written
    known = language(request.language)
    return (
        f"The header's prefix is `{known.comment} `, and files end in `{known.suffix}`. What a source may contain is "
        "for the gate to say: a rejection names the rule and the line."
    )


def _without_half(text: str) -> str:
    """A guide without its points about half precision, for a device that has none."""
    return re.sub(r"^- Half precision:.*\n(?:  .*\n)*", "", text, flags=re.MULTILINE)


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
        if len(value) <= _LONGEST_FACT and name not in _NO_MATTER
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
    parts += [_tolerance(problem.tolerance, _row(problem)), _distributions(problem), _workloads(request)]
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


def _tolerance(tolerance: Tolerance, row: str) -> str:
    return (
        f"Tolerance, as a share of the element's magnitude or, where that is larger, the root mean square of {row}: "
        f"{tolerance.output_roundings:g} roundings of the output's type, plus the largest of "
        f"{tolerance.compute_roundings:g} float32 roundings, "
        f"{tolerance.summation_roundings:g} × √(longest axis) of them, and {tolerance.native_multiple:g} × the error "
        f"of PyTorch in the tensors' own types; at most {tolerance.ceiling:.0%}. Integers must be equal."
    )


def _row(problem: Problem) -> str:
    if all(len(output.shape) < 2 for output in problem.outputs):
        return "all of the output"
    return "its row (along the last axis; of the whole output where rows are short)"


def _distributions(problem: Problem) -> str:
    if problem.generate is not None:
        kinds = ", ".join(problem.distributions)
        return (
            f"Checked on sizes that are not shown, on inputs that are made for this problem: {kinds}. Each obeys what "
            "the description says; large ones reach for the ends of what is allowed, adversarial ones break what is "
            "careless."
        )
    lines = [f"- {kind}: {_KINDS[kind]}" for kind in problem.distributions if kind in _KINDS]
    return "\n".join(["Checked on sizes that are not shown, on inputs of these kinds:", "", *lines])


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
