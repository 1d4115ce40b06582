"""Means over seeds with bootstrap intervals, and paired differences."""

from __future__ import annotations

__all__ = ["Mean", "mean_of", "paired"]

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from attrs import frozen

Values = npt.NDArray[np.float64]
#: Resamples, and the share of them that an interval holds.
_RESAMPLES: Final = 4000
_LEVEL: Final = 0.95


@frozen
class Mean:
    """A mean with its interval."""

    value: float
    low: float
    high: float

    def text(self, *, signed: bool = False) -> str:
        """``.812 [.790, .834]``, with a sign where it is a difference."""
        return f"{_short(self.value, signed)} [{_short(self.low, signed)}, {_short(self.high, signed)}]"

    def record(self) -> list[float]:
        """As JSON values."""
        return [round(each, 4) for each in (self.value, self.low, self.high)]


def mean_of(values: Any) -> Mean:
    """The mean over seeds, with the percentile bootstrap's interval (Efron, 1979).

    Seeds are resampled; landscapes are not: the interval says how far other seeds would differ, on these landscapes.
    """
    sample: Values = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(0, len(sample), (_RESAMPLES, len(sample)))
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(sample[drawn].mean(axis=1), [tail, 1 - tail])
    return Mean(float(sample.mean()), float(low), float(high))


def paired(values: Any, reference: Any) -> Mean:
    """The mean difference to `reference`, seed by seed: runs of one seed start from the same kernels."""
    return mean_of(np.asarray(values, np.float64) - np.asarray(reference, np.float64))


def _short(value: float, signed: bool) -> str:
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("0.", ".", 1)
