"""Greedy selection: the best few, the better the likelier, with a little chance for everything else."""

from __future__ import annotations

__all__ = ["Greedy"]

import heapq
from bisect import insort
from random import Random
from typing import ClassVar

from attrs import define, field, validators

from kernelevolve.evolution.archive import Archive
from kernelevolve.evolution.policies.protocol import Choice, other_than, weighted


@define
class Greedy:
    """Draws from the `top` candidates, the one on rank r (from 1) with weight 1/r; with chance `epsilon`, from all."""

    top: int = field(default=16, validator=validators.ge(1))
    epsilon: float = field(default=0.05, validator=[validators.ge(0.0), validators.le(1.0)])
    #: (-fitness, number), the best first, so that of equals the earlier one leads.
    _leaders: list[tuple[float, int]] = field(factory=list, init=False, repr=False)

    name: ClassVar[str] = "greedy"

    def inserted(self, archive: Archive, number: int) -> None:
        fitness = archive.fitness(number)
        if fitness > 0:
            insort(self._leaders, (-fitness, number))
            del self._leaders[self.top :]

    def revised(self, archive: Archive, number: int) -> None:
        held = next((-negative for negative, leader in self._leaders if leader == number), None)
        if held is not None and archive.fitness(number) < held:
            # Who follows the leaders is not kept, so a leader that falls makes for one look through the whole archive.
            ranked = ((-archive.fitness(other), other) for other in archive if archive.fitness(other) > 0)
            self._leaders = heapq.nsmallest(self.top, ranked)
        else:
            self._leaders = [leader for leader in self._leaders if leader[1] != number]
            self.inserted(archive, number)

    def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
        return tuple(Choice(self._one(archive, rng)) for _ in range(count))

    def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:
        others = [leader for leader in self._leaders if leader[1] != choice.parent]
        if not others or rng.random() < self.epsilon:
            return other_than(archive, rng, choice.parent)
        return _by_rank(rng, others)

    def _one(self, archive: Archive, rng: Random) -> int:
        if not self._leaders or rng.random() < self.epsilon:
            return archive.any(rng)
        return _by_rank(rng, self._leaders)


def _by_rank(rng: Random, leaders: list[tuple[float, int]]) -> int:
    return weighted(rng, leaders, [1 / rank for rank in range(1, len(leaders) + 1)])[1]
