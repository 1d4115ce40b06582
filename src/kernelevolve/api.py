"""The verbs: evaluate one kernel, evolve a problem's kernel, resume a run."""

from __future__ import annotations

__all__ = ["Evaluated", "RunResult", "evaluate", "evolve", "resume"]

import json
import math
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from kernelevolve import registry
from kernelevolve._version import VERSION
from kernelevolve.accelerator import Accelerator, Device, Realm, Status
from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.confirm import Confirmation, Side, SideError, confirm
from kernelevolve.evaluation.lint import lint
from kernelevolve.evaluation.measure import Comparison
from kernelevolve.evaluation.pipeline import Anchor, Evaluator, Settings
from kernelevolve.evaluation.records import Evaluation
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

#: How many of the fittest candidates meet in the last confirmation.
FINALISTS = 3


@frozen
class Evaluated:
    """What `evaluate` found."""

    evaluation: Evaluation
    problem: str
    device: Device
    #: One per workload, where the kernel was right and had something to be compared with.
    confirmations: tuple[Confirmation, ...] = ()


@frozen
class RunResult:
    """What a run came to."""

    run: str
    reason: str
    #: The winner's number in the run, its kernel and configuration.
    best: int
    kernel: Kernel
    configuration: Configuration = field(hash=False)
    confirmations: tuple[Confirmation, ...]
    #: Geometric mean over workloads of the confirmed paired ratios to the seed; 1.0 where the seed itself is best.
    speedup: float
    evaluations: int
    candidates: int
    outcomes: Mapping[str, int] = field(hash=False)
    #: Evaluations by the stage they ended at.
    stages: Mapping[str, int] = field(hash=False)
    device: Device
    seconds: float


def evaluate(
    kernel: Kernel | Path,
    problem: Problem | str,
    accelerator: str = "opencl",
    *,
    device: str | None = None,
    configuration: Configuration | None = None,
    workloads: Sequence[Workload | str] | None = None,
    eager: bool = True,
    settings: Settings | None = None,
) -> Evaluated:
    """Judge one kernel: gate, compile, check, time, and compare with the problem's seed and with PyTorch eager.

    `workloads` are those timed (default: the problem's for this kind of device). Raises `KernelEvolveError` for input
    that cannot be used; whatever the kernel itself does is an outcome.
    """
    made, target = _open(accelerator, device)
    what = _problem(problem, target)
    parsed = kernel if isinstance(kernel, Kernel) else read_kernel(kernel)
    _check_language(parsed, made)
    timed = choose_workloads(what, target, workloads)
    with _evaluator(what, made, target, timed, settings) as evaluator:
        anchor, seed = _seed_anchor(evaluator, what, parsed)
        chosen = parsed.configuration(configuration)
        evaluation = evaluator.evaluate(parsed, chosen, anchor)
        if evaluation.outcome is not Outcome.CORRECT:
            return Evaluated(evaluation, what.name, target)
        sides = [*([Side("seed", seed, seed.default)] if seed else []), Side("kernel", parsed, chosen)]
        try:
            confirmations = tuple(
                confirm(evaluator, w, sides, baselines=["seed"] if seed else [], eager=eager) for w in timed
            )
        except SideError as failed:
            error = failed.error
            wrong = attrs.evolve(
                evaluation, outcome=error.outcome, message=error.message, details=error.details, fitness=0.0
            )
            return Evaluated(wrong, what.name, target)
        return Evaluated(evaluation, what.name, target, confirmations)


