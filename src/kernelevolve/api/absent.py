"""A run whose device nobody opens: to ask for proposals, and to take in what was measured elsewhere."""

from __future__ import annotations

__all__ = ["Recorded", "here", "opened"]

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, Device
from kernelevolve.api.devices import changed_software, same_device
from kernelevolve.api.opening import open_accelerator
from kernelevolve.api.results import Measurement, Results
from kernelevolve.api.running import make_evolution
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.pipeline import Anchor, Evaluator, Settings
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.evaluation.wire import structure, unstructure
from kernelevolve.evolution.budget import budget_from
from kernelevolve.evolution.loop import Evolution
from kernelevolve.kernel import Configuration, Kernel
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.outside import OutsideProposer
from kernelevolve.store import Run, Store


class Recorded(Evaluator):
    """Answers with evaluations that were measured elsewhere, by the kernel's digest; compiles and runs nothing."""

    def __init__(
        self,
        problem: Problem,
        made: Accelerator,
        device: Device,
        *,
        workloads: tuple[Workload, ...],
        settings: Settings,
        results: Results | None,
    ) -> None:
        super().__init__(
            problem,
            made,
            device,
            workloads=workloads,
            path=registry.worker_path(made.name),
            settings=settings,
            secret=0,  # seeds inputs that nothing is ever run on
        )
        self._found: Mapping[str, Evaluation] = {} if results is None else _by_digest(results)

    def evaluate(
        self,
        kernel: Kernel,
        configuration: Configuration | None = None,
        anchor: Anchor | None = None,  # noqa: ARG002  # it was paired with the seed, where it was measured
        baseline: Anchor | None = None,  # noqa: ARG002
    ) -> Evaluation:
        """What was measured. Raises `KernelEvolveError` where nothing was, in this configuration."""
        found = self._found.get(kernel.digest)
        if found is None or dict(found.configuration) != dict(
            kernel.default if configuration is None else configuration
        ):
            raise KernelEvolveError(f"the results hold nothing of kernel {kernel.digest}; measure it on the device")
        return found


def _by_digest(results: Results) -> dict[str, Evaluation]:
    measured = [*((results.seed,) if results.seed else ()), *results.kernels.values()]
    return {one.kernel.digest: _with_provenance(one, results) for one in measured}


def _with_provenance(one: Measurement, results: Results) -> Evaluation:
    """The evaluation, saying where and when it was measured, and by what."""
    provenance = {
        "measured": one.measured,
        "seconds": one.seconds,
        "device": results.device.label,
        "driver": results.device.description.get("driver", ""),
        "toolchain": dict(results.toolchain),
        "protocol": unstructure(results.settings.protocol),
        "version": results.version,
    }
    return evolve(one.evaluation, profile={**one.evaluation.profile, "provenance": provenance})


def here(run: Run) -> Device | str:
    """The device of `run`, or why there is none in this machine, with the software of then, in words."""
    wanted = structure(run.description, Device)
    try:
        made, on = open_accelerator(run.accelerator, str(run.settings["device"]), run.settings.get("target"))
    except KernelEvolveError as error:
        return f"{run.device} is not here: {error}"
    if not same_device(on, wanted):
        return f"{run.device} is not here: device {on.index} of {run.accelerator!r} is {on.name}"
    changed = changed_software(wanted, run.toolchain, on, made.toolchain())
    if changed:
        return f"{run.device} is here with other software than the run's numbers are of: {changed}"
    return on


@contextmanager
def opened(
    store: Store, run: str, *, problem: Problem | None = None, results: Results | None = None
) -> Iterator[Evolution]:
    """The run as the store has it, with the device as it was described then; what `results` hold counts as measured.

    A problem that was given as an object must be given again. Raises `KernelEvolveError` where the run, its problem or
    its accelerator's plugin is not to be had.
    """
    record = store.run(run)
    what = problem or registry.problem(str(record.settings["problem"]))
    if what.fingerprint != record.fingerprint:
        raise KernelEvolveError(f"run {run}: problem {what.name!r} was declared differently then; start a new run")
    with Recorded(
        what,
        registry.accelerator(record.accelerator),
        structure(record.description, Device),
        workloads=tuple(Workload.parse(label) for label in record.settings["workloads"]),
        settings=structure(record.settings["evaluation"], Settings),
        results=results,
    ) as evaluator:
        yield make_evolution(
            store, record, what, evaluator, OutsideProposer(), budget_from(record.budget), lambda _: None
        )
