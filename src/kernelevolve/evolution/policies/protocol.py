"""What a selection policy is."""

from __future__ import annotations

__all__ = ["Choice", "SelectionPolicy", "other_than", "weighted"]

from collections.abc import Sequence
from random import Random
from typing import Protocol, TypeVar, runtime_checkable

from attrs import frozen

from kernelevolve.evolution.archive import Archive


@frozen
class Choice:
    """A candidate to build on, and the island that what comes of it belongs to."""

    parent: int
    island: int = 0


@runtime_checkable
class SelectionPolicy(Protocol):
    """Chooses parents. Its state follows from the insertions alone, so that replaying them restores it.

    All randomness comes from the generator that is passed in: the same insertions and the same generator, the same
    choices.
    """

    @property
    def name(self) -> str:
        """What it is called on the command line and in the store."""
        ...

    def inserted(self, archive: Archive, number: int) -> None:
        """Take note that `number` is now in the archive."""
        ...

    def revised(self, archive: Archive, number: int) -> None:
        """Take note that the fitness or the cell of `number` has changed."""
        ...

    def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
        """Choose `count` parents, repeats allowed. Raises ValueError where the archive is empty."""
        ...

    def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:
        """A second parent, other than the first, to recombine with; None where there is no fitting one."""
        ...


Item = TypeVar("Item")


def weighted(rng: Random, items: Sequence[Item], weights: Sequence[float]) -> Item:
    """One of `items`, drawn in proportion to `weights`; uniformly where they sum to 0."""
    total = sum(weights)
    if total <= 0:
        return items[rng.randrange(len(items))]
    left = rng.random() * total
    for item, weight in zip(items, weights, strict=True):
        left -= weight
        if left < 0:
            return item
    return items[-1]


def other_than(archive: Archive, rng: Random, first: int, *, tries: int = 8) -> int | None:
    """A right candidate other than `first`; None where a few draws found none."""
    for _ in range(tries):
        second = archive.any(rng)
        if second != first and archive.fitness(second) > 0:
            return second
    return None
