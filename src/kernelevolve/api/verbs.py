"""The verbs: evaluate one kernel, evolve a problem's kernel, resume a run."""

from __future__ import annotations

__all__ = ["evaluate", "evolve", "resume"]

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import attrs

from kernelevolve import registry
from kernelevolve._version import VERSION
from kernelevolve.accelerator import Accelerator, Device
from kernelevolve.api.beside_torch import beside_torch
from kernelevolve.api.finishing import finish
from kernelevolve.api.opening import (
    check_language,
    choose_workloads,
    language_of,
    open_accelerator,
    open_problem,
    open_proposer,
    open_sanitizer,
)
from kernelevolve.api.records import Evaluated, RunResult, result_record
from kernelevolve.api.settings import default_settings, within
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.confirm import Side, SideError, confirm
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.pipeline import Anchor, Evaluator, Settings
from kernelevolve.evaluation.wire import structure, unstructure
from kernelevolve.evolution.budget import Budget, Ledger, budget_from, budget_record
from kernelevolve.evolution.loop import Evolution, Observer, SeedError, add_seed, fetcher, validity
from kernelevolve.evolution.policies import make_policy
from kernelevolve.evolution.proposal import Proposer
from kernelevolve.evolution.search import Search
from kernelevolve.kernel import Configuration, Kernel, parse_kernel, read_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload
from kernelevolve.store import EventKind, Run, Store, home

#: A simulator is thousands of times slower than a device: small cases, and patience.
SANITIZING = Settings(limits=Limits(run_seconds=120.0), check_bytes=64 << 10)


def evaluate(
    kernel: Kernel | Path,
    problem: Problem | str,
    accelerator: str = "opencl",
    *,
    device: str | None = None,
    configuration: Configuration | None = None,
    workloads: Sequence[Workload | str] | None = None,
    eager: bool = True,
    sanitize: bool = False,
    target: str | None = None,
    settings: Settings | None = None,
    run_seconds: float | None = None,
    compile_seconds: float | None = None,
) -> Evaluated:
    """Judge one kernel: gate, compile, check, time, and compare with the problem's seed and with PyTorch eager.

    Where the device is an interpreter, the kernel is compiled for `target` (default: the device's), checked on small
    cases, and not timed; `run_seconds` and `compile_seconds` replace those limits of `settings`.

    With `sanitize` it is checked on the accelerator's sanitizer instead, on small cases, and not timed.

    `workloads` are those timed (default: the problem's for this kind of device). Raises `KernelEvolveError` for input
    that cannot be used; whatever the kernel itself does is an outcome.
    """
    if sanitize:
        device, settings = open_sanitizer(accelerator), settings or SANITIZING
    made, on = open_accelerator(accelerator, device, target)
    what = open_problem(problem, on)
    parsed = kernel if isinstance(kernel, Kernel) else read_kernel(kernel)
    check_language(parsed, made)
    timed = choose_workloads(what, on, workloads)
    limited = within(settings or default_settings(on), run_seconds, compile_seconds)
    with _evaluator(what, made, on, timed, limited) as evaluator:
        anchor, seed = _seed_anchor(evaluator, what, parsed)
        chosen = parsed.configuration(configuration)
        evaluation = evaluator.evaluate(parsed, chosen, anchor)
        if evaluation.outcome is not Outcome.CORRECT:
            return Evaluated(evaluation, what.name, on)
        sides = [*([Side("seed", seed, seed.default)] if seed else []), Side("kernel", parsed, chosen)]
        try:
            confirmations = tuple(
                confirm(evaluator, w, sides, baselines=["seed"] if seed else [], eager=eager) for w in timed
            )
            if eager:
                confirmations = beside_torch(evaluator, confirmations, sides, _lasting(problem))
        except SideError as failed:
            error = failed.error
            wrong = attrs.evolve(
                evaluation, outcome=error.outcome, message=error.message, details=error.details, fitness=0.0
            )
            return Evaluated(wrong, what.name, on)
        return Evaluated(evaluation, what.name, on, confirmations)


def evolve(
    problem: Problem | str,
    accelerator: str = "opencl",
    *,
    device: str | None = None,
    target: str | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    proposer: str | Proposer = "rewriting",
    policy: str = "map-elites",
    workloads: Sequence[Workload | str] | None = None,
    start: Kernel | None = None,
    language: str | None = None,
    store: Store | None = None,
    settings: Settings | None = None,
    eager: bool = True,
    observer: Observer = lambda _: None,
) -> RunResult:
    """Evolve a kernel for `problem` on `accelerator`, starting from its seed (or `start`), and confirm the best.

    On an interpreter nothing has a time: kernels are compiled (for `target`, default the device's) and checked, and
    none is preferred.

    Everything is kept in `store` (default: the user's) and can be resumed by the run's id. Raises `KernelEvolveError`
    for input that cannot be used.
    """
    made, on = open_accelerator(accelerator, device, target)
    what = open_problem(problem, on)
    spoken = start.language if start else language or language_of(what, made)
    timed = choose_workloads(what, on, workloads)
    limits = budget or Budget(evaluations=150)
    maker = open_proposer(proposer)
    make_policy(policy)  # a name that nothing answers to must not leave a run behind
    with _store(store) as kept:
        run = kept.create_run(
            Run(
                problem=what.name,
                fingerprint=what.fingerprint,
                accelerator=made.name,
                device=on.name,
                language=spoken,
                policy=policy,
                proposer=proposer if isinstance(proposer, str) else maker.name,
                seed=seed,
                description=unstructure(on),
                budget=budget_record(limits),
                settings={
                    "problem": _lasting(problem) or what.name,
                    "reference": _lasting(problem),
                    "device": on.index,
                    "target": target,
                    "workloads": [workload.label for workload in timed],
                    "evaluation": unstructure(settings or default_settings(on)),
                    "eager": eager,
                },
                toolchain=dict(made.toolchain()),
                version=VERSION,
            )
        )
        kept.add_event(run.id, EventKind.STARTED)
        add_seed(kept, run.id, start or parse_kernel(what.seeds[spoken], name=f"seed of {what.name}"))
        return _run(kept, run, what, made, on, limits, maker, observer)


