"""The surrogate: its gradient, its incremental posterior, its acquisition and its feasibility."""

import math

import numpy as np
import pytest

from kernelevolve.evolution.tuning.acquisition import (
    Feasibility,
    crowding,
    log_expected_improvement,
    log_normal_cumulative,
    normal_cumulative,
)
from kernelevolve.evolution.tuning.candidates import CANDIDATE_LIMIT, choose
from kernelevolve.evolution.tuning.features import FeatureMap, misalignment
from kernelevolve.evolution.tuning.hyperparameters import Hyperparameters, fit, negative_log_posterior
from kernelevolve.evolution.tuning.space import Space
from kernelevolve.evolution.tuning.surrogate import Posterior


@pytest.fixture
def observations():
    rng = np.random.default_rng(5)
    features = rng.random((40, 4))
    return features, np.sin(6 * features[:, 0]) + 2 * features[:, 1] ** 2


def test_the_gradient_is_that_of_the_loss(observations):
    features, values = observations
    standard = (values - values.mean()) / values.std()
    logs = Hyperparameters.prior(4).logs + np.array([1.0, 0.5, -0.5, 0.2, 1.0])
    _, gradient = negative_log_posterior(logs, features, standard)
    for axis in range(5):
        step = np.zeros(5)
        step[axis] = 1e-5
        above, below = (negative_log_posterior(logs + s, features, standard)[0] for s in (step, -step))
        assert gradient[axis] == pytest.approx((above - below) / 2e-5, rel=1e-3, abs=2e-3)


def test_fitting_finds_which_features_matter(observations):
    features, values = observations
    standard = (values - values.mean()) / values.std()
    relevances = fit(Hyperparameters.prior(4), features, standard, steps=60).relevances
    assert relevances[:2].min() > 3 * relevances[2:].max()


def test_appending_one_by_one_equals_conditioning_on_all(observations):
    features, values = observations
    hyper = Hyperparameters(np.log([4.0, 2.0, 0.1, 0.1, 1e-3]))
    # Mean and scale of the values are taken at construction, so make those of the first ten the same.
    first = values[:10]
    values = (values - values.mean()) / values.std() * first.std() + first.mean()
    values[:10] = first
    grown = Posterior(hyper, features[:10], values[:10], features)
    for index in range(10, 40):
        grown.append(index, values[index])
    mean, deviation = grown.predict()
    direct_mean, direct_deviation = Posterior(hyper, features, values, features).predict()
    assert mean == pytest.approx(direct_mean, abs=0.02)
    assert mean == pytest.approx(values, abs=0.1)
    assert deviation == pytest.approx(direct_deviation, rel=0.15, abs=0.01)


def test_repeated_features_and_equal_values_stay_finite():
    features = np.repeat(np.random.default_rng(0).random((3, 2)), 8, axis=0)
    posterior = Posterior(Hyperparameters(np.array([0.0, 0.0, -30.0])), features, np.ones(24), features)
    mean, deviation = posterior.predict()
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()


def test_expected_improvement_is_exact_where_it_can_be_and_ordered_where_it_underflows():
    z = np.array([-4.0, -1.0, 0.0, 2.0])
    exact = [v * 0.5 * math.erfc(-v / math.sqrt(2)) + math.exp(-v * v / 2) / math.sqrt(2 * math.pi) for v in z]
    assert log_expected_improvement(-z, np.ones(4), 0.0) == pytest.approx(np.log(exact), abs=0.02)
    far = log_expected_improvement(np.linspace(3, 300, 500), np.ones(500), 0.0)
    assert (np.diff(far) < 0).all()
    assert np.isfinite(far).all()


def test_the_normal_distribution_function_is_the_error_functions():
    z = np.linspace(-6, 6, 101)
    assert normal_cumulative(z) == pytest.approx([0.5 * math.erfc(-v / math.sqrt(2)) for v in z], abs=2e-7)


def test_the_logarithm_of_the_distribution_function_does_not_underflow():
    assert log_normal_cumulative(np.array([-6.0, -4.0, 0.0, 8.0])) == pytest.approx(
        [math.log(0.5 * math.erfc(v / math.sqrt(2))) for v in (6.0, 4.0, 0.0, -8.0)], abs=0.03
    )
    assert log_normal_cumulative(np.array([-100.0]))[0] == pytest.approx(-5005.5, abs=0.1)


def test_feasibility_learns_where_evaluations_fail():
    candidates = np.linspace(0, 1, 21)[:, None]
    hyper = Hyperparameters(np.log([4.0, 1e-2]))
    observed = candidates[[0, 10, 20]]
    feasibility = Feasibility(hyper, observed, np.array([1.0, 1.0, 0.0]), candidates)
    before = np.exp(feasibility.log_probability())
    assert before[20] < 0.1 < before[15] < before[10]
    assert before[10] > 0.9
    feasibility.learn(15, succeeded=False)
    assert np.exp(feasibility.log_probability())[15] < 0.1


def test_crowding_keeps_away_from_what_is_under_way(observations):
    features, values = observations
    posterior = Posterior(Hyperparameters.prior(4), features, values, features)
    penalty = crowding(posterior, [7])
    assert np.argmin(penalty) == 7
    assert np.isfinite(penalty).all()


def test_candidates_are_everything_in_a_small_space_and_bounded_in_a_large_one():
    small = Space.from_values({"x": list(range(50)), "y": list(range(50))})
    everything = choose(small.codes, np.ones(len(small), bool), [3], np.zeros(0, int), np.random.default_rng(0))
    assert len(everything) == len(small)
    large = Space.from_values({name: list(range(10)) for name in "abcde"})
    free = np.ones(len(large), bool)
    free[:100] = False
    chosen = choose(large.codes, free, [0, 54321], np.arange(2000, 9000), np.random.default_rng(0))
    assert len(chosen) == CANDIDATE_LIMIT
    assert free[chosen].all()
    near = np.flatnonzero(((large.codes != large.codes[54321]).sum(axis=1) == 1) & free)
    assert set(near) <= set(chosen)
    assert {2000, 2001} <= set(chosen)


def test_features_lie_between_zero_and_one_and_tell_configurations_apart():
    space = Space.from_values(
        {
            "tile": [1, 2, 3, 4],
            "block": [16, 48, 64],
            "unroll": [0, 1, 8],
            "layout": ["row", "column"],
            "flag": [False, True],
        }
    )
    features = FeatureMap.of(space)
    matrix = features(space.codes)
    assert matrix.shape == (len(space), features.width)
    assert 0 <= matrix.min() <= matrix.max() <= 1
    assert len(np.unique(matrix, axis=0)) == len(space)


def test_misalignment_is_the_logarithm_of_odd_parts():
    space = Space.from_values({"block": [32, 48, 80], "flag": [0, 1]})
    assert misalignment(space, space.codes) == pytest.approx(np.log2([1, 1, 3, 3, 5, 5]))
