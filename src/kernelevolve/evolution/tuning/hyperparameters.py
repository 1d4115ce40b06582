"""Length scales and noise of the surrogate, by maximum a posteriori.

The surrogate is a Gaussian process with a Matern 5/2 kernel and one relevance (inverse squared length scale) per
feature (Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, chapters 4 and 5). Mean and scale are
profiled out.
"""

from __future__ import annotations

import math
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

#: Width (log) of the prior on a relevance: wide, so that irrelevant features switch off and relevant ones stand out.
_RELEVANCE_WIDTH: Final = 2.0
#: Features beyond which the prior relevance shrinks in proportion, so that typical distances stay near 1.
_REFERENCE_FEATURES: Final = 8
#: Prior noise variance relative to the signal's, and its width (log): medians of repeated runs agree within about 3 %.
_NOISE: Final = 1e-3
_NOISE_WIDTH: Final = 1.0
#: Least noise: the posterior is kept in single precision, which cannot tell observations apart any better.
_NOISE_FLOOR: Final = 1e-4
#: Pseudo-observations of unit variance and zero mean, which keep scale and mean sane with few points.
_SCALE_WEIGHT: Final = 2.0
_MEAN_WEIGHT: Final = 0.1
#: Adam's constants (Kingma & Ba, 2015) with quicker averages, as only a few dozen exact gradients are taken.
_RATE: Final = 0.15
_MOMENTUM: Final = 0.8
_SECOND: Final = 0.95


@attrs.frozen(slots=True, eq=False)
class Hyperparameters:
    """Natural logarithms: one relevance per feature, then the noise variance."""

    logs: Matrix

    @classmethod
    def prior(cls, features: int) -> Hyperparameters:
        """The prior mode."""
        relevance = -math.log(max(1.0, features / _REFERENCE_FEATURES))
        return cls(np.append(np.full(features, relevance), math.log(_NOISE)))

    @property
    def relevances(self) -> Matrix:
        """Inverse squared length scale of each feature."""
        return np.asarray(np.exp(self.logs[:-1]))

    @property
    def noise(self) -> float:
        """Noise variance, relative to the signal's."""
        return math.exp(self.logs[-1])


def profile(ones: Matrix, values: Matrix) -> tuple[float, float]:
    """Mean and scale (standard deviation) of the process, given L^-1 1 and L^-1 y, L the Cholesky factor."""
    mean = float(ones @ values) / (float(ones @ ones) + _MEAN_WEIGHT)
    residual = values - mean * ones
    return mean, math.sqrt((float(residual @ residual) + _SCALE_WEIGHT) / (len(values) + _SCALE_WEIGHT))


def fit(start: Hyperparameters, features: Matrix, values: Matrix, *, steps: int) -> Hyperparameters:
    """The best of `steps` Adam steps from `start` on the posterior of the hyperparameters; `values` standardised."""
    logs, best, best_loss = start.logs.copy(), start.logs, math.inf
    first, second = np.zeros_like(logs), np.zeros_like(logs)
    for step in range(1, steps + 1):
        loss, gradient = negative_log_posterior(logs, features, values)
        if loss < best_loss:
            best, best_loss = logs.copy(), loss
        first = _MOMENTUM * first + (1 - _MOMENTUM) * gradient
        second = _SECOND * second + (1 - _SECOND) * gradient**2
        direction = (first / (1 - _MOMENTUM**step)) / (np.sqrt(second / (1 - _SECOND**step)) + 1e-8)
        logs = logs - _RATE * direction
        logs[-1] = max(logs[-1], math.log(_NOISE_FLOOR))
    return Hyperparameters(best)


def negative_log_posterior(logs: Matrix, features: Matrix, values: Matrix) -> tuple[float, Matrix]:
    """Loss (up to a constant) and its gradient in the logarithms; infinite where the covariance is not definite."""
    count = len(values)
    relevances, noise = np.exp(logs[:-1]), math.exp(logs[-1])
    kernel, slope = correlation_and_slope(features * np.sqrt(relevances))
    try:
        inverse_factor = np.linalg.inv(np.linalg.cholesky(kernel + noise * np.eye(count)))
    except np.linalg.LinAlgError:
        return math.inf, np.zeros_like(logs)
    whitened = inverse_factor @ values
    ones = inverse_factor.sum(axis=1)
    mean, scale = profile(ones, whitened)
    residual = whitened - mean * ones
    weights = inverse_factor.T @ residual / scale
    # The scale's pseudo-observations add w (log s + 1 / 2 s^2) to the usual n log s + r^2 / 2 s^2.
    loss = (count + _SCALE_WEIGHT) * math.log(scale) - float(np.log(np.diag(inverse_factor)).sum())
    loss += 0.5 * (float(residual @ residual) + _SCALE_WEIGHT) / scale**2
    sensitivity = np.outer(weights, weights) - inverse_factor.T @ inverse_factor
    gradient = np.append(
        _relevance_gradient(relevances, features, sensitivity * slope), -0.5 * noise * np.trace(sensitivity)
    )
    offset = logs - Hyperparameters.prior(len(relevances)).logs
    width = np.append(np.full(len(relevances), _RELEVANCE_WIDTH), _NOISE_WIDTH)
    return loss + 0.5 * float(((offset / width) ** 2).sum()), gradient + offset / width**2


def correlation_and_slope(scaled: Matrix) -> tuple[Matrix, Matrix]:
    """Matern 5/2 between rows, and its derivative in the squared distance."""
    squares = (scaled * scaled).sum(axis=1)
    distance = np.sqrt(5 * np.maximum(squares[:, None] + squares - 2 * scaled @ scaled.T, 0.0))
    decay = np.exp(-distance)
    return (1 + distance + distance**2 / 3) * decay, -(5 / 6) * (1 + distance) * decay


def _relevance_gradient(relevances: Matrix, features: Matrix, weight: Matrix) -> Matrix:
    """-1/2 sum_ab weight_ab relevance_j (x_aj - x_bj)^2 for each j, without forming the differences."""
    diagonal = (features**2 * weight.sum(axis=1)[:, None]).sum(axis=0)
    cross = (features * (weight @ features)).sum(axis=0)
    return np.asarray(-relevances * (diagonal - cross))
