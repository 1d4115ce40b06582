"""Which configurations the surrogate looks at: all of a small space, a moving part of a large one."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from kernelevolve.evolution.tuning.space import Codes

Indices = npt.NDArray[np.intp]

#: Most candidates: keeps an evaluation under 10 ms with some hundred observations on one core.
CANDIDATE_LIMIT: Final = 6144
#: The best configurations whose neighbours are all candidates, and of these the ones with neighbours two tunables away.
CENTRES: Final = 6
_WIDE_CENTRES: Final = 2
_WIDE_STEP: Final = 2
#: Parts of the limit that neighbours two tunables away, and former candidates that looked best, may fill.
_WIDE_PART: Final = 0.25
_KEPT_PART: Final = 0.35


def choose(
    codes: Codes, free: npt.NDArray[np.bool_], best: list[int], former: Indices, rng: np.random.Generator
) -> Indices:
    """Indices of the candidates: neighbours of the best, the former most promising, and a random rest.

    `best` lists evaluated configurations, fastest first; `former` the earlier candidates, most promising first.
    """
    if len(codes) <= CANDIDATE_LIMIT:
        return np.arange(len(codes))
    near, wide = [], []
    for position, centre in enumerate(best[:CENTRES]):
        distance = _changed_tunables(codes, codes[centre])
        near.append(np.flatnonzero((distance == 1) & free))
        if position < _WIDE_CENTRES:
            wide.append(np.flatnonzero((distance == _WIDE_STEP) & free))
    chosen = np.zeros(len(codes), bool)
    _mark(chosen, np.concatenate(near) if near else former[:0], CANDIDATE_LIMIT, rng)
    _mark(chosen, np.concatenate(wide) if wide else former[:0], int(_WIDE_PART * CANDIDATE_LIMIT), rng)
    chosen[former[free[former]][: int(_KEPT_PART * CANDIDATE_LIMIT)]] = True
    rest = CANDIDATE_LIMIT - int(chosen.sum())
    if rest > 0:
        _mark(chosen, np.flatnonzero(free & ~chosen), rest, rng)
    return np.flatnonzero(chosen)


def _mark(chosen: npt.NDArray[np.bool_], indices: Indices, limit: int, rng: np.random.Generator) -> None:
    """Set at most `limit` of the indices, a random choice when there are more."""
    chosen[indices if len(indices) <= limit else rng.choice(indices, limit, replace=False)] = True


def _changed_tunables(codes: Codes, row: Codes) -> npt.NDArray[np.uint8]:
    """Number of tunables in which each configuration differs from one."""
    distance = np.zeros(len(codes), np.uint8)
    for tunable, code in enumerate(row):
        distance += codes[:, tunable] != code
    return distance
