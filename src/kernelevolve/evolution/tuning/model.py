"""The tuner's model of a space: surrogate, feasibility and the candidates that both cover."""

from __future__ import annotations

import math
from typing import Final

import attrs
import numpy as np

from kernelevolve.evolution.tuning import hyperparameters
from kernelevolve.evolution.tuning.acquisition import Feasibility, crowding, log_expected_improvement
from kernelevolve.evolution.tuning.candidates import CANDIDATE_LIMIT, CENTRES, Indices, choose
from kernelevolve.evolution.tuning.features import FeatureMap
from kernelevolve.evolution.tuning.hyperparameters import Hyperparameters
from kernelevolve.evolution.tuning.pool import Pool
from kernelevolve.evolution.tuning.surrogate import Matrix, Posterior

#: Hyperparameters are fitted anew when the evaluations have grown by this factor, and by two at least.
_REFIT_GROWTH: Final = 1.15
_REFIT_LEAST: Final = 2
_FIT_STEPS: Final = 25
#: Chance given to the surrogate being too sure of itself, and how far off it may then be, in deviations of the log
#: seconds told. Matters only once the surrogate is sure that nothing is left to gain; without it, the chance of success
#: would then count for nothing.
_DOUBT: Final = 1e-4
_DOUBT_DEVIATION: Final = 0.3
#: Evaluations used in a fit, half of them the fastest (or of the rarer outcome): bounds the cost; those matter most.
_FIT_POINTS: Final = 150


@attrs.define(slots=True, eq=False)
class _Snapshot:
    """The posterior over one choice of candidates."""

    active: Indices
    slots: dict[int, int]  #: a candidate's place in `active`, by its index in the pool
    posterior: Posterior
    feasibility: Feasibility | None  #: None until something has failed


class Model:
    """Learns each evaluation as it is told, and scores the candidates.

    Its state follows from the seed and the order of the tells alone: a tuner that is told a recorded history ends up in
    the state of the one that recorded it.
    """

    def __init__(self, pool: Pool, features: FeatureMap, *, seed: int) -> None:
        """Model the pool from its successes so far, of which there must be at least one."""
        self._pool = pool
        self._features = features
        self._seed = seed
        self._hyper = Hyperparameters.prior(features.width)
        self._outcome_hyper = self._hyper
        self._fastest = pool.fastest(1)[0]
        self._next_fit = 0
        self._fit()
        self._now = self._condition(former=np.zeros(0, np.intp))

    def learn(self, index: int, log_seconds: float | None) -> None:
        """Take in one more evaluation, already recorded in the pool; None for a failure."""
        if len(self._pool.history) >= self._next_fit:
            self._fit()
            self._now = self._condition(former=self._ranked())
        elif self._is_stale(index, log_seconds):
            self._now = self._condition(former=self._ranked())
        else:
            self._extend(self._now.slots[index], log_seconds)

    def most_promising(self) -> int | None:
        """Index of the best candidate that is not taken; None when all are."""
        free = ~self._pool.taken[self._now.active]
        if not free.any():
            return None
        outstanding = [self._now.slots[i] for i in self._pool.outstanding if i in self._now.slots]
        score = self._score() + crowding(self._now.posterior, outstanding)
        return int(self._now.active[np.argmax(np.where(free, score, -np.inf))])

    def _score(self) -> Matrix:
        mean, deviation = (values.astype(np.float64) for values in self._now.posterior.predict())
        best = min(self._pool.log_seconds)
        score = log_expected_improvement(mean, deviation, best)
        wide = np.hypot(deviation, _DOUBT_DEVIATION * np.std(self._pool.log_seconds))
        score = np.logaddexp(score, math.log(_DOUBT) + log_expected_improvement(mean, wide, best))
        return score if self._now.feasibility is None else score + self._now.feasibility.log_probability()

    def _ranked(self) -> Indices:
        return self._now.active[np.argsort(-self._score(), kind="stable")]

    def _is_stale(self, index: int, log_seconds: float | None) -> bool:
        """Whether the candidates must be chosen anew: this one is none of them, or in a large space the best moved."""
        moved = self._pool.fastest(1)[0] != self._fastest
        first_failure = log_seconds is None and self._now.feasibility is None
        return index not in self._now.slots or first_failure or (moved and len(self._pool.codes) > CANDIDATE_LIMIT)

    def _extend(self, slot: int, log_seconds: float | None) -> None:
        now = self._now
        if now.feasibility is not None:
            now.feasibility.learn(slot, succeeded=log_seconds is not None)
        if log_seconds is not None:
            now.posterior.append(slot, log_seconds)

    def _fit(self) -> None:
        """Fit the hyperparameters of both processes to what was told so far."""
        count = len(self._pool.history)
        self._next_fit = max(count + _REFIT_LEAST, int(count * _REFIT_GROWTH))
        values = np.array(self._pool.log_seconds)
        self._hyper = self._fitted(self._hyper, self._pool.successes, values, order=values)
        if self._pool.failures:
            outcomes = self._outcomes()
            rare_first = outcomes if outcomes.mean() > 0.5 else -outcomes
            self._outcome_hyper = self._fitted(self._outcome_hyper, self._pool.history, outcomes, order=rare_first)

    def _fitted(self, start: Hyperparameters, indices: list[int], values: Matrix, order: Matrix) -> Hyperparameters:
        chosen = self._fit_points(order)
        features = self._features(self._pool.codes[np.array(indices)[chosen]])
        standard = (values[chosen] - values.mean()) / (float(values.std()) or 1.0)
        return hyperparameters.fit(start, features, standard, steps=_FIT_STEPS)

    def _outcomes(self) -> Matrix:
        """1 for each success told and 0 for each failure, in order."""
        return np.where(np.isin(self._pool.history, self._pool.failures), 0.0, 1.0)

    def _fit_points(self, order: Matrix) -> Indices:
        """Which observations to fit to: the lowest of `order` and a random part of the rest."""
        if len(order) <= _FIT_POINTS:
            return np.arange(len(order))
        ranked = np.argsort(order, kind="stable")
        lowest, rest = ranked[: _FIT_POINTS // 2], ranked[_FIT_POINTS // 2 :]
        drawn = self._rng().choice(rest, _FIT_POINTS - len(lowest), replace=False)
        return np.concatenate([lowest, drawn])

    def _condition(self, former: Indices) -> _Snapshot:
        pool = self._pool
        best = pool.fastest(CENTRES)
        pool.add([row for centre in best for row in pool.space.unlisted_neighbours(pool.codes[centre])])
        active = choose(pool.codes, ~pool.told, best, former, self._rng())
        view = self._features(pool.codes[active])
        observed = self._features(pool.codes[pool.successes])
        posterior = Posterior(self._hyper, observed, np.array(pool.log_seconds), view)
        self._fastest = best[0]
        slots = dict(zip(active.tolist(), range(len(active)), strict=True))
        return _Snapshot(active, slots, posterior, self._feasibility(view))

    def _feasibility(self, candidates: Matrix) -> Feasibility | None:
        if not self._pool.failures:
            return None
        observed = self._features(self._pool.codes[self._pool.history])
        return Feasibility(self._outcome_hyper, observed, self._outcomes(), candidates)

    def _rng(self) -> np.random.Generator:
        """Randomness that depends on how much was told, and not on how often it was asked."""
        return np.random.default_rng([self._seed, len(self._pool.history)])
