"""The surrogate's posterior over a fixed set of candidates, kept up to date at a cost linear in their number.

With L the Cholesky factor of the observed covariance, the rows of V = L^-1 K(observed, candidates) give mean and
variance everywhere. One more observation adds one row to L and to V; nothing is solved again.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from kernelevolve.evolution.tuning.hyperparameters import Hyperparameters, correlation_and_slope, profile

Matrix = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

#: Smallest predictive variance relative to the signal's: single precision cannot tell less from zero.
_VARIANCE_FLOOR: Final = 1e-7
#: Added to the diagonal when rounding makes the covariance indefinite.
_JITTER: Final = 1e-6


def matern52(squared_distance: Single) -> Single:
    """Matern 5/2 correlation at a squared (scaled) distance."""
    r = np.sqrt(np.float32(5) * np.maximum(squared_distance, np.float32(0)))
    return np.asarray((1 + r + r * r / 3) * np.exp(-r), np.float32)


class Posterior:
    """Mean and standard deviation of log seconds at the candidates, given what was observed."""

    def __init__(self, hyper: Hyperparameters, observed: Matrix, values: Matrix, candidates: Matrix) -> None:
        """Condition on observed features (n, d) and log seconds (n); predict at the candidates' features (m, d)."""
        self._noise = hyper.noise
        self._roots = np.sqrt(hyper.relevances)
        self._centre = candidates.mean(axis=0)
        self._candidates = self._scaled(candidates).astype(np.float32)
        self._shift = float(values.mean())
        self._scale = float(values.std()) or 1.0
        inverse = np.linalg.inv(_factor(self._scaled(observed), self._noise))
        self._count = len(values)
        self._rows = np.empty((2 * self._count, len(candidates)), np.float32)
        known = self._rows[: self._count]
        np.matmul(inverse.astype(np.float32), self.correlations(observed), out=known)
        self._ones = inverse.sum(axis=1)
        self._values = inverse @ ((values - self._shift) / self._scale)
        self._explained = np.einsum("ij,ij->j", known, known)
        self._mean_ones = self._ones.astype(np.float32) @ known
        self._mean_values = self._values.astype(np.float32) @ known

    def correlations(self, features: Matrix) -> Single:
        """Prior correlation of configurations, by their features (n, d), with every candidate, shape (n, m)."""
        scaled = self._scaled(features).astype(np.float32)
        left = np.einsum("ij,ij->i", scaled, scaled)
        right = np.einsum("ij,ij->i", self._candidates, self._candidates)
        return matern52(left[:, None] + right - np.float32(2) * (scaled @ self._candidates.T))

    def correlation(self, candidate: int) -> Single:
        """Prior correlation of one candidate with every candidate, without the rounding of `correlations`."""
        difference = self._candidates - self._candidates[candidate]
        return matern52(np.einsum("ij,ij->i", difference, difference))

    def append(self, candidate: int, value: float) -> None:
        """Observe log seconds `value` at a candidate."""
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        known = self._rows[: self._count]
        link = known[:, candidate].copy()
        pivot = math.sqrt(max(1 + self._noise - float(link @ link), self._noise))
        row = (self.correlation(candidate) - link @ known) / np.float32(pivot)
        self._rows[self._count] = row
        self._count += 1
        one = (1.0 - float(link @ self._ones)) / pivot
        standard = ((value - self._shift) / self._scale - float(link @ self._values)) / pivot
        self._ones = np.append(self._ones, one)
        self._values = np.append(self._values, standard)
        self._explained += row * row
        self._mean_ones += np.float32(one) * row
        self._mean_values += np.float32(standard) * row

    def predict(self) -> tuple[Single, Single]:
        """Mean and standard deviation of log seconds at every candidate."""
        mean, scale = profile(self._ones, self._values)
        centre = mean + self._mean_values - np.float32(mean) * self._mean_ones
        deviation = np.sqrt(np.maximum(1 - self._explained, np.float32(_VARIANCE_FLOOR))) * np.float32(scale)
        return self._shift + self._scale * centre, self._scale * deviation

    def _scaled(self, features: Matrix) -> Matrix:
        """Features in units of their length scales; centred, as distances are taken in single precision."""
        return np.asarray((features - self._centre) * self._roots)


def _factor(scaled: Matrix, noise: float) -> Matrix:
    """Cholesky factor of the covariance of observations, in double precision."""
    covariance = correlation_and_slope(scaled)[0]
    np.fill_diagonal(covariance, 1 + noise)
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        np.fill_diagonal(covariance, 1 + noise + _JITTER)
        return np.asarray(np.linalg.cholesky(covariance))
