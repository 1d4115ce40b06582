"""From names to things: accelerators, devices, problems, proposers, workloads; one clear sentence where one fails."""

from __future__ import annotations

__all__ = [
    "check_language",
    "check_ready",
    "choose_workloads",
    "find_target",
    "language_of",
    "open_accelerator",
    "open_problem",
    "open_proposer",
    "open_sanitizer",
]

from collections.abc import Mapping, Sequence
from typing import Any

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, Device, Interprets, Realm, Sanitizes, Status, Target
from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.evaluation.casebook import default_workload
from kernelevolve.evaluation.lint import lint
from kernelevolve.evolution.proposal import Proposer, Readies, TakesModel
from kernelevolve.kernel import Kernel
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.mixed import Mixed


def choose_workloads(
    problem: Problem, device: Device, wanted: Sequence[Workload | str] | None = None
) -> tuple[Workload, ...]:
    """What is timed: `wanted`, or the problem's own choice for this kind of device.
    Raises `ProblemError` for a workload that does not fit the problem.
    """
    if not wanted:
        return (default_workload(problem, device),)
    chosen = tuple(one if isinstance(one, Workload) else Workload.parse(one) for one in wanted)
    for workload in chosen:
        problem.check(workload)
    return chosen


def open_accelerator(name: str, device: str | None, target: str | None = None) -> tuple[Accelerator, Device]:
    """The accelerator and the device; with `target`, the interpreter that stands in for a device of that target."""
    made = registry.accelerator(name)
    status = made.probe()
    if status.status is not Status.OK:
        raise KernelEvolveError(f"accelerator {name!r} cannot be used here: {status.message}")
    found = registry.find_device(made, device)
    if target is None or found.target.name == target:
        return made, found
    if found.realm is not Realm.INTERPRETED or not isinstance(made, Interprets):
        raise KernelEvolveError(
            f"{found.label} runs code for {found.target.name} only; another target needs the accelerator's interpreter"
        )
    return made, made.stand_in(find_target(made, target))


def find_target(made: Accelerator, name: str) -> Target:
    """The target called `name`, or the one that ends so. Raises `UnknownNameError` with the list."""
    targets = {target.name: target for target in made.targets()}
    found = targets.get(name) or next((t for full, t in targets.items() if full.endswith(f":{name}")), None)
    if found is None:
        raise UnknownNameError("target", name, targets, where=f"accelerator {made.name!r}")
    return found


def open_sanitizer(name: str) -> str:
    """The index of the accelerator's sanitizer. Raises `KernelEvolveError` where it has none, or a part is missing."""
    made = registry.accelerator(name)
    if not isinstance(made, Sanitizes):
        raise KernelEvolveError(f"accelerator {name!r} has no sanitizer; leave --sanitize out")
    return str(made.sanitizer().index)


def open_problem(problem: Problem | str, device: Device) -> Problem:
    what = registry.problem(problem) if isinstance(problem, str) else problem
    if device.realm is Realm.REPLAY:  # a recording has no reference to lint
        return what
    errors = [finding for finding in lint(what) if finding.severity == "error"]
    if errors:
        raise KernelEvolveError(f"problem {what.name!r} cannot be trusted: " + "; ".join(str(one) for one in errors))
    return what


def language_of(problem: Problem, made: Accelerator) -> str:
    for name in sorted(made.languages):
        if name in problem.seeds:
            return name
    spoken, seeds = ", ".join(sorted(made.languages)), ", ".join(problem.seeds) or "none"
    raise KernelEvolveError(
        f"problem {problem.name!r} has no seed in a language of {made.name!r} ({spoken}); its seeds are: {seeds}. "
        "Give one with --start FILE"
    )


def check_language(kernel: Kernel, made: Accelerator) -> None:
    if kernel.language not in made.languages:
        raise UnknownNameError("language", kernel.language, sorted(made.languages), where=f"accelerator {made.name!r}")


def open_proposer(proposer: str | Proposer, model: Mapping[str, Any] | None = None) -> Proposer:
    """The proposer of this name, or several joined by ``+`` as one; `model` are settings for those that call a model.

    Raises `UnknownNameError` with the list, `KernelEvolveError` where the settings do not fit.
    """
    if not isinstance(proposer, str):
        return proposer
    names = [name.strip() for name in proposer.split("+")]
    if model and not any(isinstance(registry.load("proposer", name), TakesModel) for name in names):
        raise KernelEvolveError(
            f"proposer {proposer!r} calls no language model, so {', '.join(sorted(model))} would change nothing"
        )
    parts = [_proposer(name, model or {}) for name in names]
    return parts[0] if len(parts) == 1 else Mixed(parts)


def _proposer(name: str, model: Mapping[str, Any]) -> Proposer:
    value = registry.load("proposer", name)
    if isinstance(value, TakesModel):
        return value.configured(model)
    made: Proposer = value() if isinstance(value, type) else value
    return made


def check_ready(proposer: Proposer) -> None:
    """Raises `KernelEvolveError` where a proposer lacks what it needs, such as a key."""
    for one in proposer.proposers if isinstance(proposer, Mixed) else (proposer,):
        if isinstance(one, Readies):
            one.check_ready()
