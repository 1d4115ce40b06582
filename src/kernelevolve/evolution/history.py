"""What was tried before, as a proposer is shown it: the way to a candidate, what else was made of its parent, what is
best and latest elsewhere in the run; and to a draft, the drafts before it.
"""

from __future__ import annotations

__all__ = ["best_evaluation", "drafts", "history_for", "paired", "relatives", "seen"]

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kernelevolve.accelerator import Source
from kernelevolve.evolution.proposal import Parent, Relation, Relative
from kernelevolve.evolution.search import Propose
from kernelevolve.kernel import Kernel, configuration_label
from kernelevolve.store import Candidate, Evaluation, EventKind, Memory, Store

#: Ancestors, siblings and drafts shown at most: each is a line of a prompt.
_ANCESTORS: Final = 8
_SIBLINGS: Final = 12
_DRAFTS: Final = 24
#: The run's best and its latest candidates, shown beside the siblings.
_BEST: Final = 12
_LATEST: Final = 6
#: Clocks that do not depend on the moment, so that two times may be compared that were not taken side by side.
_NO_DRIFT: Final = (Source.EMULATED_CYCLES, Source.RECORDED, Source.ANALYTIC)


def best_evaluation(store: Store, run: str, number: int) -> Evaluation:
    """The fittest evaluation of a candidate, the earliest of equals."""
    return max(store.evaluations(run, number), key=lambda one: one.fitness or 0.0)


def seen(store: Store, run: str, number: int, kernel: Kernel) -> Parent:
    """A candidate as proposers see it. Its profile says how many `configurations` were tried, where more than one."""
    best = best_evaluation(store, run, number)
    tried = {configuration_label(one.configuration) for one in store.evaluations(run, number)}
    return Parent(
        candidate=number,
        kernel=kernel,
        outcome=best.outcome,
        fitness=best.fitness or 0.0,
        configuration=best.configuration,
        message=best.message,
        profile={
            **best.profile,
            **({"details": dict(best.details)} if best.details else {}),
            **({"configurations": len(tried)} if len(tried) > 1 else {}),
        },
    )


def paired(profile: Mapping[str, Any]) -> bool:
    """Whether the times of a stored profile were taken side by side with the fastest kernel of their moment, or need
    not be: on a clock that does not drift, and for what every fitness of the run is relative to.
    """
    timings = profile.get("timings") or ()
    return bool(profile.get("anchor")) or all(one.get("paired") or one.get("source") in _NO_DRIFT for one in timings)


def history_for(
    action: Propose, store: Store, run: str, open_ones: Mapping[object, Propose], ranked: Sequence[int]
) -> tuple[Relative, ...]:
    """What a proposal for `action` is told: a draft of the other drafts, every other of its relatives.

    `open_ones` are the proposals under way, `ranked` all evaluated candidates, the fittest first.
    """
    if action.draft:
        return drafts(store, run, sum(one.draft for one in open_ones.values()))
    return relatives(store, run, action.choice.parent, action.memory, ranked)


def relatives(store: Store, run: str, number: int, memory: Memory, ranked: Sequence[int] = ()) -> tuple[Relative, ...]:
    """The history of candidate `number` as far as `memory` allows, the oldest first.

    `PARENT`: its ancestors and itself. `SIBLINGS`: its parent's other children and its own, and of the run the best and
    the latest, taken from `ranked`: the numbers of all evaluated candidates, the fittest first. `BOTH`: all of these.
    """
    ancestors = memory in (Memory.PARENT, Memory.BOTH)
    siblings = memory in (Memory.SIBLINGS, Memory.BOTH)
    if not ancestors and not siblings:
        return ()
    family = {candidate.number: candidate for candidate in store.candidates(run)}
    line = _line(family, number)
    related: dict[int, Relation] = {}
    if ancestors:
        related |= dict.fromkeys(line[-_ANCESTORS:], Relation.ANCESTOR)
    if siblings:
        parent = line[-2] if len(line) > 1 else None
        beside = [
            one.number
            for one in family.values()
            if one.parents and one.parents[0] in (number, parent) and one.number not in line
        ]
        related |= dict.fromkeys(beside[-_SIBLINGS:], Relation.SIBLING)
        # The kernel itself is shown anyway, and the seed is what fitness is relative to.
        for other in (*ranked[:_BEST], *sorted(ranked)[-_LATEST:]):
            if other not in (0, number):
                related.setdefault(other, Relation.ELSEWHERE)
    return tuple(_told(store, run, family, related))


def _line(family: dict[int, Candidate], number: int) -> list[int]:
    """From the seed to `number`, by first parents."""
    line = [number]
    while family[line[0]].parents:
        line.insert(0, family[line[0]].parents[0])
    return line


def _told(store: Store, run: str, family: dict[int, Candidate], related: Mapping[int, Relation]) -> Iterable[Relative]:
    for number, relation in sorted(related.items()):
        candidate = family[number]
        evaluations = list(store.evaluations(run, number))
        if not evaluations:  # its evaluation is under way
            continue
        first, best = evaluations[0], max(evaluations, key=lambda one: one.fitness or 0.0)
        before = next(iter(store.evaluations(run, candidate.parents[0])), None) if candidate.parents else None
        gain = _gain(first, before)
        compared = [best, *([first, before] if before is not None and gain is not None else [])]
        yield Relative(
            candidate=number,
            relation=relation,
            operator=candidate.operator,
            note=candidate.note,
            outcome=best.outcome,
            fitness=best.fitness or 0.0,
            gain=gain,
            predicted=candidate.proposal.get("predicted"),
            message="" if best.outcome.right else best.message,
            paired=all(paired(one.profile) for one in compared),
        )


def _gain(first: Evaluation, before: Evaluation | None) -> float | None:
    """Both as they were first evaluated: a tuned parent would hide what the change itself brought."""
    return first.fitness / before.fitness if first.fitness and before is not None and before.fitness else None


def drafts(store: Store, run: str, under_way: int = 0) -> tuple[Relative, ...]:
    """The drafts of a run so far, at most the latest `_DRAFTS`: what they are, and not what came of them.

    `under_way` were asked for and have not come back; what they are is known of those that wait for results.
    """
    made = [_draft(one.operator, one.note, one.number) for one in store.candidates(run) if one.proposal.get("draft")]
    asked = {event.data["id"]: event.data for event in store.events(run, EventKind.ASKED)}
    told = {event.data["id"]: event.data for event in store.events(run, EventKind.TOLD)}
    waiting = [
        _draft(asked[name]["action"]["operator"], data["note"])
        for name, data in told.items()
        if data["status"] == "pending" and name in asked and asked[name]["action"]["draft"]
    ]
    unknown = [_draft("", "") for _ in range(under_way - len(waiting))]
    return (*made, *waiting, *unknown)[-_DRAFTS:]


def _draft(operator: str, note: str, number: int | None = None) -> Relative:
    return Relative(number, Relation.DRAFT, operator, note, outcome=None, fitness=0.0, gain=None)
