"""Plain search strategies behind the tuner's ask and tell, to hold the tuner against.

A strategy is written as an endless coroutine that yields configurations and is sent their seconds (infinity for a
failure). A configuration it proposes again costs nothing: the recorded time is sent back, as tuners with a cache do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Final

import numpy as np
import numpy.typing as npt

from kernelevolve.evolution.tuning import Configuration, Space

Search = Generator[int, float, None]
Strategy = Callable[["Neighbourhoods", np.random.Generator], Search]

#: Proposals in a row that were all evaluated before, after which a random new one is asked instead.
_PATIENCE: Final = 2000


class Neighbourhoods:
    """The space as strategies see it: indices, and the configurations one tunable away from an index."""

    def __init__(self, space: Space) -> None:
        """Look at `space`."""
        self.codes = space.codes
        self.rows = {row.tobytes(): index for index, row in enumerate(space.codes)}

    def __len__(self) -> int:
        """How many configurations there are."""
        return len(self.codes)

    def of(self, index: int) -> npt.NDArray[np.intp]:
        """Indices that differ from `index` in exactly one tunable."""
        return np.flatnonzero((self.codes != self.codes[index]).sum(axis=1) == 1)


class Baseline:
    """A strategy with the interface of `kernelevolve.evolution.tuning.Tuner`; one evaluation at a time."""

    def __init__(self, space: Space, strategy: Strategy, *, seed: int) -> None:
        """Search `space` by `strategy`."""
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._search = strategy(Neighbourhoods(space), self._rng)
        self._proposal = next(self._search)
        self._times: dict[int, float] = {}
        self.best: tuple[Configuration, float] | None = None

    def ask(self) -> Configuration | None:
        """The strategy's next proposal that was not evaluated yet; None when there is none."""
        if len(self._times) == len(self._space):
            return None
        for _ in range(_PATIENCE):
            if self._proposal not in self._times:
                return self._space[self._proposal]
            self._proposal = self._search.send(self._times[self._proposal])
        fresh = [index for index in range(len(self._space)) if index not in self._times]
        return self._space[int(self._rng.choice(fresh))]

    def tell(self, configuration: Configuration, seconds: float | None) -> None:
        """Record a time, or None for a failure."""
        index = self._space.index(self._space.encode(configuration))
        assert index is not None, "a baseline is told what it asked"
        self._times[index] = math.inf if seconds is None else seconds
        if seconds is not None and (self.best is None or seconds < self.best[1]):
            self.best = configuration, seconds


def random_search(space: Neighbourhoods, rng: np.random.Generator) -> Search:
    """Every configuration once, in random order."""
    while True:
        for index in rng.permutation(len(space)):
            yield int(index)


def iterated_local_search(space: Neighbourhoods, rng: np.random.Generator) -> Search:
    """Greedy descent: take the first better neighbour, restart at random from a local optimum."""
    while True:
        here = int(rng.integers(len(space)))
        seconds = yield here
        improved = True
        while improved:
            improved = False
            for index in rng.permutation(space.of(here)):
                other = yield int(index)
                if other < seconds:
                    here, seconds, improved = int(index), other, True
                    break


def genetic_algorithm(
    space: Neighbourhoods, rng: np.random.Generator, *, population: int = 20, mutation: float = 0.1
) -> Search:
    """Elitist genetic algorithm: tournaments of two, uniform crossover, a mutation to a random neighbour.

    Kernel Tuner's defaults are alike (population 20, uniform crossover, one mutation in ten). A child that is not a
    valid configuration is replaced by a neighbour of its first parent.
    """
    founders = rng.choice(len(space), min(population, len(space)), replace=False).tolist()
    members = []
    for index in founders:
        seconds = yield index
        members.append((seconds, index))
    while True:
        children: list[tuple[float, int]] = []
        while len(children) < population:
            index = _child(space, rng, members, mutation)
            seconds = yield index
            children.append((seconds, index))
        members = sorted(set(members + children))[:population]


def _child(space: Neighbourhoods, rng: np.random.Generator, members: list[tuple[float, int]], mutation: float) -> int:
    first, second = (min(members[i] for i in rng.integers(len(members), size=2))[1] for _ in range(2))
    mask = rng.random(space.codes.shape[1]) < 0.5
    child = space.rows.get(np.where(mask, space.codes[first], space.codes[second]).tobytes())
    if child is None or rng.random() < mutation:
        neighbours = space.of(first if child is None else child)
        child = int(rng.choice(neighbours)) if len(neighbours) else int(rng.integers(len(space)))
    return child


STRATEGIES: Final[dict[str, Strategy]] = {
    "random": random_search,
    "genetic": genetic_algorithm,
    "ils": iterated_local_search,
}
