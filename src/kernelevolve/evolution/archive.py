"""A run's candidates in memory: a few numbers each, so that a million of them fit and any one is found at once.

The archive is rebuilt from the store on resume. Kernels stay in the store and are fetched by number through a cache.
"""

from __future__ import annotations

__all__ = [
    "NONE",
    "Archive",
    "Entry",
]

from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from random import Random
from typing import Final

from attrs import frozen

from kernelevolve.kernel import Kernel

#: No candidate: the parent of a seed, the position of what is not ranked.
NONE: Final = -1
#: Kernels kept parsed.
_CACHED: Final = 512


@frozen
class Entry:
    """One evaluated candidate."""

    number: int
    #: 0 for anything not right.
    fitness: float
    #: `descriptors.cell_index`; 0 where nothing is known.
    cell: int = 0
    island: int = 0
    #: The candidate that was changed; `NONE` for a seed.
    parent: int = NONE


def _no_kernels(number: int) -> Kernel:
    message = f"this archive was made without a source of kernels; candidate {number} cannot be fetched"
    raise LookupError(message)


class Archive:
    """Every evaluated candidate of one run, by number.

    `fetch` reads a kernel from the store. Insertion and every question here take constant time, whatever the size.
    """

    def __init__(self, fetch: Callable[[int], Kernel] = _no_kernels) -> None:
        #: The kernel of a candidate, parsed; the latest ones are kept.
        self.kernel: Callable[[int], Kernel] = lru_cache(maxsize=_CACHED)(fetch)
        self._fitness = array("d")
        self._cell = array("i")
        self._island = array("i")
        self._parent = array("i")
        #: For each number, its place in `_right` or, for what is not right, in `_wrong`; NONE where it is not inserted.
        self._place = array("i")
        self._right = array("i")
        self._wrong = array("i")
        self._best = NONE

    def __len__(self) -> int:
        return len(self._right) + len(self._wrong)

    def __contains__(self, number: int) -> bool:
        return 0 <= number < len(self._place) and self._place[number] != NONE

    def insert(self, entry: Entry) -> None:
        """Add a candidate. Raises ValueError where its number is taken; a new measurement of it is a `revise`."""
        number = entry.number
        if number < 0 or number in self:
            message = f"candidate {number} is in the archive already; use revise for a new measurement"
            raise ValueError(message)
        self._grow(number + 1)
        self._fitness[number] = entry.fitness
        self._cell[number] = entry.cell
        self._island[number] = entry.island
        self._parent[number] = entry.parent
        self._append(number)
        if self._best == NONE or entry.fitness > self._fitness[self._best]:
            self._best = number

    def revise(self, number: int, fitness: float, *, cell: int | None = None) -> None:
        """Give a candidate the fitness, and the cell, of a newer measurement. Raises KeyError where it is not there."""
        before = self.fitness(number)
        if (before > 0) != (fitness > 0):
            self._remove(number)
            self._fitness[number] = fitness
            self._append(number)
        self._fitness[number] = fitness
        if cell is not None:
            self._cell[number] = cell
        if fitness > self._fitness[self._best]:
            self._best = number
        elif number == self._best and fitness < before:
            # The one question that is not constant time: a former best leaves no trace of who came second.
            self._best = max(self, key=lambda other: (self._fitness[other], -other))

    def __iter__(self) -> Iterator[int]:
        """The numbers of every candidate, in order."""
        return (number for number, place in enumerate(self._place) if place != NONE)

    def fitness(self, number: int) -> float:
        """Raises KeyError where `number` is not in the archive, as do `cell`, `island` and `parent`."""
        return self._fitness[self._known(number)]

    def cell(self, number: int) -> int:
        """The cell of a candidate."""
        return self._cell[self._known(number)]

    def island(self, number: int) -> int:
        """The island that a candidate was made on."""
        return self._island[self._known(number)]

    def parent(self, number: int) -> int:
        """The candidate that was changed to make `number`, or `NONE`."""
        return self._parent[self._known(number)]

    @property
    def best(self) -> int:
        """The fittest candidate, the earlier one of equals. Raises ValueError in an empty archive."""
        if self._best == NONE:
            raise ValueError(_EMPTY)
        return self._best

    def any(self, rng: Random) -> int:
        """A right candidate at random; a wrong one where there is no right one, so that it can be mended.

        Raises ValueError in an empty archive.
        """
        among = self._right or self._wrong
        if not among:
            raise ValueError(_EMPTY)
        return among[rng.randrange(len(among))]

    def _known(self, number: int) -> int:
        if number not in self:
            raise KeyError(number)
        return number

    def _grow(self, size: int) -> None:
        missing = size - len(self._place)
        if missing > 0:
            self._fitness.extend([0.0] * missing)
            for column in (self._cell, self._island):
                column.extend([0] * missing)
            for column in (self._parent, self._place):
                column.extend([NONE] * missing)

    def _among(self, number: int) -> array[int]:
        return self._right if self._fitness[number] > 0 else self._wrong

    def _append(self, number: int) -> None:
        among = self._among(number)
        self._place[number] = len(among)
        among.append(number)

    def _remove(self, number: int) -> None:
        among, place = self._among(number), self._place[number]
        last = among.pop()
        if last != number:
            among[place] = last
            self._place[last] = place
        self._place[number] = NONE


_EMPTY: Final = "the archive is empty; insert the seed kernel first"