def resume(
    run: str,
    *,
    problem: Problem | None = None,
    budget: Budget | None = None,
    store: Store | None = None,
    proposer: Proposer | None = None,
    observer: Observer = lambda _: None,
) -> RunResult:
    """Go on with a run where it stopped: nothing is lost, nothing is evaluated twice.

    `budget` replaces the limits (what was spent still counts). A problem that was given as an object must be given
    again. Raises `KernelEvolveError` where the run, its problem or its device is not to be had.
    """
    with _store(store) as kept:
        record = kept.run(run)
        made, on = open_accelerator(record.accelerator, str(record.settings["device"]), record.settings.get("target"))
        what = problem or open_problem(str(record.settings["problem"]), on)
        if what.fingerprint != record.fingerprint:
            raise KernelEvolveError(f"run {run}: problem {what.name!r} was declared differently then; start a new run")
        kept.add_event(run, EventKind.RESUMED)
        limits = budget or budget_from(record.budget)
        if next(kept.candidates(run), None) is None:
            raise KernelEvolveError(
                f"run {run} ended before it kept its seed, so there is nothing to resume; start anew"
            )
        return _run(kept, record, what, made, on, limits, proposer or record.proposer, observer)


def _run(
    store: Store,
    run: Run,
    problem: Problem,
    made: Accelerator,
    device: Device,
    limits: Budget,
    proposer: str | Proposer,
    observer: Observer,
) -> RunResult:
    timed = tuple(Workload.parse(label) for label in run.settings["workloads"])
    settings = structure(run.settings["evaluation"], Settings)
    maker = open_proposer(proposer)
    with _evaluator(problem, made, device, timed, settings) as evaluator:
        search = Search(
            seed=run.seed,
            policy=make_policy(run.policy),
            operators=maker.operators(problem, run.language),
            fetch=fetcher(store, run.id),
            valid=validity(problem, timed, device.facts),
            tune=device.realm.has_clock,
        )
        evaluator.warm_up()
        ledger = Ledger.resumed(limits, store.spent(run.id))
        evolution = Evolution(
            store=store,
            run=run,
            problem=problem,
            workloads=timed,
            evaluator=evaluator,
            proposer=maker,
            search=search,
            ledger=ledger,
            observer=observer,
        )
        evolution.rebuild()
        try:
            reason = evolution.search_until_done()
            reference = run.settings.get("reference")
            result = finish(evolution, reason, eager=bool(run.settings["eager"]), reference=reference)
        except KeyboardInterrupt:
            store.add_event(run.id, EventKind.INTERRUPTED)
            raise
        except SeedError as error:
            store.add_event(run.id, EventKind.FINISHED, {"reason": str(error)})
            raise KernelEvolveError(f"run {run.id}: {error}") from error
        store.add_event(run.id, EventKind.FINISHED, result_record(result))
        return result


def _lasting(reference: Problem | str) -> str | None:
    """A problem's reference that holds from any folder: files by their absolute path; None for an object."""
    if isinstance(reference, Problem):
        return None
    path, colon, name = reference.rpartition(".py")
    return f"{Path(path + colon).resolve()}{name}" if colon else reference


def _evaluator(
    problem: Problem, made: Accelerator, device: Device, workloads: Sequence[Workload], settings: Settings | None
) -> Evaluator:
    return Evaluator(
        problem,
        made,
        device,
        workloads=workloads,
        path=registry.worker_path(made.name),
        settings=settings or default_settings(device),
        cache=CompileCache(home() / "cache" / "compile"),
        secret=secrets.randbits(62),
    )


def _seed_anchor(evaluator: Evaluator, problem: Problem, kernel: Kernel) -> tuple[Anchor | None, Kernel | None]:
    """The seed in the kernel's language, measured; None where there is none, or it is not right here."""
    text = problem.seeds.get(kernel.language)
    if text is None or not evaluator.device.realm.has_clock:
        return None, None
    seed = parse_kernel(text, name=f"seed of {problem.name}")
    found = evaluator.evaluate(seed)
    if found.outcome is not Outcome.CORRECT:
        return None, None
    seconds = {timing.workload: timing.seconds for timing in found.timings}
    return Anchor(seed, seed.default, 1.0, seconds, found.timings[0].source), seed


@contextmanager
def _store(store: Store | None) -> Iterator[Store]:
    with nullcontext(store) if store is not None else Store.open() as kept:
        yield kept