def evolve(
    problem: Problem | str,
    accelerator: str = "opencl",
    *,
    device: str | None = None,
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

    Everything is kept in `store` (default: the user's) and can be resumed by the run's id. Raises `KernelEvolveError`
    for input that cannot be used.
    """
    made, target = _open(accelerator, device)
    what = _problem(problem, target)
    spoken = start.language if start else language or _language_of(what, made)
    timed = choose_workloads(what, target, workloads)
    limits = budget or Budget(evaluations=150)
    maker = _proposer(proposer)
    make_policy(policy)  # a name that nothing answers to must not leave a run behind
    with _store(store) as kept:
        run = kept.create_run(
            Run(
                problem=what.name,
                fingerprint=what.fingerprint,
                accelerator=made.name,
                device=target.name,
                language=spoken,
                policy=policy,
                proposer=proposer if isinstance(proposer, str) else maker.name,
                seed=seed,
                description=unstructure(target),
                budget=budget_record(limits),
                settings={
                    "problem": _lasting(problem) if isinstance(problem, str) else what.name,
                    "device": target.index,
                    "workloads": [workload.label for workload in timed],
                    "evaluation": unstructure(settings or default_settings(target)),
                    "eager": eager,
                },
                toolchain=dict(made.toolchain()),
                version=VERSION,
            )
        )
        kept.add_event(run.id, EventKind.STARTED)
        add_seed(kept, run.id, start or parse_kernel(what.seeds[spoken], name=f"seed of {what.name}"))
        return _run(kept, run, what, made, target, limits, maker, observer)


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
        made, target = _open(record.accelerator, str(record.settings["device"]))
        what = problem or _problem(str(record.settings["problem"]), target)
        if what.fingerprint != record.fingerprint:
            raise KernelEvolveError(f"run {run}: problem {what.name!r} was declared differently then; start a new run")
        kept.add_event(run, EventKind.RESUMED)
        limits = budget or budget_from(record.budget)
        if next(kept.candidates(run), None) is None:
            raise KernelEvolveError(
                f"run {run} ended before it kept its seed, so there is nothing to resume; start anew"
            )
        return _run(kept, record, what, made, target, limits, proposer or record.proposer, observer)


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
    maker = _proposer(proposer)
    with _evaluator(problem, made, device, timed, settings) as evaluator:
        search = Search(
            seed=run.seed,
            policy=make_policy(run.policy),
            operators=maker.operators(problem, run.language),
            fetch=fetcher(store, run.id),
            valid=validity(problem, timed, device.facts),
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
            result = _finish(evolution, reason, eager=bool(run.settings["eager"]))
        except KeyboardInterrupt:
            store.add_event(run.id, EventKind.INTERRUPTED)
            raise
        except SeedError as error:
            store.add_event(run.id, EventKind.FINISHED, {"reason": str(error)})
            raise KernelEvolveError(f"run {run.id}: {error}") from error
        store.add_event(run.id, EventKind.FINISHED, result_record(result))
        return result


def _finish(evolution: Evolution, reason: str, *, eager: bool) -> RunResult:
    evaluator = evolution.evaluator
    seed = evolution.kernel(0)
    seed_configuration = evolution.best_evaluation(0).configuration
    finalists = [
        Side(f"#{number}", evolution.kernel(number), configuration)
        for number, _, configuration in evolution.top(FINALISTS + 1)
        if number != 0
    ][:FINALISTS]
    confirmations: tuple[Confirmation, ...] = ()
    if evaluator.device.realm.has_clock and evaluator.computes:
        sides = [Side("seed", seed, seed_configuration), *finalists]
        confirmations = _confirm_all(evaluator, sides, eager=eager)
    best, speedup = _winner(confirmations) if confirmations else _fittest(evolution)
    side = next((s for s in finalists if s.name == best), Side("seed", seed, seed_configuration))
    stages = Counter(
        str(evaluation.stage)
        for evaluation in evolution.store.evaluations(evolution.run.id)
        if not evaluation.outcome.right
    )
    return RunResult(
        run=evolution.run.id,
        reason=reason,
        best=int(side.name[1:]) if side.name.startswith("#") else 0,
        kernel=side.kernel,
        configuration=dict(side.configuration),
        confirmations=confirmations,
        speedup=speedup,
        evaluations=evolution.search.evaluations,
        candidates=evolution.candidates,
        outcomes=dict(evolution.outcomes),
        stages=dict(stages),
        device=evaluator.device,
        seconds=evolution.ledger.seconds,
    )


def _confirm_all(evaluator: Evaluator, sides: Sequence[Side], *, eager: bool) -> tuple[Confirmation, ...]:
    """Confirm on every workload; a finalist that fails here is out, and the rest go on without it."""
    ring = list(sides)
    while True:
        try:
            return tuple(confirm(evaluator, w, ring, baselines=["seed"], eager=eager) for w in evaluator.workloads)
        except SideError as failed:
            ring = [side for side in ring if side.name != failed.side]
            if failed.side == "seed":
                raise KernelEvolveError(f"the seed failed in the last confirmation: {failed.error.message}") from failed


def _winner(confirmations: Sequence[Confirmation]) -> tuple[str, float]:
    """The side with the best geometric mean of paired ratios to the seed; the seed where none is above 1."""
    best, speedup = "seed", 1.0
    for name in confirmations[0].timings if confirmations else ():
        if name == "seed":
            continue
        mean = mean_ratio([one.comparisons["seed", name] for one in confirmations])
        if mean > speedup:
            best, speedup = name, mean
    return best, speedup


def _fittest(evolution: Evolution) -> tuple[str, float]:
    """Where nothing can be confirmed (recorded times, no clock): the best as it was evaluated."""
    top = evolution.top(1)
    return (f"#{top[0][0]}" if top[0][0] else "seed", top[0][1]) if top else ("seed", 1.0)


def mean_ratio(comparisons: Sequence[Comparison]) -> float:
    """Geometric mean of paired ratios."""
    return math.exp(sum(math.log(one.ratio) for one in comparisons) / len(comparisons))


def result_record(result: RunResult) -> dict[str, Any]:
    """The result as JSON values: what the store keeps and ``--json`` prints."""
    return {
        "run": result.run,
        "reason": result.reason,
        "best": result.best,
        "configuration": dict(result.configuration),
        "speedup": result.speedup,
        "evaluations": result.evaluations,
        "candidates": result.candidates,
        "outcomes": dict(result.outcomes),
        "stages": dict(result.stages),
        "device": result.device.label,
        "realm": result.device.realm,
        "seconds": result.seconds,
        "confirmations": [confirmation_record(one) for one in result.confirmations],
    }


def confirmation_record(one: Confirmation) -> dict[str, Any]:
    """A confirmation as JSON values, raw samples included."""
    return {
        "workload": one.workload,
        "timings": {name: unstructure(timing) for name, timing in one.timings.items()},
        "comparisons": [
            {"baseline": baseline, "side": side, **unstructure(comparison)}
            for (baseline, side), comparison in one.comparisons.items()
        ],
        "eager": unstructure(one.eager) if one.eager else None,
        "eager_description": one.eager_description,
    }


def choose_workloads(
    problem: Problem, device: Device, wanted: Sequence[Workload | str] | None = None
) -> tuple[Workload, ...]:
    """What is timed: `wanted`, or those tagged for this kind of device, or the smoke ones.

    Raises `ProblemError` for a workload that does not fit the problem.
    """
    if wanted:
        chosen = tuple(one if isinstance(one, Workload) else Workload.parse(one) for one in wanted)
        for workload in chosen:
            problem.check(workload)
        return chosen
    tag = "smoke" if device.realm is not Realm.HARDWARE else "cpu" if device.host_threads else "gpu"
    return problem.tagged(tag)[:1] or problem.tagged("smoke")[:1] or problem.workloads[:1]


def _lasting(reference: str) -> str:
    """A problem's reference that holds from any folder: files by their absolute path."""
    path, colon, name = reference.rpartition(".py")
    return f"{Path(path + colon).resolve()}{name}" if colon else reference


def default_settings(device: Device) -> Settings:
    """How candidates are evaluated on `device`, with the resolution that ``kernelevolve doctor`` measured there."""
    known = _resolutions().get(_resolution_key(device))
    settings = Settings()
    return (
        settings
        if known is None
        else attrs.evolve(settings, protocol=attrs.evolve(settings.protocol, resolution=known))
    )


def remember_resolution(device: Device, resolution: float) -> None:
    """Let later verdicts on `device` use the resolution that its A/A self-test showed."""
    path = _resolution_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**_resolutions(), _resolution_key(device): resolution}, indent=2)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".resolution-", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def _resolution_file() -> Path:
    return home() / "resolution.json"


