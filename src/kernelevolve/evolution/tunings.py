"""Which structure is tuned next, and with which configuration: the second of the search's two levels.

Every right candidate with tunables may have a tuner. Tuners get a small credit of evaluations, more as long as they
improve, and none once far behind the best: the budget goes to structures that promise something.
"""

from __future__ import annotations

__all__ = ["Tunings"]

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, cast

from attrs import define

from kernelevolve.evolution.tuning import Space, Tuner
from kernelevolve.kernel import Configuration, Kernel, configuration_label

#: Evaluations a structure may spend before it must have improved, and again after each improvement.
_CREDIT: Final = 8
#: What counts as an improvement of a structure's best: above the noise of a screen.
_GAIN: Final = 1.02
#: Structures below this share of the best fitness are not tuned (tunables seldom bring more than a factor of two).
_PROMISING: Final = 0.5
#: Configurations a space lists at most; larger spaces are sampled.
_SPACE: Final = 20_000


@define(eq=False)
class _Structure:
    tuner: Tuner | None
    credit: int
    tried: int
    best: float
    seen: set[str]


class Tunings:
    """The tuners of one run. All state follows from `started` and `told`, so replaying those restores it."""

    def __init__(
        self, fetch: Callable[[int], Kernel], valid: Callable[[Kernel, Configuration], bool], seed: int
    ) -> None:
        self._fetch, self._valid, self._seed = fetch, valid, seed
        self._structures: dict[int, _Structure] = {}
        #: Evaluations that tuners asked for.
        self.spent = 0

    def told(self, candidate: int, configuration: Configuration, fitness: float) -> None:
        """Report an evaluation of `candidate`; fitness 0 is a failure. The first one is the structure's default."""
        structure = self._structures.get(candidate)
        if structure is None:
            structure = self._structures[candidate] = _Structure(None, _CREDIT if fitness > 0 else 0, 0, fitness, set())
        else:
            structure.tried += 1
            structure.credit -= 1
            self.spent += 1
        label = configuration_label(configuration)
        if label in structure.seen:
            return
        structure.seen.add(label)
        if fitness > structure.best * _GAIN:
            structure.credit = max(structure.credit, _CREDIT)
        structure.best = max(structure.best, fitness)
        self._tell(candidate, structure, configuration, fitness)

    def _tell(self, candidate: int, structure: _Structure, configuration: Configuration, fitness: float) -> None:
        if fitness <= 0 and structure.tuner is None:
            return
        if structure.tuner is None:
            kernel = self._fetch(candidate)
            space = Space.from_values(
                kernel.tunables, lambda c: self._valid(kernel, cast("Configuration", c)), limit=_SPACE, seed=self._seed
            )
            if len(space) < 2:  # nothing to choose from
                structure.credit = 0
                return
            structure.tuner = Tuner(space, seed=_seed_of(self._seed, candidate), start=dict(configuration))
        structure.tuner.tell(configuration, 1.0 / fitness if fitness > 0 else None)

    def next(self, best: float) -> tuple[int, Configuration] | None:
        """The configuration to evaluate next, and of which candidate; None where no structure deserves it."""
        while True:
            open_ones = {
                number: structure
                for number, structure in self._structures.items()
                if structure.credit > 0 and structure.tuner is not None and structure.best >= _PROMISING * best
            }
            if not open_ones:
                return None
            number = max(open_ones, key=lambda n: (open_ones[n].best / (1 + 0.05 * open_ones[n].tried), -n))
            structure = open_ones[number]
            asked = structure.tuner.ask() if structure.tuner else None
            if asked is not None:  # the space was made from the header, so its values are the header's
                return number, cast("Configuration", asked)
            structure.credit = 0

    def best_of(self) -> Mapping[int, float]:
        """The best fitness of each structure so far."""
        return {number: structure.best for number, structure in self._structures.items()}


def _seed_of(seed: int, candidate: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{candidate}".encode()).digest()[:4], "big")
