"""A run in this process: opened from the store with its device, driven until its budget ends, confirmed."""

from __future__ import annotations

__all__ = [
    "SearchSettings",
    "lasting_reference",
    "make_evaluator",
    "make_evolution",
    "opened_run",
    "run_until_done",
    "using_store",
]

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from attrs import frozen

from kernelevolve import registry
from kernelevolve.accelerator import Accelerator, Device, Realm
from kernelevolve.api.devices import changed_software, same_device
from kernelevolve.api.finishing import finish
from kernelevolve.api.learning import learn_from, lessons_for
from kernelevolve.api.locks import device_lock
from kernelevolve.api.opening import open_accelerator, open_problem, open_proposer
from kernelevolve.api.records import RunResult, result_record
from kernelevolve.api.settings import default_settings
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evaluation.cache import CompileCache
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.evaluation.wire import structure
from kernelevolve.evolution.budget import Budget, Ledger, budget_from
from kernelevolve.evolution.kernels import fetcher, validity
from kernelevolve.evolution.loop import Evolution, Observer, SeedError
from kernelevolve.evolution.memory import make_memory
from kernelevolve.evolution.policies import make_policy
from kernelevolve.evolution.proposal import Proposer, Remembers
from kernelevolve.evolution.search import OUTSIDE, Search
from kernelevolve.problem import Problem, Workload
from kernelevolve.store import EventKind, Run, Store, home

_log = logging.getLogger("kernelevolve")


@frozen
class SearchSettings:
    """How a run searches, beside its policy; kept in the run's settings."""

    #: What proposals that read history are shown: ``bandit``, ``none``, ``parent``, ``siblings`` or ``both``.
    memory: str = "bandit"
    #: Independent first kernels wanted of proposers that read history, before anything is expanded.
    drafts: int = 4
    #: Candidates without an improvement after which the search begins again beside what it has; None: never.
    restarts: int | None = None
    #: Whether proposers see the knowledge base and the lessons of earlier runs.
    knowledge: bool = True
    #: Whether the run's own lessons are kept when it has ended.
    learn: bool = True


def make_evaluator(
    problem: Problem, made: Accelerator, device: Device, workloads: Sequence[Workload], settings: Settings | None
) -> Evaluator:
    """An evaluator with the user's compile cache and secret inputs of its own; alone on the device while it uses it."""
    return Evaluator(
        problem,
        made,
        device,
        workloads=workloads,
        path=registry.worker_path(made.name),
        settings=settings or default_settings(device),
        cache=CompileCache(home() / "cache" / "compile"),
        secret=secrets.randbits(62),
        alone=(lambda: device_lock(device, _log.warning)) if device.realm is Realm.HARDWARE else nullcontext,
    )


@contextmanager
def using_store(store: Store | None) -> Iterator[Store]:
    """`store`, or the user's, closed afterwards."""
    with nullcontext(store) if store is not None else Store.open() as kept:
        yield kept


@contextmanager
def opened_run(
    store: Store,
    run: str,
    *,
    problem: Problem | None = None,
    budget: Budget | None = None,
    proposer: str | Proposer | None = None,
    observer: Observer = lambda _: None,
) -> Iterator[Evolution]:
    """The run as the store has it, on its device; its worker starts when something is evaluated.

    A problem that was given as an object must be given again. Raises `KernelEvolveError` where the run, its problem or
    its device is not to be had.
    """
    record = store.run(run)
    made, on = open_accelerator(record.accelerator, str(record.settings["device"]), record.settings.get("target"))
    what = problem or open_problem(str(record.settings["problem"]), on)
    if what.fingerprint != record.fingerprint:
        raise KernelEvolveError(f"run {run}: problem {what.name!r} was declared differently then; start a new run")
    then = structure(record.description, Device)
    if not same_device(on, then):
        raise KernelEvolveError(
            f"run {run}: device {record.settings['device']} of {record.accelerator} is now {on.label}, and the run's "
            f"numbers are of {then.label}; start a new run here"
        )
    changed = changed_software(then, record.toolchain, on, made.toolchain())
    if changed:
        raise KernelEvolveError(
            f"run {run}: its numbers are of other software: {changed}; put that back, or start a new run with "
            "--transfer, which tries this run's best kernels first"
        )
    timed = tuple(Workload.parse(label) for label in record.settings["workloads"])
    evaluation = structure(record.settings["evaluation"], Settings)
    maker = open_proposer(proposer or record.proposer, record.settings.get("model"))
    with make_evaluator(what, made, on, timed, evaluation) as evaluator:
        yield make_evolution(store, record, what, evaluator, maker, budget or budget_from(record.budget), observer)


def make_evolution(
    store: Store,
    run: Run,
    problem: Problem,
    evaluator: Evaluator,
    proposer: Proposer,
    limits: Budget,
    observer: Observer,
) -> Evolution:
    how = structure(run.settings.get("search", {}), SearchSettings)
    device, timed = evaluator.device, evaluator.workloads

    def remembers(operator: str) -> bool:
        return operator == OUTSIDE or (isinstance(proposer, Remembers) and proposer.remembers(operator))

    search = Search(
        seed=run.seed,
        policy=make_policy(run.policy, restarts=how.restarts),
        operators=proposer.operators(problem, run.language),
        fetch=fetcher(store, run.id),
        valid=validity(problem, timed, device.facts),
        tune=device.realm.has_clock,
        remembers=remembers,
        memory=make_memory(how.memory),
        drafts=how.drafts,
    )
    evolution = Evolution(
        store=store,
        run=run,
        problem=problem,
        workloads=timed,
        evaluator=evaluator,
        proposer=proposer,
        search=search,
        ledger=Ledger.resumed(limits, store.spent(run.id)),
        lessons=lessons_for(store, run, problem, device) if how.knowledge else (),
        knowledge=how.knowledge,
        observer=observer,
    )
    evolution.rebuild()
    return evolution


def run_until_done(evolution: Evolution) -> RunResult:
    """Search until the budget ends, confirm the best, and keep what was learnt."""
    store, run = evolution.store, evolution.run
    evolution.report("starting")
    try:
        evolution.evaluator.warm_up()
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
    if structure(run.settings.get("search", {}), SearchSettings).learn:
        learn_from(evolution)
    return result


def lasting_reference(reference: Problem | str) -> str | None:
    """A problem's reference that holds from any folder: files by their absolute path; None for an object."""
    if isinstance(reference, Problem):
        return None
    path, colon, name = reference.rpartition(".py")
    return f"{Path(path + colon).resolve()}{name}" if colon else reference
