"""The verbs: evaluate one kernel, evolve a problem's kernel, resume a run."""

from __future__ import annotations

__all__ = ["create_run", "evaluate", "evolve", "resume"]

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from kernelevolve._version import VERSION
from kernelevolve.api.beside_torch import beside_torch
from kernelevolve.api.learning import add_transferred
from kernelevolve.api.locks import run_lock
from kernelevolve.api.opening import (
    check_language,
    check_ready,
    choose_workloads,
    language_of,
    open_accelerator,
    open_problem,
    open_proposer,
    open_sanitizer,
)
from kernelevolve.api.records import Evaluated, RunResult
from kernelevolve.api.running import (
    SearchSettings,
    lasting_reference,
    make_evaluator,
    opened_run,
    run_until_done,
    using_store,
)
from kernelevolve.api.settings import default_settings, within
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.confirm import Side, SideError, confirm
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.pipeline import Anchor, Evaluator, Settings
from kernelevolve.evaluation.records import Stage
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.evolution.budget import Budget, budget_record
from kernelevolve.evolution.kernels import add_seed
from kernelevolve.evolution.loop import Observer
from kernelevolve.evolution.memory import make_memory
from kernelevolve.evolution.policies import make_policy
from kernelevolve.evolution.proposal import Proposer
from kernelevolve.evolution.search import OUTSIDE
from kernelevolve.kernel import Configuration, Kernel, parse_kernel, read_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, Workload
from kernelevolve.store import EventKind, Run, Store

_log = logging.getLogger("kernelevolve")
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
    with make_evaluator(what, made, on, timed, limited) as evaluator:
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
                confirmations = beside_torch(evaluator, confirmations, sides, lasting_reference(problem))
        except SideError as failed:
            error = failed.error
            if failed.side != "kernel":
                raise KernelEvolveError(
                    f"the {failed.side} of {what.name!r} failed in the confirmation, so there is nothing to compare "
                    f"with: {error.outcome}: {error.message}"
                ) from failed
            wrong = attrs.evolve(
                evaluation,
                outcome=error.outcome,
                stage=Stage.CONFIRM,
                message=error.message,
                details=error.details,
                fitness=0.0,
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
    model: Mapping[str, Any] | None = None,
    policy: str = "map-elites",
    search: SearchSettings | None = None,
    workloads: Sequence[Workload | str] | None = None,
    start: Kernel | None = None,
    transfer: bool = False,
    language: str | None = None,
    store: Store | None = None,
    settings: Settings | None = None,
    eager: bool = True,
    observer: Observer = lambda _: None,
) -> RunResult:
    """Evolve a kernel for `problem` on `accelerator`, starting from its seed (or `start`), and confirm the best.

    `proposer` is a name, several joined by ``+`` (one bandit moves effort among them), or an object; `model` are the
    settings of a proposer that calls a language model. With `transfer` the best kernels of earlier runs of the same
    problem on other sizes or devices are tried first.

    On an interpreter nothing has a time: kernels are compiled (for `target`, default the device's) and checked, and
    none is preferred.

    Everything is kept in `store` (default: the user's) and can be resumed by the run's id. Raises `KernelEvolveError`
    for input that cannot be used.
    """
    maker = open_proposer(proposer, model)
    check_ready(maker)
    with using_store(store) as kept:
        run = create_run(
            kept,
            problem,
            accelerator,
            device=device,
            target=target,
            budget=budget or Budget(evaluations=150),
            seed=seed,
            proposer=proposer if isinstance(proposer, str) else maker.name,
            model=model,
            policy=policy,
            search=search,
            workloads=workloads,
            start=start,
            transfer=transfer,
            language=language,
            settings=settings,
            eager=eager,
        )
        given = problem if isinstance(problem, Problem) else None
        with (
            run_lock(run.id, "tell", _log.warning),
            opened_run(kept, run.id, problem=given, proposer=maker, observer=observer) as evolution,
        ):
            return run_until_done(evolution)


def create_run(
    store: Store,
    problem: Problem | str,
    accelerator: str,
    *,
    device: str | None = None,
    target: str | None = None,
    budget: Budget,
    seed: int = 0,
    proposer: str,
    model: Mapping[str, Any] | None = None,
    policy: str = "map-elites",
    search: SearchSettings | None = None,
    workloads: Sequence[Workload | str] | None = None,
    start: Kernel | None = None,
    transfer: bool = False,
    language: str | None = None,
    settings: Settings | None = None,
    eager: bool = True,
) -> Run:
    """Keep a new run with its seed, which is not evaluated yet; arguments as for `evolve`."""
    made, on = open_accelerator(accelerator, device, target)
    what = open_problem(problem, on)
    spoken = start.language if start else language or language_of(what, made)
    timed = choose_workloads(what, on, workloads)
    how = search or SearchSettings()
    make_policy(policy, restarts=how.restarts)  # a name that nothing answers to must not leave a run behind
    make_memory(how.memory)
    run = store.create_run(
        Run(
            problem=what.name,
            fingerprint=what.fingerprint,
            accelerator=made.name,
            device=on.name,
            language=spoken,
            policy=policy,
            proposer=proposer,
            seed=seed,
            description=unstructure(on),
            budget=budget_record(budget),
            settings={
                "problem": lasting_reference(problem) or what.name,
                "reference": lasting_reference(problem),
                "device": on.index,
                "target": target,
                "workloads": [workload.label for workload in timed],
                "evaluation": unstructure(settings or default_settings(on)),
                "eager": eager,
                "search": unstructure(how),
                "model": dict(model or {}),
            },
            toolchain=dict(made.toolchain()),
            version=VERSION,
        )
    )
    store.add_event(run.id, EventKind.STARTED)
    add_seed(store, run.id, start or parse_kernel(what.seeds[spoken], name=f"seed of {what.name}"))
    if transfer:
        add_transferred(store, run, on)
    return run


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
    with using_store(store) as kept:
        record = kept.run(run)
        if record.proposer == OUTSIDE and proposer is None:
            raise KernelEvolveError(f"run {run} is driven from outside; go on with kernelevolve ask {run}")
        with (
            run_lock(run, "tell", _log.warning),
            opened_run(kept, run, problem=problem, budget=budget, proposer=proposer, observer=observer) as evolution,
        ):
            check_ready(evolution.proposer)
            if next(kept.candidates(run), None) is None:
                raise KernelEvolveError(
                    f"run {run} ended before it kept its seed, so there is nothing to resume; start anew"
                )
            kept.add_event(run, EventKind.RESUMED)
            return run_until_done(evolution)


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
