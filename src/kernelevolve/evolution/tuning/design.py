"""Where to look before anything is known: configurations far apart, on well-aligned sizes first."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kernelevolve.evolution.tuning.features import FeatureMap, misalignment
from kernelevolve.evolution.tuning.space import Codes, Space

#: Random configurations of which the one farthest from everything asked so far is taken.
_DRAWS: Final = 30
#: exp(-_PREFERENCE * log2(odd part)): a size of 3, 6 or 48 is drawn about a fifth as often as a power of two.
_PREFERENCE: Final = 1.0


class Design:
    """Draws the first configurations. Depends on the seed and on what was already taken, on nothing else."""

    def __init__(self, space: Space, features: FeatureMap, *, seed: int) -> None:
        """Weigh every configuration of the space by its alignment."""
        weights = np.exp(-_PREFERENCE * misalignment(space, space.codes))
        self._cumulative = np.cumsum(weights)
        self._codes = space.codes
        self._features = features
        self._seed = seed

    def next(self, taken: npt.NDArray[np.bool_], taken_codes: Codes) -> int:
        """An index that is not taken (there must be one), far from the rows of codes that are."""
        rng = np.random.default_rng([self._seed, len(taken_codes)])
        draws = np.searchsorted(self._cumulative, rng.random(_DRAWS) * self._cumulative[-1])
        draws = draws[~taken[draws]]
        if not len(draws):
            draws = rng.choice(np.flatnonzero(~taken), _DRAWS)
        if not len(taken_codes):
            return int(draws[0])
        here, there = self._features(self._codes[draws]), self._features(taken_codes)
        gaps = ((here[:, None, :] - there[None, :, :]) ** 2).sum(axis=2).min(axis=1)
        return int(draws[np.argmax(gaps)])
