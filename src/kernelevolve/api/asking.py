"""A run driven from outside: ask what to propose, tell the kernel.

Whoever answers (a person, a script, a coding agent) is no part of this process and may take as long as it likes. So
the store holds everything (`kernelevolve.api.bookkeeping`), and a tell that was killed is finished by the next one.
"""

from __future__ import annotations

__all__ = ["EXPIRES", "Asked", "ask", "conclude", "decline", "tell"]

import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from kernelevolve.api.absent import here, opened
from kernelevolve.api.bookkeeping import (
    Refused,
    Status,
    Told,
    action_of,
    answer,
    candidate_of,
    last_told,
    note_told,
    told_before,
)
from kernelevolve.api.locks import device_lock, run_lock
from kernelevolve.api.running import opened_run, using_store
from kernelevolve.errors import KernelEvolveError, KernelFileError
from kernelevolve.evolution.kernels import normal_form
from kernelevolve.evolution.loop import Evolution, Observer, SeedError
from kernelevolve.evolution.proposal import Proposal, ProposalRequest
from kernelevolve.evolution.search import OUTSIDE, Propose
from kernelevolve.kernel import Kernel, parse_kernel, read_kernel, render_kernel
from kernelevolve.problem import Problem
from kernelevolve.proposers.outside import OutsideProposer
from kernelevolve.store import EventKind, Store

#: Seconds for which the search counts on an answer, unless it is told otherwise: a day.
EXPIRES: Final = 86400.0
#: Bytes of a proposal's id.
_ID: Final = 4


@frozen
class Asked:
    """A proposal that is open: somebody is expected to tell its kernel."""

    run: str
    #: Names the proposal in `tell`; unique within the run.
    proposal: str
    #: Seconds since 1970. Later on the search does not count on it any more; it can still be told.
    expires: float
    #: Everything that whoever answers may know.
    request: ProposalRequest = field(repr=False)


def ask(
    run: str,
    *,
    count: int = 1,
    expires: float = EXPIRES,
    problem: Problem | None = None,
    store: Store | None = None,
    waiting: Callable[[str], None] = lambda _: None,
) -> tuple[Asked, ...]:
    """Reserve the next `count` proposals of `run`, fewer where its budget has room for fewer.

    Open ones are taken into account, so that what is asked for at the same time spreads. After `expires` seconds the
    search stops counting on an answer; no other proposal takes the place, so a late answer is as good as one in time.
    Raises `Refused` where the budget is spent.
    """
    if count < 1 or not (math.isfinite(expires) and expires > 0):
        raise KernelEvolveError(f"count is {count} and expires {expires}; ask for at least 1, for more than 0 seconds")
    with using_store(store) as kept, run_lock(run, "ask", waiting), opened(kept, run, problem=problem) as evolution:
        if not len(evolution.search.archive):
            raise KernelEvolveError(f"run {run}: its seed has not been evaluated; start another run")
        given: list[Asked] = []
        for _ in range(count):
            reason = evolution.ledger.exhausted(in_flight=len(evolution.search.open))
            if reason is None:
                given.append(_reserve(evolution, evolution.next_proposal(), expires))
            elif not given:
                still = len(evolution.search.open)
                raise Refused(f"run {run}: {reason}{f', with {still} proposals still open' if still else ''}")
        return tuple(given)


def _reserve(evolution: Evolution, action: Propose, expires: float) -> Asked:
    proposal, run = secrets.token_hex(_ID), evolution.run.id
    until = time.time() + expires
    request = evolution.request(action)
    data = {"id": proposal, "expires": until, "evaluations": evolution.search.evaluations, "action": action.record()}
    evolution.store.add_event(run, EventKind.ASKED, data)
    evolution.search.begin(proposal, action)
    return Asked(run, proposal, until, request)


