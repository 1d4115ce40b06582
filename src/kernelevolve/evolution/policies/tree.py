"""Tree search: candidates form a tree by parenthood, and UCT descends it.

A node is widened while it has fewer children than `most` and than `width` x visits**`growth` (progressive widening,
Coulom 2007, "Computing Elo ratings of move patterns"); otherwise the descent goes on to the child with the highest
upper confidence bound (Kocsis and Szepesvari, "Bandit based Monte-Carlo planning", 2006). The value of a node is the
mean over its subtree of fitness on a logarithmic scale around the baseline.
"""

from __future__ import annotations

__all__ = ["TreeSearch"]

import math
from array import array
from random import Random
from typing import ClassVar, Final

from attrs import define, field, validators

from kernelevolve.evolution.archive import NONE, Archive
from kernelevolve.evolution.policies.protocol import Choice, other_than

#: Fitness is compared between 1/16 and 16 times the baseline; what lies beyond counts as the end of the scale.
_OCTAVES: Final = 4.0
#: The value of anything right, however slow. A subtree worth less than half of it has nothing right in it.
_LEAST: Final = 1e-3


def _value(fitness: float) -> float:
    """Fitness as a number from 0 to 1: 0.5 at the baseline, 0 only where it is not right."""
    if fitness <= 0:
        return 0.0
    return min(1.0, max(_LEAST, 0.5 + math.log2(fitness) / (2 * _OCTAVES)))


def _numbers() -> array[int]:
    return array("i")


def _values() -> array[float]:
    return array("d")


@define
class TreeSearch:
    """UCT over the tree of candidates. Children of a node are linked through arrays, so a million nodes are small."""

    exploration: float = field(default=0.1, validator=validators.ge(0.0))
    width: float = field(default=1.0, validator=validators.gt(0.0))
    #: Children beyond which no node is widened: it bounds what one step of the descent costs, whatever the tree's size.
    most: int = field(default=128, validator=validators.ge(1))
    #: Chance of any right candidate at all, so that no part of the tree is closed for good.
    epsilon: float = field(default=0.02, validator=[validators.ge(0.0), validators.le(1.0)])
    growth: float = field(default=0.5, validator=[validators.gt(0.0), validators.lt(1.0)])
    _visits: array[int] = field(factory=_numbers, init=False, repr=False)
    _sum: array[float] = field(factory=_values, init=False, repr=False)
    _children: array[int] = field(factory=_numbers, init=False, repr=False)
    _parent: array[int] = field(factory=_numbers, init=False, repr=False)
    _first: array[int] = field(factory=_numbers, init=False, repr=False)
    _next: array[int] = field(factory=_numbers, init=False, repr=False)
    _own: array[float] = field(factory=_values, init=False, repr=False)
    #: Roots: seeds, and candidates whose parent is not in the archive.
    _roots: list[int] = field(factory=list, init=False, repr=False)

    name: ClassVar[str] = "mcts"

    def inserted(self, archive: Archive, number: int) -> None:
        self._grow(number + 1)
        parent = archive.parent(number)
        if parent != NONE and parent in archive and self._visits[parent]:
            self._parent[number] = parent
            self._next[number] = self._first[parent]
            self._first[parent] = number
            self._children[parent] += 1
        else:
            self._roots.append(number)
        self._own[number] = _value(archive.fitness(number))
        self._propagate(number, self._own[number], visits=1)

    def revised(self, archive: Archive, number: int) -> None:
        value = _value(archive.fitness(number))
        self._propagate(number, value - self._own[number], visits=0)
        self._own[number] = value

    def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
        chosen: list[Choice] = []
        for _ in range(count):
            chosen.append(Choice(self._descend(archive, rng)))
            # Until the child is here its parent counts as visited, so that a batch spreads over the tree.
            self._propagate(chosen[-1].parent, 0.0, visits=1)
        for choice in chosen:
            self._propagate(choice.parent, 0.0, visits=-1)
        return tuple(chosen)

    def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:
        if archive.best != choice.parent and archive.fitness(archive.best) > 0:
            return archive.best
        return other_than(archive, rng, choice.parent)

    def _descend(self, archive: Archive, rng: Random) -> int:
        if not self._roots or rng.random() < self.epsilon:
            return archive.any(rng)
        roots = [root for root in self._roots if self._alive(root)] or self._roots
        node = self._most_promising(roots, sum(self._visits[root] for root in roots))
        while True:
            living = self._living_children(node)
            wide = self._children[node] >= min(self.most, self.width * self._visits[node] ** self.growth)
            # A node that is wrong itself is left for what mended it; it is chosen only while nothing has.
            if not living or (self._own[node] > 0 and not wide):
                return node
            node = self._most_promising(living, self._visits[node])

    def _most_promising(self, nodes: list[int], total: int) -> int:
        logarithm = math.log(max(2, total))
        visits, values = self._visits, self._sum

        def bound(node: int) -> float:
            seen = visits[node]
            return values[node] / seen + self.exploration * math.sqrt(logarithm / seen)

        return max(nodes, key=bound)

    def _alive(self, node: int) -> bool:
        """Whether anything in the subtree is right. The sum has rounding errors, hence the margin."""
        return self._sum[node] > _LEAST / 2

    def _living_children(self, node: int) -> list[int]:
        children = []
        child = self._first[node]
        while child != NONE:
            if self._alive(child):
                children.append(child)
            child = self._next[child]
        return children

    def _propagate(self, node: int, value: float, *, visits: int) -> None:
        while node != NONE:
            self._visits[node] += visits
            self._sum[node] += value
            node = self._parent[node]

    def _grow(self, size: int) -> None:
        missing = size - len(self._visits)
        if missing > 0:
            for column in (self._visits, self._children):
                column.extend([0] * missing)
            for column in (self._parent, self._first, self._next):
                column.extend([NONE] * missing)
            for values in (self._sum, self._own):
                values.extend([0.0] * missing)
