"""Beam search: the best few are all expanded equally often, then the best few of all that came of it go on.

A round lasts `breadth` insertions for each member of the beam. The next beam is the `width` fittest of the old one and
of what the round brought, so that a round of failures loses nothing.
"""

from __future__ import annotations

__all__ = ["Beam"]

from random import Random
from typing import ClassVar

from attrs import define, field, validators

from kernelevolve.evolution.archive import Archive
from kernelevolve.evolution.policies.protocol import Choice, other_than


@define
class Beam:
    """`width` members, each changed `breadth` times in a round.

    The member with the fewest children of this round is next, the fitter one of equals; with chance `epsilon` it is any
    member, so that one which nothing more can be made of does not hold up the round.
    """

    width: int = field(default=4, validator=validators.ge(1))
    breadth: int = field(default=4, validator=validators.ge(1))
    epsilon: float = field(default=0.1, validator=[validators.ge(0.0), validators.le(1.0)])
    #: Rounds that are over.
    rounds: int = field(default=0, init=False)
    #: The fittest first; empty until something is right.
    _beam: list[int] = field(factory=list, init=False, repr=False)
    #: What the round brought that is right, and what was measured anew in it.
    _brought: set[int] = field(factory=set, init=False, repr=False)
    #: Insertions of this round, and by member how many of them are its children.
    _insertions: int = field(default=0, init=False)
    _children: dict[int, int] = field(factory=dict, init=False, repr=False)

    name: ClassVar[str] = "beam"

    def inserted(self, archive: Archive, number: int) -> None:
        if archive.fitness(number) > 0:
            self._brought.add(number)
        parent = archive.parent(number)
        self._children[parent] = self._children.get(parent, 0) + 1
        self._insertions += 1
        if self._brought if not self._beam else self._insertions >= self.breadth * len(self._beam):
            self._next_round(archive)

    def revised(self, archive: Archive, number: int) -> None:
        if archive.fitness(number) > 0:
            self._brought.add(number)
            return
        self._brought.discard(number)
        if number in self._beam:
            self._beam.remove(number)
            if not self._beam:
                self._next_round(archive)

    def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
        children = dict(self._children)
        chosen = []
        for _ in range(count):
            chosen.append(Choice(self._one(archive, rng, children)))
            # Until the child is here its parent counts as expanded, so that a batch spreads over the beam.
            children[chosen[-1].parent] = children.get(chosen[-1].parent, 0) + 1
        return tuple(chosen)

    def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:
        """Another member of the beam; any other right candidate where it has none."""
        others = [member for member in self._beam if member != choice.parent]
        return others[rng.randrange(len(others))] if others else other_than(archive, rng, choice.parent)

    def _one(self, archive: Archive, rng: Random, children: dict[int, int]) -> int:
        if not self._beam:
            return archive.any(rng)
        if rng.random() < self.epsilon:
            return self._beam[rng.randrange(len(self._beam))]
        return min(self._beam, key=lambda member: children.get(member, 0))

    def _next_round(self, archive: Archive) -> None:
        pool = self._brought.union(self._beam)
        if not pool:  # the last member fell: the fittest that is left, if any
            pool = {number for number in archive if archive.fitness(number) > 0}
        self._beam = sorted(pool, key=lambda number: (-archive.fitness(number), number))[: self.width]
        self._brought, self._children, self._insertions = set(), {}, 0
        self.rounds += bool(self._beam)
