"""The tuner's contract: what it asks, what it refuses, and that it finds fast configurations with few evaluations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.evolution.tuning import Space, Tuner

VALUES = st.one_of(
    st.lists(st.sampled_from([1, 2, 3, 4, 8, 16, 48, 64]), min_size=1, max_size=4, unique=True),
    st.just([False, True]),
    st.just(["row", "column", "tiled"]),
    st.just([-1, 0, 1]),
    st.just([0.5, 1.0, 2.0]),
)
SPACES = st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1, max_size=3).map(Space.from_values)


def seconds(configuration, seed=0):
    """A made-up time that depends on every tunable; about a fifth of the configurations fail."""
    text = repr(sorted(configuration.items())) + str(seed)
    digest = sum((position + 1) * ord(letter) for position, letter in enumerate(text)) % 9973
    return None if digest % 5 == 0 else 1e-3 * (1 + digest / 997)


def run(tuner, evaluations, measure=seconds):
    asked = []
    for _ in range(evaluations):
        configuration = tuner.ask()
        if configuration is None:
            break
        asked.append(configuration)
        tuner.tell(configuration, measure(configuration))
    return asked


@settings(max_examples=15, deadline=None)
@given(SPACES, st.integers(0, 99))
def test_it_asks_every_configuration_exactly_once_and_then_nothing(space, seed):
    tuner = Tuner(space, seed=seed)
    asked = run(tuner, len(space) + 5)
    assert len(asked) == len(space)
    assert {repr(c) for c in asked} == {repr(c) for c in space}
    assert tuner.ask() is None
    times = [t for t in map(seconds, asked) if t is not None]
    assert (tuner.best is None) == (not times)
    assert not times or tuner.best[1] == min(times)


@settings(max_examples=15, deadline=None)
@given(SPACES, st.integers(0, 99), st.integers(0, 40), st.integers(1, 10))
def test_telling_a_history_resumes_where_it_ended(space, seed, before, after):
    original = Tuner(space, seed=seed)
    history = run(original, before)
    resumed = Tuner(space, seed=seed)
    for configuration in history:
        resumed.tell(configuration, seconds(configuration))
    assert run(resumed, after) == run(original, after)
    assert resumed.best == original.best


@settings(max_examples=15, deadline=None)
@given(SPACES, st.integers(0, 99), st.integers(2, 8))
def test_several_asks_may_be_outstanding(space, seed, width):
    tuner = Tuner(space, seed=seed)
    done = []
    while batch := [c for c in (tuner.ask() for _ in range(width)) if c is not None]:
        for configuration in reversed(batch):
            tuner.tell(configuration, seconds(configuration))
        done += batch
    assert len({repr(c) for c in done}) == len(done) == len(space)


@settings(max_examples=15, deadline=None)
@given(SPACES, st.data())
def test_the_start_is_asked_first_and_only_once(space, data):
    start = space[data.draw(st.integers(0, len(space) - 1))]
    asked = run(Tuner(space, seed=1, start=start), len(space))
    assert asked[0] == start
    assert asked.count(start) == 1


def test_it_respects_the_validity_predicate():
    space = Space.from_values({"x": [1, 2, 4, 8], "y": [1, 2, 4, 8], "z": [1, 2, 3]}, lambda c: c["x"] * c["y"] <= 16)
    assert all(c["x"] * c["y"] <= 16 for c in run(Tuner(space, seed=0), 60))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 0.0, -1e-3])
def test_a_time_that_is_none_is_refused(bad):
    tuner = Tuner(Space.from_values({"x": [1, 2]}), seed=0)
    with pytest.raises(ValueError, match="must be finite and positive"):
        tuner.tell({"x": 1}, bad)
    assert tuner.best is None


def test_unknown_repeated_and_impossible_inputs_are_refused():
    space = Space.from_values({"x": [1, 2]})
    tuner = Tuner(space, seed=0)
    tuner.tell({"x": 1}, 0.5)
    with pytest.raises(ValueError, match="told before"):
        tuner.tell({"x": 1}, 0.5)
    with pytest.raises(ValueError, match="cannot be 3"):
        tuner.tell({"x": 3}, 0.5)
    with pytest.raises(ValueError, match="cannot be 3"):
        Tuner(space, seed=0, start={"x": 3})
    with pytest.raises(ValueError, match="seed is -1"):
        Tuner(space, seed=-1)


def test_what_was_told_without_being_asked_is_not_asked_again():
    space = Space.from_values({"x": list(range(30))})
    tuner = Tuner(space, seed=0)
    for x in range(0, 30, 2):
        tuner.tell({"x": x}, 1e-3 + x)
    assert sorted(c["x"] for c in run(tuner, 30)) == list(range(1, 30, 2))


def test_equal_times_and_total_failure_do_not_stop_it():
    space = Space.from_values({"x": list(range(8)), "y": list(range(8))})
    assert len(run(Tuner(space, seed=0), 99, lambda _: 1e-3)) == 64
    failed = Tuner(space, seed=0)
    assert len(run(failed, 99, lambda _: None)) == 64
    assert failed.best is None


def test_it_learns_to_avoid_a_region_where_everything_fails():
    sizes = [1, 2, 4, 8, 16, 32]
    space = Space.from_values({"x": sizes, "y": sizes, "z": list(range(1, 33)), "flag": [False, True]})

    def measure(configuration):
        size = configuration["x"] * configuration["y"]
        return None if size > 32 else 1.0 / size + 0.1 * abs(configuration["z"] - 20) + 0.01 * configuration["flag"]

    failing = np.mean([measure(c) is None for c in space])
    wasted = []
    for seed in range(3):
        tuner = Tuner(space, seed=seed)
        asked = run(tuner, 60, measure)
        wasted += [measure(c) is None for c in asked[20:]]
        assert tuner.best[1] == pytest.approx(1 / 32)
    assert failing > 0.4
    assert np.mean(wasted) < 0.6 * failing


def test_it_finds_fast_configurations_where_hardly_any_is_valid():
    sizes = [1, 2, 3, 4, 6, 8]
    space = Space.from_values({"x": sizes, "y": sizes, "z": sizes, "w": sizes})

    def measure(configuration):
        x, y, z, w = configuration.values()
        return 0.1 * w + abs(x - 6) if y > 4 and x > 4 and z < 3 else None

    assert np.mean([measure(c) is not None for c in space]) < 0.04
    best = []
    for seed in range(2):
        tuner = Tuner(space, seed=seed)
        run(tuner, 120, measure)
        best.append(tuner.best[1])
    assert best == pytest.approx([0.1] * 2)


def test_a_sampled_space_is_searched_beyond_its_sample():
    tunables = {name: [1, 2, 4, 8, 16, 32, 64, 128] for name in "abcdefgh"}

    def measure(configuration):
        return 1e-3 * math.prod(1 + abs(math.log2(v) - 3) / 4 for v in configuration.values())

    space = Space.from_values(tunables, limit=3000)
    start = dict.fromkeys("abcdefgh", 1)
    tuner = Tuner(space, seed=0, start=start)
    asked = run(tuner, 90, measure)
    assert asked[0] == start
    assert len({repr(c) for c in asked}) == 90
    assert tuner.best[1] < min(measure(c) for c in space)
    replayed = Tuner(space, seed=0, start=start)
    for configuration in asked:
        replayed.tell(configuration, measure(configuration))
    assert replayed.ask() == tuner.ask()


def landscape(seed):
    """Log-additive times with interactions, a cliff, a plateau, failures, labels and two tunables without effect.

    Returns the space and, per configuration, its seconds (NaN for a failure).
    """
    rng = np.random.default_rng(seed)
    sizes = {"bx": [8, 16, 32, 48, 64, 96, 128, 256], "by": [1, 2, 4, 8], "tx": [1, 2, 3, 4], "u": [1, 2, 4, 8]}
    labels = {"layout": ["row", "column", "tiled"], "cache": [False, True], "idle": [0, 1, 2], "spare": [1, 2, 3]}
    space = Space.from_values(sizes | labels, lambda c: c["bx"] * c["by"] <= 1024)
    position = space.codes / np.maximum(1, np.array([len(v) - 1 for v in space.values]))
    bx, by, tx, u, layout, cache = position.T[:6]
    cost = sum(rng.exponential(0.8) * np.abs(column - rng.random()) for column in (bx, by, tx, u))
    cost += rng.exponential(1.0) * np.abs(bx + by - rng.uniform(0.5, 1.5))
    cost += rng.exponential(1.0) * np.abs(tx - u) + rng.normal(size=3)[space.codes[:, 4]] * 0.4
    cost += np.where(cache > 0, -0.5 * bx, 0.0) + 0.7 * (bx * 7 % 2 > 1)
    cost = np.maximum(cost, np.quantile(cost, 0.002))
    return space, np.where((tx + u > 1.4) & (layout > 0.4), np.nan, np.exp(cost))


def fractions(order, times):
    """Fraction of the optimum found after 25 and 60 evaluations in an order of indices."""
    found = np.maximum.accumulate(np.nan_to_num(np.nanmin(times) / times[order]))
    return found[[24, 59]]


def test_it_beats_random_search_by_a_wide_margin_on_synthetic_landscapes():
    ours, chance = [], []
    for seed in range(5):
        space, times = landscape(seed)
        tuner = Tuner(space, seed=seed)
        order = []
        for _ in range(60):
            configuration = tuner.ask()
            order.append(space.index(space.encode(configuration)))
            tuner.tell(configuration, None if math.isnan(times[order[-1]]) else float(times[order[-1]]))
        ours.append(fractions(order, times))
        rng = np.random.default_rng(seed)
        chance += [fractions(rng.permutation(len(times))[:60], times) for _ in range(20)]
    gain = np.mean(ours, axis=0) - np.mean(chance, axis=0)
    assert np.mean(ours, axis=0)[1] > 0.96
    assert gain[0] > 0.15
    assert gain[1] > 0.15
