"""Start a run that is driven from outside, here or on a device that is away; and confirm what it came to."""

from __future__ import annotations

__all__ = ["TUNE", "confirm", "start"]

from collections.abc import Callable, Sequence
from typing import Final

from kernelevolve import registry
from kernelevolve._version import VERSION
from kernelevolve.accelerator import Device
from kernelevolve.api.absent import here, opened
from kernelevolve.api.finishing import finish
from kernelevolve.api.learning import learn_from
from kernelevolve.api.locks import device_lock, run_lock
from kernelevolve.api.records import RunResult, result_record
from kernelevolve.api.results import Measurement, Results
from kernelevolve.api.running import SearchSettings, lasting_reference, opened_run, using_store
from kernelevolve.api.verbs import create_run
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.wire import structure, unstructure
from kernelevolve.evolution.budget import Budget, budget_record
from kernelevolve.evolution.kernels import add_seed
from kernelevolve.evolution.loop import Evolution, Observer, SeedError
from kernelevolve.evolution.memory import make_memory
from kernelevolve.evolution.policies import make_policy
from kernelevolve.evolution.search import OUTSIDE
from kernelevolve.kernel import Kernel
from kernelevolve.problem import Problem, Workload
from kernelevolve.proposers.outside import OutsideProposer
from kernelevolve.store import EventKind, Run, Store

#: Evaluations that tuners may have before a confirmation: the credit of three structures (`evolution.tunings`).
TUNE: Final = 24


def start(
    problem: Problem | str,
    accelerator: str = "opencl",
    *,
    device: str | None = None,
    target: str | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    policy: str = "map-elites",
    search: SearchSettings | None = None,
    workloads: Sequence[Workload | str] | None = None,
    start: Kernel | None = None,
    results: Results | None = None,
    store: Store | None = None,
    waiting: Callable[[str], None] = lambda _: None,
) -> Run:
    """Keep a new run and evaluate its seed; go on with `ask` and `tell`. Arguments as for `evolve`.

    With `results` the run is one of the device that measured them, which may be away: accelerator, device, workloads
    and seed kernel are theirs, and giving others is an error. Nothing limits the run unless `budget` does. Raises
    `KernelEvolveError` for input that cannot be used, and where the seed is not right.
    """
    limits, how = budget or Budget(), search or SearchSettings()
    given = problem if isinstance(problem, Problem) else None
    with using_store(store) as kept:
        if results is not None:
            if device or target or workloads or start:
                raise KernelEvolveError(
                    "results say which device, target, workloads and seed kernel the run has; give none of them beside"
                )
            run = _away(kept, problem, results, limits, seed, policy, how)
            with run_lock(run.id, "tell", waiting), opened(kept, run.id, problem=given, results=results) as evolution:
                _seed(evolution)
            return run
        run = create_run(
            kept,
            problem,
            accelerator,
            device=device,
            target=target,
            budget=limits,
            seed=seed,
            proposer=OUTSIDE,
            policy=policy,
            search=how,
            workloads=workloads,
            start=start,
            eager=False,
        )
        on = structure(run.description, Device)
        with (
            run_lock(run.id, "tell", waiting),
            device_lock(on, waiting),
            opened_run(kept, run.id, problem=given, proposer=OutsideProposer()) as evolution,
        ):
            _seed(evolution)
        return run


def confirm(
    run: str,
    *,
    tune: int = TUNE,
    eager: bool = True,
    problem: Problem | None = None,
    store: Store | None = None,
    observer: Observer = lambda _: None,
    waiting: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Confirm the fittest kernels of a run against its seed, interleaved on fresh inputs, as the end of `evolve` does.

    Before that, the tuners search the tunables of the promising candidates with up to `tune` evaluations, on top of the
    run's budget and recorded like any others: what is told is measured with the first value of each tunable only. The
    run stays open: more can be asked and told. Raises `KernelEvolveError` where its device is not here.
    """
    if tune < 0:
        raise KernelEvolveError(f"tune is {tune}; it is a number of evaluations, 0 for none")
    with using_store(store) as kept, run_lock(run, "tell", waiting):
        record = kept.run(run)
        device = here(record)
        if isinstance(device, str):
            raise KernelEvolveError(f"run {run}: {device}")
        with (
            device_lock(device, waiting),
            opened_run(kept, run, problem=problem, proposer=OutsideProposer(), observer=observer) as evolution,
        ):
            evolution.evaluator.warm_up()
            _seed(evolution)
            for _ in range(tune):
                if not evolution.tune():
                    break
            count = evolution.search.evaluations
            result = finish(
                evolution, f"confirmed after {count} evaluations", eager=eager, reference=record.settings["reference"]
            )
            kept.add_event(run, EventKind.FINISHED, result_record(result))
            if structure(record.settings.get("search", {}), SearchSettings).learn:
                learn_from(evolution)
            return result


def _seed(evolution: Evolution) -> None:
    try:
        evolution.evaluate_pending()
    except SeedError as error:
        evolution.store.add_event(evolution.run.id, EventKind.FINISHED, {"reason": str(error)})
        raise KernelEvolveError(f"run {evolution.run.id}: {error}") from error


def _away(
    store: Store,
    problem: Problem | str,
    results: Results,
    limits: Budget,
    seed: int,
    policy: str,
    how: SearchSettings,
) -> Run:
    """Keep a run of the device that measured `results`."""
    what = registry.problem(problem) if isinstance(problem, str) else problem
    if what.fingerprint != results.fingerprint:
        raise KernelEvolveError(
            f"the results are of another problem, or another declaration of it ({results.problem!r}, not {what.name!r})"
        )
    measured = _right_seed(results)
    made = registry.accelerator(results.device.accelerator)
    make_policy(policy, restarts=how.restarts)
    make_memory(how.memory)
    reference = lasting_reference(problem)
    run = store.create_run(
        Run(
            problem=what.name,
            fingerprint=what.fingerprint,
            accelerator=made.name,
            device=results.device.name,
            language=measured.kernel.language,
            policy=policy,
            proposer=OUTSIDE,
            seed=seed,
            description=unstructure(results.device) | {"dtypes": sorted(results.device.dtypes)},
            budget=budget_record(limits),
            settings={
                "problem": reference or what.name,
                "reference": reference,
                "device": results.device.index,
                # An interpreter's stand-in for another target is asked for by that; a real device has its own.
                "target": results.device.target.name,
                "workloads": list(results.workloads),
                "evaluation": unstructure(results.settings),
                "eager": False,
                "search": unstructure(how),
                "model": {},
            },
            toolchain=dict(results.toolchain),
            version=VERSION,
        )
    )
    store.add_event(run.id, EventKind.STARTED)
    add_seed(store, run.id, measured.kernel)
    return run


def _right_seed(results: Results) -> Measurement:
    if results.seed is None:
        raise KernelEvolveError("the results hold no seed; let evaluate-batch measure one kernel at least")
    if not results.seed.evaluation.outcome.right:
        outcome, why = results.seed.evaluation.outcome, results.seed.evaluation.message
        raise KernelEvolveError(
            f"the seed kernel is {outcome} in the results, so nothing can be compared with it: {why}"
        )
    return results.seed
