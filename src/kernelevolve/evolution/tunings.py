"""Which structure is tuned next, and with which configuration: the second of the search's two levels.

Every right candidate with tunables may have a tuner. Tuners get a small credit of evaluations, more as long as they
improve, and none once far behind the best: the budget goes to structures that promise something.
"""

from __future__ import annotations

__all__ = ["Tunings"]

import hashlib
from collections.abc import Callable
from typing import Final, cast

from attrs import define

from kernelevolve.evolution.tuning import Space, Tuner
from kernelevolve.kernel import Configuration, Kernel

#: Evaluations a structure may spend before it must have improved, and again after each improvement.
_CREDIT: Final = 8
#: What counts as an improvement of a structure's best: above the noise of a screen.
_GAIN: Final = 1.02
#: Structures below this share of the best fitness are not tuned (tunables seldom bring more than a factor of three).
_PROMISING: Final = 0.33
#: Structures with a tuner at any one time.
_OPEN: Final = 32
#: Configurations a space lists at most; larger spaces are sampled.
_SPACE: Final = 20_000


@define(eq=False)
class _Structure:
    tuner: Tuner
    credit: int
    tried: int
    best: float


class Tunings:
    """The tuners of one run. All state follows from `started` and `told`, so replaying those restores it."""

    def __init__(
        self, fetch: Callable[[int], Kernel], valid: Callable[[Kernel, Configuration], bool], seed: int
    ) -> None:
        self._fetch, self._valid, self._seed = fetch, valid, seed
        self._structures: dict[int, _Structure] = {}
        #: Evaluations that tuners asked for.
        self.spent = 0

    def told(self, candidate: int, configuration: Configuration, fitness: float, *, first: bool) -> None:
        """Report an evaluation of `candidate`, the `first` one or one that `next` asked for; fitness 0 is a failure."""
        if first:
            if fitness > 0:
                self._open(candidate, configuration, fitness)
            return
        self.spent += 1
        structure = self._structures.get(candidate)
        if structure is None:
            return
        structure.tried += 1
        structure.credit -= 1
        if fitness > structure.best * _GAIN:
            structure.credit = max(structure.credit, _CREDIT)
        structure.best = max(structure.best, fitness)
        structure.tuner.tell(configuration, 1.0 / fitness if fitness > 0 else None)

    def _open(self, candidate: int, configuration: Configuration, fitness: float) -> None:
        kernel = self._fetch(candidate)
        if not kernel.tunables:
            return
        space = Space.from_values(
            kernel.tunables, lambda c: self._valid(kernel, cast("Configuration", c)), limit=_SPACE, seed=self._seed
        )
        if len(space) < 2:  # nothing to choose from
            return
        tuner = Tuner(space, seed=_seed_of(self._seed, candidate), start=dict(configuration))
        tuner.tell(configuration, 1.0 / fitness)
        self._structures[candidate] = _Structure(tuner, _CREDIT, 0, fitness)
        if len(self._structures) > _OPEN:  # the least promising one is forgotten: memory stays bounded
            del self._structures[min(self._structures, key=lambda number: (self._structures[number].best, -number))]

    def next(self, best: float) -> tuple[int, Configuration] | None:
        """The configuration to evaluate next, and of which candidate; None where no structure deserves it."""
        while True:
            open_ones = {
                number: structure
                for number, structure in self._structures.items()
                if structure.credit > 0 and structure.best >= _PROMISING * best
            }
            if not open_ones:
                return None
            number = max(open_ones, key=lambda n: (open_ones[n].best / (1 + 0.05 * open_ones[n].tried), -n))
            structure = open_ones[number]
            asked = structure.tuner.ask()
            if asked is not None:  # the space was made from the header, so its values are the header's
                return number, cast("Configuration", asked)
            structure.credit = 0


def _seed_of(seed: int, candidate: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{candidate}".encode()).digest()[:4], "big")