def _resolution_key(device: Device) -> str:
    return f"{device.label}, {device.description.get('driver', '')}"


def _resolutions() -> dict[str, float]:
    try:
        found = json.loads(_resolution_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # never measured, or not readable: the default holds
        return {}
    return {str(key): float(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _open(name: str, device: str | None) -> tuple[Accelerator, Device]:
    made = registry.accelerator(name)
    status = made.probe()
    if status.status is not Status.OK:
        raise KernelEvolveError(f"accelerator {name!r} cannot be used here: {status.message}")
    return made, registry.find_device(made, device)


def _problem(problem: Problem | str, device: Device) -> Problem:
    what = registry.problem(problem) if isinstance(problem, str) else problem
    if device.realm is Realm.REPLAY:  # a recording has no reference to lint
        return what
    errors = [finding for finding in lint(what) if finding.severity == "error"]
    if errors:
        raise KernelEvolveError(f"problem {what.name!r} cannot be trusted: " + "; ".join(str(one) for one in errors))
    return what


def _language_of(problem: Problem, made: Accelerator) -> str:
    for name in sorted(made.languages):
        if name in problem.seeds:
            return name
    spoken, seeds = ", ".join(sorted(made.languages)), ", ".join(problem.seeds) or "none"
    raise KernelEvolveError(
        f"problem {problem.name!r} has no seed in a language of {made.name!r} ({spoken}); its seeds are: {seeds}. "
        "Give one with --start FILE"
    )


def _check_language(kernel: Kernel, made: Accelerator) -> None:
    if kernel.language not in made.languages:
        raise UnknownNameError("language", kernel.language, sorted(made.languages), where=f"accelerator {made.name!r}")


def _proposer(proposer: str | Proposer) -> Proposer:
    if not isinstance(proposer, str):
        return proposer
    value = registry.load("proposer", proposer)
    made: Proposer = value() if isinstance(value, type) else value
    return made


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
