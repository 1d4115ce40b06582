"""Restarts: a search that improves no longer begins again beside what it has found, and later goes on with all of it.

A restarted policy forgets, the archive does not. It sees the seed and the fittest candidates outside every branch that
has run dry (a branch is a child of the seed with all that came of it). When that brings nothing more either, it sees
everything again, and so on in turn: an even number of restarts leaves nothing out.
"""

from __future__ import annotations

__all__ = ["Restarting"]

import heapq
from array import array
from collections.abc import Callable, Iterable
from random import Random
from typing import Final

from attrs import define, field, validators

from kernelevolve.evolution.archive import NONE, Archive, Entry
from kernelevolve.evolution.policies.protocol import Choice, SelectionPolicy

#: Chance of any right candidate at all, so that a restart with nothing left to try does not end a run.
_ANYWHERE: Final = 0.05


def _numbers() -> array[int]:
    return array("i")


@define
class Restarting:
    """Makes a fresh policy whenever `patience` candidates in a row were no improvement on the best since the last one.

    An improvement is more than `minimum_gain` above that best, by a new candidate or by tuning. The state follows from
    insertions and revisions.
    """

    make: Callable[[], SelectionPolicy] = field(repr=False)
    patience: int = field(validator=validators.ge(1))
    minimum_gain: float = field(default=0.01, kw_only=True, validator=validators.ge(0.0))
    #: How many candidates outside the branches that ran dry a restart begins with, beside the seed.
    keep: int = field(default=8, kw_only=True, validator=validators.ge(0))
    #: Restarts that have taken place.
    restarts: int = field(default=0, init=False)
    _policy: SelectionPolicy = field(init=False, repr=False)
    #: What the policy sees: the archive, or a part of it.
    _view: Archive = field(factory=Archive, init=False, repr=False)
    #: For each candidate the child of the seed that it descends from, or is; `NONE` for the seed.
    _branch: array[int] = field(factory=_numbers, init=False, repr=False)
    _seeds: list[int] = field(factory=list, init=False, repr=False)
    _dry: set[int] = field(factory=set, init=False, repr=False)
    #: The best fitness that the policy has seen, and the candidates since then.
    _best: float = field(default=0.0, init=False, repr=False)
    _since: int = field(default=0, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._policy = self.make()

    @property
    def name(self) -> str:
        """The name of the policy that is restarted."""
        return self._policy.name

    @property
    def islands(self) -> int:
        """How many islands the policy has; 1 where it knows of none."""
        return getattr(self._policy, "islands", 1)

    @property
    def beginnings(self) -> int:
        """How often the search has begun from the seed: for each of these, drafts are due."""
        return 1 + (self.restarts + 1) // 2

    def inserted(self, archive: Archive, number: int) -> None:
        parent = archive.parent(number)
        known = parent != NONE and parent in archive
        self._branch.extend([NONE] * (number + 1 - len(self._branch)))
        if known:
            self._branch[number] = number if self._branch[parent] == NONE else self._branch[parent]
        else:
            self._seeds.append(number)
        if not known or parent in self._view:
            self._admit(archive, number)
        self._since += 1
        self._improved(archive, number)
        if self._since >= self.patience:
            self._restart(archive)

    def revised(self, archive: Archive, number: int) -> None:
        if number in self._view:
            self._view.revise(number, archive.fitness(number), cell=archive.cell(number))
            self._policy.revised(self._view, number)
            self._improved(archive, number)

    def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
        if self.restarts % 2 and rng.random() < _ANYWHERE:
            return tuple(Choice(archive.any(rng)) for _ in range(count))
        return self._policy.select(self._view, rng, count)

    def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:  # noqa: ARG002  (the protocol's)
        return self._policy.mate(self._view, rng, choice)

    def _admit(self, archive: Archive, number: int) -> None:
        self._view.insert(
            Entry(
                number=number,
                fitness=archive.fitness(number),
                cell=archive.cell(number),
                island=archive.island(number),
                parent=archive.parent(number),
            )
        )
        self._policy.inserted(self._view, number)

    def _improved(self, archive: Archive, number: int) -> None:
        fitness = archive.fitness(number)
        if number in self._view and fitness > self._best * (1 + self.minimum_gain):
            self._best, self._since = fitness, 0

    def _restart(self, archive: Archive) -> None:
        self.restarts += 1
        self._dry.add(self._branch[self._view.best])
        members = self._outside(archive) if self.restarts % 2 else archive
        self._view, self._policy = Archive(archive.kernel), self.make()
        for number in members:
            self._admit(archive, number)
        self._best, self._since = self._view.fitness(self._view.best), 0

    def _outside(self, archive: Archive) -> Iterable[int]:
        """The seeds, and the fittest right candidates outside the branches that ran dry; in order of their numbers."""
        others = (
            number
            for number in archive
            if archive.fitness(number) > 0 and self._branch[number] not in self._dry and self._branch[number] != NONE
        )
        fittest = heapq.nsmallest(self.keep, others, key=lambda number: (-archive.fitness(number), number))
        return sorted([*self._seeds, *fittest])
