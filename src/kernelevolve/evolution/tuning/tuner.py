"""Searches a kernel's tunables with few evaluations: ask for a configuration, evaluate it, tell its time.

A Gaussian process on log seconds is conditioned on everything told; the next configuration is the one with the largest
expected improvement times chance of success. `docs/explanation/tuner.md` says why each part is there and what it gains.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from kernelevolve.evolution.tuning.design import Design
from kernelevolve.evolution.tuning.features import FeatureMap
from kernelevolve.evolution.tuning.model import Model
from kernelevolve.evolution.tuning.pool import Pool
from kernelevolve.evolution.tuning.space import Configuration, Space
from kernelevolve.evolution.tuning.threads import single_threaded

#: Configurations spread over the space before the model chooses. It needs one success; until there is one, the spread
#: goes on.
_DESIGN: Final = 12


class Tuner:
    """Chooses configurations of a space one at a time.

    The same space, seed and tells give the same next ask, so that telling a recorded history resumes a search. Its own
    time is a few milliseconds per evaluation.
    """

    def __init__(self, space: Space, *, seed: int, start: Configuration | None = None) -> None:
        """Search `space`; `start`, the kernel's default configuration, is asked first when given.

        Raises ValueError when `start` is not in the space or `seed` is negative.
        """
        if seed < 0:
            message = f"seed is {seed}; it must not be negative"
            raise ValueError(message)
        self._seed = seed
        self._pool = Pool(space)
        self._features = FeatureMap.of(space)
        self._design = Design(space, self._features, seed=seed)
        self._start = None if start is None else self._pool.index(start)
        self._model: Model | None = None
        self._best: tuple[Configuration, float] | None = None

    @property
    def best(self) -> tuple[Configuration, float] | None:
        """The fastest configuration told and its seconds; None before the first success."""
        return self._best

    def ask(self) -> Configuration | None:
        """A configuration neither asked nor told before; None when there is none left."""
        if self._pool.taken.all():
            return None
        with single_threaded():
            index = self._choose()
        self._pool.take(index)
        return self._pool.configuration(index)

    def tell(self, configuration: Configuration, seconds: float | None) -> None:
        """Report an evaluation: its time in seconds, or None for a failure.

        Raises ValueError for a time that is not finite and positive, for a configuration that is not in the space and
        for one told before.
        """
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            message = f"seconds is {seconds!r}; it must be finite and positive, or None for a failed evaluation"
            raise ValueError(message)
        index = self._pool.index(configuration)
        log_seconds = None if seconds is None else math.log(seconds)
        self._pool.record(index, log_seconds)
        if seconds is not None and (self._best is None or seconds < self._best[1]):
            self._best = self._pool.configuration(index), seconds
        with single_threaded():
            if self._model is not None:
                self._model.learn(index, log_seconds)
            elif len(self._pool.history) >= _DESIGN and self._pool.successes:
                self._model = Model(self._pool, self._features, seed=self._seed)

    def _choose(self) -> int:
        pool = self._pool
        if self._start is not None and not pool.taken[self._start]:
            return self._start
        index = None if self._model is None else self._model.most_promising()
        if index is not None:
            return index
        listed = pool.taken[: len(pool.space)]
        if listed.all():
            return int(np.argmin(pool.taken))
        return self._design.next(listed, pool.codes[pool.order])
