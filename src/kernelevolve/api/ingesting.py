"""Take results in: what was measured on a run's device while nobody here could reach it."""

from __future__ import annotations

__all__ = ["Ingested", "ingest"]

from collections.abc import Callable, Mapping
from pathlib import PurePath

from attrs import field, frozen

from kernelevolve.accelerator import Device
from kernelevolve.api.absent import opened
from kernelevolve.api.asking import conclude
from kernelevolve.api.bookkeeping import Refused, Told, action_of, open_asks, pending_asks, told_before
from kernelevolve.api.devices import changed_software, same_device
from kernelevolve.api.locks import run_lock
from kernelevolve.api.results import Measurement, Results
from kernelevolve.api.running import using_store
from kernelevolve.evaluation.wire import structure
from kernelevolve.evolution.kernels import normal_form
from kernelevolve.evolution.loop import Evolution
from kernelevolve.evolution.proposal import Proposal
from kernelevolve.evolution.search import OUTSIDE
from kernelevolve.problem import Problem
from kernelevolve.store import EventKind, Run, Store


@frozen
class Ingested:
    """What became of a file of results."""

    #: One per proposal that a kernel of the file answers, recorded before or now.
    told: tuple[Told, ...]
    #: Files that nothing was recorded of, with the reason.
    left: Mapping[str, str] = field(hash=False)


def ingest(
    run: str,
    results: Results,
    *,
    problem: Problem | None = None,
    store: Store | None = None,
    waiting: Callable[[str], None] = lambda _: None,
) -> Ingested:
    """Record what `results` hold for the proposals of `run`; doing it again changes nothing.

    A file answers the proposal that it is named after (``PROPOSAL.cl``), or the one that waits for its very kernel.
    Raises `Refused`, and records nothing, where the results are of another problem, device, workloads or seed: a number
    is never recorded for a device that did not produce it.
    """
    with using_store(store) as kept, run_lock(run, "tell", waiting):
        record = kept.run(run)
        why = _difference(kept, record, results)
        if why is not None:
            raise Refused(f"nothing was recorded for run {run}: {why}")
        told, left = [], dict(results.refused)
        with opened(kept, run, problem=problem, results=results) as evolution:
            for file, one in results.kernels.items():
                try:
                    told.append(_take_in(evolution, file, one))
                except Refused as error:
                    left[file] = str(error)
        return Ingested(tuple(told), left)


def _difference(store: Store, run: Run, results: Results) -> str | None:
    """Why the results cannot be of this run, in words."""
    device = structure(run.description, Device)
    if results.fingerprint != run.fingerprint:
        return f"the results are of another problem, or another declaration of it ({results.problem})"
    if not same_device(device, results.device):
        return f"the results are of {results.device.label}, the run is of {device.label}; start a run of its own there"
    changed = changed_software(device, run.toolchain, results.device, results.toolchain)
    if changed:
        return f"the results are of other software than the run: {changed}; start a run of its own from them"
    if list(results.workloads) != list(run.settings["workloads"]):
        return f"the results are of {' and '.join(results.workloads)}; the run times {run.settings['workloads']}"
    if results.seed is None:
        return "the results hold no seed, so nothing in them was compared with the run's"
    if results.seed.kernel.digest != store.candidate(run.id, 0).kernel:
        return "the results are paired with another seed than the run's; measure in the folder that ask --to wrote"
    measured = {one.kernel.digest for one in (results.seed, *results.kernels.values())}
    for number in store.pending(run.id):
        if store.candidate(run.id, number).kernel not in measured:
            return f"candidate {number} was told and not evaluated; tell its proposal again on the device first"
    return None


def _take_in(evolution: Evolution, file: str, one: Measurement) -> Told:
    store, run = evolution.store, evolution.run.id
    proposal = _proposal_of(store, run, file, one)
    before = told_before(store, run, proposal, normal_form(one.kernel))
    if before is not None:
        return before
    sources = {timing.source for timing in one.evaluation.timings}
    if evolution.baseline is not None and sources - {evolution.baseline.source}:
        listed = ", ".join(sorted(sources))
        raise Refused(f"its times come from {listed}, those of the run from {evolution.baseline.source}")
    waits = pending_asks(store, run).get(proposal, {})
    known = waits if waits.get("digest") == one.kernel.digest else {}
    made = Proposal(
        one.kernel,
        OUTSIDE,
        (),
        note=known.get("note", ""),
        predicted=known.get("predicted"),
        bottleneck=known.get("bottleneck", ""),
    )
    return conclude(evolution, proposal, action_of(store, run, proposal), made)


def _proposal_of(store: Store, run: str, file: str, one: Measurement) -> str:
    asked = {event.data["id"] for event in store.events(run, EventKind.ASKED)}
    name = PurePath(file).stem
    if name in asked:
        return name
    for proposal, data in pending_asks(store, run).items():
        if data["digest"] == one.kernel.digest:
            return proposal
    known = ", ".join(str(data["id"]) for data in open_asks(store, run)) or "none"
    raise Refused(f"no proposal has this name or waits for this kernel; open are: {known}")
