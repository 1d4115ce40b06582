"""What the store holds of a run that is driven from outside: what was asked, and what became of it.

An ASKED event holds ``id``, ``expires`` (seconds since 1970), ``evaluations`` (how many there were) and ``action``
(`kernelevolve.evolution.search.Propose.record`). A TOLD event holds ``id``, ``status`` (`Status`), ``kernel`` (the
normal form's digest), ``candidate``, ``reason``; for a kernel that waits for results its ``text``, ``digest``,
``note``, ``predicted`` and ``bottleneck`` too. A candidate that came from outside holds the id as ``asked`` in its
proposal.
"""

from __future__ import annotations

__all__ = [
    "Refused",
    "Status",
    "Told",
    "action_of",
    "answer",
    "candidate_of",
    "last_told",
    "note_told",
    "open_asks",
    "pending_asks",
    "told_before",
]

import enum
from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.evolution.search import Propose
from kernelevolve.store import Candidate, Evaluation, EventKind, Store

#: Open proposals that an error lists at most, the latest ones.
_LISTED = 10


class Refused(KernelEvolveError):
    """The answer is no: nothing was recorded, and what was open stays open."""


class Status(enum.StrEnum):
    """What a tell came to."""

    EVALUATED = "evaluated"
    """The kernel is a candidate of the run, right or not."""
    DUPLICATE = "duplicate"
    """The run had the same kernel already; that candidate's numbers are the answer."""
    DECLINED = "declined"
    """Nothing came of the proposal."""
    PENDING = "pending"
    """The kernel waits for results: the run's device is not here."""


@frozen
class Told:
    """What became of a proposal."""

    run: str
    proposal: str
    status: Status
    #: The number of the candidate that holds the kernel; None where there is none.
    candidate: int | None = None
    #: Its first evaluation.
    evaluation: Evaluation | None = field(default=None, repr=False)
    #: One sentence.
    message: str = ""
    #: Whether an earlier tell had recorded it.
    repeated: bool = False


def open_asks(store: Store, run: str) -> tuple[Mapping[str, Any], ...]:
    """The proposals of `run` that are open, expired and waiting ones included, the oldest first: their events' data."""
    closed = {event.data["id"] for event in store.events(run, EventKind.TOLD) if event.data["status"] != Status.PENDING}
    return tuple(event.data for event in store.events(run, EventKind.ASKED) if event.data["id"] not in closed)


def pending_asks(store: Store, run: str) -> dict[str, Mapping[str, Any]]:
    """Kernels that wait for results, by proposal: the data of their latest TOLD events."""
    latest = {event.data["id"]: event.data for event in store.events(run, EventKind.TOLD)}
    return {proposal: data for proposal, data in latest.items() if data["status"] == Status.PENDING}


def action_of(store: Store, run: str, proposal: str) -> Propose:
    """What was asked. Raises `UnknownNameError` with the open ones where nothing was asked under this id."""
    for event in store.events(run, EventKind.ASKED):
        if event.data["id"] == proposal:
            return Propose.from_record(event.data["action"])
    store.run(run)
    known = [str(one["id"]) for one in open_asks(store, run)][-_LISTED:]
    raise UnknownNameError("proposal", proposal, known, where=f"run {run}")


def last_told(store: Store, run: str, proposal: str) -> Mapping[str, Any] | None:
    """The data of the latest TOLD event of `proposal`."""
    found = [event.data for event in store.events(run, EventKind.TOLD) if event.data["id"] == proposal]
    return found[-1] if found else None


def candidate_of(store: Store, run: str, proposal: str) -> Candidate | None:
    """The candidate that a tell of `proposal` added, evaluated or not."""
    return next((one for one in store.candidates(run) if one.proposal.get("asked") == proposal), None)


def told_before(store: Store, run: str, proposal: str, form: str) -> Told | None:
    """What an earlier tell of the kernel with the normal form `form` has recorded; None where something is left to do.

    Raises `Refused` where the proposal was declined, or answered with another kernel.
    """
    last, added = last_told(store, run, proposal), candidate_of(store, run, proposal)
    if last is not None and last["status"] == Status.DECLINED:
        raise Refused(f"proposal {proposal} was declined ({last['reason']}); ask for another one")
    closed = last if last is not None and last["status"] != Status.PENDING else None
    if (closed is not None and closed["kernel"] != form) or (added is not None and added.normal_form != form):
        number = added.number if added is not None else closed and closed["candidate"]
        raise Refused(f"proposal {proposal} was answered with another kernel (candidate {number}); ask for another one")
    if closed is None:
        return None
    found = answer(store, run, proposal, Status(closed["status"]), closed["candidate"], closed["reason"])
    return evolve(found, repeated=True)


def note_told(
    store: Store,
    run: str,
    proposal: str,
    status: Status,
    form: str = "",
    *,
    candidate: int | None = None,
    reason: str = "",
    **more: Any,
) -> None:
    """Record what became of `proposal`."""
    data = {"id": proposal, "status": status.value, "kernel": form, "candidate": candidate, "reason": reason, **more}
    store.add_event(run, EventKind.TOLD, data)


def answer(store: Store, run: str, proposal: str, status: Status, candidate: int, message: str = "") -> Told:
    """The answer to a tell, with the first evaluation of `candidate`."""
    evaluation = next(iter(store.evaluations(run, candidate)), None)
    sentence = message or (evaluation.message if evaluation is not None else "")
    return Told(run, proposal, status, candidate, evaluation, sentence)
