"""Starting from what was found elsewhere: the best kernels of the same problem on other hardware or other shapes."""

from __future__ import annotations

__all__ = ["Found", "best_elsewhere"]

from typing import Final

from attrs import frozen

from kernelevolve.accelerator import Device, Source
from kernelevolve.kernel import Configuration
from kernelevolve.outcome import Outcome
from kernelevolve.store import Evaluation, Run, Standing, Store

#: What a run started from; whoever starts a new one has it already.
_SEED: Final = 0
#: Times that are no measurement of a device: they rank, and are no reason to prefer a kernel elsewhere.
_NO_TIMES: Final = (Source.ANALYTIC,)


@frozen
class Found:
    """A kernel that another run ended with."""

    run: Run
    candidate: int
    #: The kernel file, as it was stored; `configuration` is the best one there.
    text: str
    configuration: Configuration
    #: Over that run's own seed, on that run's device and shapes: it promises nothing here.
    fitness: float
    #: Which shapes and device, in words.
    where: str
    #: It was found on this very device, with other shapes.
    same_device: bool


def best_elsewhere(
    store: Store,
    problem: str,
    device: Device,
    language: str,
    *,
    workloads: tuple[str, ...] = (),
    limit: int = 3,
) -> tuple[Found, ...]:
    """The best right kernels for `problem` in `language` that runs on other hardware or other shapes found.

    `workloads` are the labels of what the new run times. This device's kernels come first, then those of devices with
    the same accelerator, then the rest; within each the fittest first. Each kernel text once. What was found on this
    device for these very workloads is left out where `workloads` is given: that is no transfer, but the same search.
    Kernels come as they are and may not serve the new shapes; whoever starts from one evaluates it first.
    """
    found: dict[str, Found] = {}
    for standing in sorted(_standings(store, problem, language), key=lambda one: _order(one, device)):
        run, evaluation = standing.run, standing.evaluation
        here = run.accelerator == device.accelerator and run.device == device.name
        timed = tuple(evaluation.times)
        if workloads and here and set(timed) == set(workloads):
            continue
        text = store.kernel_text(run.id, standing.candidate)
        if text not in found:
            found[text] = Found(
                run=run,
                candidate=standing.candidate,
                text=text,
                configuration=dict(evaluation.configuration),
                fitness=evaluation.fitness or 0.0,
                where=_where(run, evaluation, here=here),
                same_device=here,
            )
    return tuple(found.values())[:limit]


def _standings(store: Store, problem: str, language: str) -> list[Standing]:
    """The best of every run; `Store.best` keeps one per group, which would hide other shapes on the same device."""
    best = []
    for run in store.runs(problem=problem):
        if run.language == language:
            right = (one for one in store.evaluations(run.id) if one.candidate != _SEED and _counts(one))
            top = max(right, key=lambda one: (one.fitness or 0.0, -one.id), default=None)
            if top is not None:
                best.append(Standing(run, top.candidate, top))
    return best


def _counts(evaluation: Evaluation) -> bool:
    right = evaluation.outcome is Outcome.CORRECT and bool(evaluation.fitness)
    return right and evaluation.source is not None and evaluation.source not in _NO_TIMES


def _order(standing: Standing, device: Device) -> tuple[bool, bool, float, str]:
    run = standing.run
    same_kind = run.accelerator == device.accelerator
    return (
        not (same_kind and run.device == device.name),
        not same_kind,
        -(standing.evaluation.fitness or 0.0),
        run.id,
    )


def _where(run: Run, evaluation: Evaluation, *, here: bool) -> str:
    shapes = "; ".join(evaluation.times)
    place = "this device" if here else f"{run.accelerator}: {run.device}"
    return f"{evaluation.fitness or 0.0:.2f}× its seed on {place} ({shapes}; {evaluation.source}), run {run.id}"