def tell(
    run: str,
    proposal: str,
    kernel: Kernel | Path | str,
    *,
    note: str = "",
    predicted: float | None = None,
    bottleneck: str = "",
    problem: Problem | None = None,
    store: Store | None = None,
    observer: Observer = lambda _: None,
    waiting: Callable[[str], None] = lambda _: None,
) -> Told:
    """Answer `proposal` with a kernel (a file, its text, or parsed): it is evaluated and recorded, once.

    Telling it again returns what was recorded. `predicted` is how many times as fast as the proposal's parent it should
    be. Waits while another process times on the device or tells the same run. Where the run's device is not here, the
    kernel waits for results. Raises `Refused`, and leaves the proposal open, for what is no kernel in the run's
    language; and where the proposal was answered with another kernel.
    """
    if predicted is not None and not (math.isfinite(predicted) and predicted > 0):
        raise KernelEvolveError(f"predicted is {predicted}; it is a factor above 0, such as 1.5 for half as fast again")
    with using_store(store) as kept, run_lock(run, "tell", waiting):
        record = kept.run(run)
        action = action_of(kept, run, proposal)
        parsed = _parsed(kernel, record.language)
        before = told_before(kept, run, proposal, normal_form(parsed))
        if before is not None:
            return before
        made = Proposal(parsed, OUTSIDE, (), note=note, predicted=predicted, bottleneck=bottleneck)
        device = here(record)
        if isinstance(device, str):
            return _wait_for_results(kept, run, proposal, made, device)
        with (
            device_lock(device, waiting),
            opened_run(kept, run, problem=problem, proposer=OutsideProposer(), observer=observer) as evolution,
        ):
            return conclude(evolution, proposal, action, made)


def conclude(evolution: Evolution, proposal: str, action: Propose, made: Proposal) -> Told:
    """Evaluate `made` as the answer to `proposal` and record both. The caller holds the run's and the device's lock."""
    store, run, form = evolution.store, evolution.run.id, normal_form(made.kernel)
    try:
        evolution.evaluate_pending()  # what a killed tell has added; numbers and evaluations keep one order
    except SeedError as error:
        raise KernelEvolveError(f"run {run}: {error}") from error
    added = candidate_of(store, run, proposal)
    if added is None:
        taken = evolution.take(action, made, asked=proposal)
        if isinstance(taken, int):
            reason = f"the same kernel as candidate {taken}"
            note_told(store, run, proposal, Status.DUPLICATE, form, candidate=taken, reason=reason)
            evolution.decline(action, reason, seconds=0.0)
            return answer(store, run, proposal, Status.DUPLICATE, taken, reason)
        added = taken[0]
    note_told(store, run, proposal, Status.EVALUATED, form, candidate=added.number)
    return answer(store, run, proposal, Status.EVALUATED, added.number)


def decline(
    run: str,
    proposal: str,
    reason: str,
    *,
    problem: Problem | None = None,
    store: Store | None = None,
    waiting: Callable[[str], None] = lambda _: None,
) -> Told:
    """Record that nothing comes of `proposal`, and why. Declining it again changes nothing.

    Raises `Refused` where it was answered with a kernel.
    """
    with using_store(store) as kept, run_lock(run, "tell", waiting):
        action = action_of(kept, run, proposal)
        last = last_told(kept, run, proposal)
        if last is not None and last["status"] == Status.DECLINED:
            return Told(run, proposal, Status.DECLINED, message=last["reason"], repeated=True)
        if candidate_of(kept, run, proposal) is not None or (last is not None and last["status"] != Status.PENDING):
            raise Refused(f"proposal {proposal} was answered with a kernel; it cannot be declined any more")
        with opened(kept, run, problem=problem) as evolution:
            note_told(kept, run, proposal, Status.DECLINED, reason=reason)
            evolution.decline(action, reason, seconds=0.0)
        return Told(run, proposal, Status.DECLINED, message=reason)


def _parsed(kernel: Kernel | Path | str, language: str) -> Kernel:
    if isinstance(kernel, Path) and not kernel.is_file():
        raise KernelEvolveError(f"{kernel}: no such file; give the path of a kernel file")
    try:
        found = read_kernel(kernel) if isinstance(kernel, Path) else kernel
        parsed = parse_kernel(found) if isinstance(found, str) else found
    except KernelFileError as error:
        raise Refused(str(error)) from error
    if parsed.language != language:
        raise Refused(f"the kernel is written in {parsed.language!r}; this run's language is {language!r}")
    return parsed


def _wait_for_results(store: Store, run: str, proposal: str, made: Proposal, why: str) -> Told:
    """Keep the kernel until results of it come; one that is told later takes its place."""
    last, form = last_told(store, run, proposal), normal_form(made.kernel)
    message = (
        f"{why}; the kernel waits: measure it there with kernelevolve evaluate-batch, then take the results in with "
        f"kernelevolve tell {run} --results FILE"
    )
    told = Told(run, proposal, Status.PENDING, message=message)
    if last is not None and last["kernel"] == form:
        return evolve(told, repeated=True)
    text, digest = render_kernel(made.kernel), made.kernel.digest
    more: dict[str, Any] = {"note": made.note, "predicted": made.predicted, "bottleneck": made.bottleneck}
    note_told(store, run, proposal, Status.PENDING, form, text=text, digest=digest, **more)
    return told
