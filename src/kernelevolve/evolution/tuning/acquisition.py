"""How promising a candidate is: expected improvement, chance of running at all, and distance to what is under way."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from kernelevolve.evolution.tuning.hyperparameters import Hyperparameters
from kernelevolve.evolution.tuning.surrogate import Posterior

Matrix = npt.NDArray[np.float64]

#: Below this many deviations the expected improvement underflows, and its asymptotic form takes over.
_TAIL: Final = -5.0
#: Least deviation of a label: bounds how sure one can be of success or failure at about five deviations.
_LABEL_DEVIATION: Final = 0.1
#: Keeps the logarithm finite at a candidate that coincides with one under evaluation.
_TINY: Final = 1e-12


def log_expected_improvement(mean: Matrix, deviation: Matrix, best: float) -> Matrix:
    """Logarithm of E[max(best - value, 0)] for normal values, ordered even where the expectation underflows.

    In the tail, log EI ~ log deviation - z^2 / 2 - log(z^2 + 1) - log sqrt(2 pi). Expected improvement: Jones et al.,
    "Efficient Global Optimization", 1998; the rest is the expansion of the normal distribution's tail.
    """
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    body = np.log(np.maximum(z * normal_cumulative(z) + density, 1e-300))
    tail = -0.5 * z * z - np.log(z * z + 1) - 0.5 * math.log(2 * math.pi)
    return np.asarray(np.log(deviation) + np.where(z > _TAIL, body, tail))


def normal_cumulative(z: Matrix) -> Matrix:
    """Standard normal distribution function to 1.5e-7 (Abramowitz & Stegun 7.1.26), as numpy has no `erf`."""
    x = np.abs(z) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.asarray(0.5 * (1 + np.sign(z) * (1 - poly * np.exp(-x * x))))


def log_normal_cumulative(z: Matrix) -> Matrix:
    """Logarithm of the normal distribution function, by the tail's expansion where it underflows."""
    tail = np.minimum(z, _TAIL)
    far = -0.5 * tail * tail - np.log(-tail) - 0.5 * math.log(2 * math.pi)
    return np.asarray(np.where(z > _TAIL, np.log(normal_cumulative(np.maximum(z, _TAIL))), far))


class Feasibility:
    """Chance of success at each candidate.

    A second Gaussian process, with length scales of its own, is conditioned on 1 for each success and 0 for each
    failure; the chance is that of its value being above one half (least-squares classification, Rasmussen & Williams,
    section 6.5).
    """

    def __init__(self, hyper: Hyperparameters, observed: Matrix, succeeded: Matrix, candidates: Matrix) -> None:
        """Condition on the features (n, d) of what was evaluated and whether it succeeded (n, ones and zeros)."""
        self._posterior = Posterior(hyper, observed, succeeded, candidates)

    def learn(self, candidate: int, *, succeeded: bool) -> None:
        """Add the outcome of evaluating a candidate."""
        self._posterior.append(candidate, float(succeeded))

    def log_probability(self) -> Matrix:
        """Logarithm of the chance of success."""
        mean, deviation = self._posterior.predict()
        z = (mean.astype(np.float64) - 0.5) / np.hypot(deviation, _LABEL_DEVIATION)
        return log_normal_cumulative(z)


def crowding(posterior: Posterior, outstanding: list[int]) -> Matrix | float:
    """Logarithm of a factor that keeps simultaneous evaluations apart: 1 - correlation^2 to each one under way."""
    return sum(np.log1p(_TINY - np.minimum(posterior.correlation(c).astype(np.float64), 1.0) ** 2) for c in outstanding)
