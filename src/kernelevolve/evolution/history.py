"""What was tried before, as a proposer is shown it: the way to a candidate, and what else was made of its parent."""

from __future__ import annotations

__all__ = ["best_evaluation", "relatives", "seen"]

from collections.abc import Iterable
from typing import Final

from kernelevolve.evolution.proposal import Parent, Relation, Relative
from kernelevolve.kernel import Kernel
from kernelevolve.store import Candidate, Evaluation, Memory, Store

#: Ancestors and siblings shown at most: each is a line of a prompt.
_ANCESTORS: Final = 8
_SIBLINGS: Final = 12


def best_evaluation(store: Store, run: str, number: int) -> Evaluation:
    """The fittest evaluation of a candidate, the earliest of equals."""
    return max(store.evaluations(run, number), key=lambda one: one.fitness or 0.0)


def seen(store: Store, run: str, number: int, kernel: Kernel) -> Parent:
    """A candidate as proposers see it."""
    best = best_evaluation(store, run, number)
    return Parent(
        candidate=number,
        kernel=kernel,
        outcome=best.outcome,
        fitness=best.fitness or 0.0,
        configuration=best.configuration,
        message=best.message,
        profile={**best.profile, "details": dict(best.details)} if best.details else best.profile,
    )


def relatives(store: Store, run: str, number: int, memory: Memory) -> tuple[Relative, ...]:
    """The history of candidate `number` as far as `memory` allows: its ancestors and itself, and its parent's other
    children and its own; the oldest first.
    """
    ancestors = memory in (Memory.PARENT, Memory.BOTH)
    siblings = memory in (Memory.SIBLINGS, Memory.BOTH)
    if not ancestors and not siblings:
        return ()
    family = {candidate.number: candidate for candidate in store.candidates(run)}
    line = _line(family, number)
    found: list[Relative] = []
    if ancestors:
        found += _told(store, run, family, line[-_ANCESTORS:], Relation.ANCESTOR)
    if siblings:
        parent = line[-2] if len(line) > 1 else None
        beside = [
            one.number
            for one in family.values()
            if one.parents and one.parents[0] in (number, parent) and one.number not in line
        ]
        found += _told(store, run, family, beside[-_SIBLINGS:], Relation.SIBLING)
    return tuple(sorted(found, key=lambda one: one.candidate))


def _line(family: dict[int, Candidate], number: int) -> list[int]:
    """From the seed to `number`, by first parents."""
    line = [number]
    while family[line[0]].parents:
        line.insert(0, family[line[0]].parents[0])
    return line


def _told(
    store: Store, run: str, family: dict[int, Candidate], numbers: Iterable[int], relation: Relation
) -> list[Relative]:
    lines = []
    for number in numbers:
        candidate = family[number]
        evaluations = list(store.evaluations(run, number))
        if not evaluations:  # its evaluation is under way
            continue
        best = max(evaluations, key=lambda one: one.fitness or 0.0)
        lines.append(
            Relative(
                candidate=number,
                relation=relation,
                operator=candidate.operator,
                note=candidate.note,
                outcome=best.outcome,
                fitness=best.fitness or 0.0,
                gain=_gain(store, run, candidate, evaluations[0]),
                predicted=candidate.proposal.get("predicted"),
                message="" if best.outcome.right else best.message,
            )
        )
    return lines


def _gain(store: Store, run: str, candidate: Candidate, first: Evaluation) -> float | None:
    """Both as they were first evaluated: a tuned parent would hide what the change itself brought."""
    if not candidate.parents or not first.fitness:
        return None
    parent = next(iter(store.evaluations(run, candidate.parents[0])), None)
    return first.fitness / parent.fitness if parent is not None and parent.fitness else None
