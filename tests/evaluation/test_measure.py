"""Statistics by known values: what an interval covers, and which of four words a comparison earns."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evaluation.measure import (
    CONFIDENCE,
    Protocol,
    Verdict,
    _rank,
    compare_paired,
    median_interval,
    repeated,
    resolution,
    settled,
    shuffled_rounds,
    verdict,
)

TIMES = st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=60)


def coverage(count: int, rank: int) -> float:
    """The probability that the order statistics `rank` from either end enclose the median (binomial, exact)."""
    return 1 - 2 * sum(math.comb(count, below) for below in range(rank + 1)) / 2**count


#: From tables of the sign test (Conover 1999, table A3): with 6 values the range, with 9 the second from each end…
@pytest.mark.parametrize(
    ("count", "rank"), [(6, 0), (8, 0), (9, 1), (12, 2), (15, 3), (20, 5), (25, 7), (30, 9), (50, 17), (100, 39)]
)
def test_the_interval_of_the_median_has_the_tabulated_ranks(count: int, rank: int) -> None:
    assert _rank(count) == rank


@pytest.mark.parametrize("count", [*range(6, 120), 999, 1000, 1001, 2500, 5000])
def test_the_interval_covers_at_least_what_it_says_and_the_next_narrower_one_does_not(count: int) -> None:
    rank = _rank(count)
    assert coverage(count, rank) >= CONFIDENCE
    assert coverage(count, rank + (3 if count >= 1000 else 1)) < CONFIDENCE


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_values_give_their_whole_range(count: int) -> None:
    values = [float(value) for value in range(count)]
    assert median_interval(values) == (pytest.approx((count - 1) / 2), 0.0, count - 1.0)


def test_the_interval_covers_the_true_median_of_a_skewed_distribution_as_often_as_it_says() -> None:
    rng = random.Random(3)
    hits = 0
    for _ in range(1500):
        _, low, high = median_interval([rng.expovariate(1.0) for _ in range(30)])
        hits += low <= math.log(2) <= high
    assert 0.94 < hits / 1500 < 0.975  # exact: 0.957


@given(TIMES)
def test_the_median_lies_in_its_interval_and_that_in_the_range(values: list[float]) -> None:
    middle, low, high = median_interval(values)
    assert min(values) <= low <= middle <= high <= max(values)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "word"),
    [
        (1.10, 1.05, 1.15, Verdict.FASTER),
        (1.10, 0.99, 1.20, Verdict.UNCLEAR),
        (1.01, 1.005, 1.015, Verdict.SAME),
        (1.019, 1.015, 1.03, Verdict.UNCLEAR),
        (1.02, 1.001, 1.03, Verdict.FASTER),
        (0.90, 0.85, 0.95, Verdict.SLOWER),
        (0.90, 0.80, 1.01, Verdict.UNCLEAR),
        (1.0, 0.99, 1.01, Verdict.SAME),
        (1.0, 0.5, 2.0, Verdict.UNCLEAR),
    ],
)
def test_the_verdict_needs_the_interval_and_the_resolution(
    ratio: float, low: float, high: float, word: Verdict
) -> None:
    assert verdict(ratio, low, high, 0.02) is word


@given(st.lists(st.tuples(st.floats(1e-6, 1e-3), st.floats(1e-6, 1e-3)), min_size=1, max_size=50))
def test_swapping_the_sides_inverts_the_comparison(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    one = compare_paired(theirs, ours, resolution=0.02)
    other = compare_paired(ours, theirs, resolution=0.02)
    assert one.ratio * other.ratio == pytest.approx(1.0)
    assert one.low * other.high == pytest.approx(1.0)
    swapped = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    assert other.verdict is swapped.get(one.verdict, one.verdict)


def test_a_kernel_twice_as_fast_has_ratio_two() -> None:
    found = compare_paired([2.0, 4.0, 6.0] * 10, [1.0, 2.0, 3.0] * 10, resolution=0.02)
    assert (found.ratio, found.low, found.high, found.rounds) == pytest.approx((2.0, 2.0, 2.0, 30))
    assert found.verdict is Verdict.FASTER


@pytest.mark.parametrize(
    ("baseline", "candidate", "words"),
    [
        ([], [], "as many on both sides, not 0 and 0"),
        ([1.0], [1.0, 2.0], "not 1 and 2"),
        ([1.0], [0.0], "positive"),
        ([-1.0], [1.0], "positive"),
    ],
)
def test_bad_samples_are_refused(baseline: list[float], candidate: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare_paired(baseline, candidate, resolution=0.02)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_times_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"positive|finite"):
        compare_paired([1.0, 1.0], [1.0, bad], resolution=0.02)


def test_no_values_have_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        median_interval([])


def test_sampling_is_settled_once_the_interval_is_tight_and_never_before_the_least_rounds() -> None:
    same = [1.0] * 40
    assert settled(same, same, precision=0.01, least=30)
    assert not settled(same[:29], same[:29], precision=0.01, least=30)
    wide = [1.0, 1.5] * 20
    assert not settled(same, wide, precision=0.01, least=30)
    assert settled(same, wide, precision=0.5, least=30)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True), st.integers(0, 20), st.integers())
def test_every_round_names_every_side_once(sides: list[str], rounds: int, seed: int) -> None:
    order = shuffled_rounds(sides, rounds, random.Random(seed))
    assert len(order) == rounds * len(sides)
    for start in range(0, len(order), len(sides)):
        assert sorted(order[start : start + len(sides)]) == sorted(sides)


def test_no_side_is_always_first() -> None:
    order = shuffled_rounds(["a", "b"], 200, random.Random(1))
    assert 70 < order[::2].count("a") < 130


def test_the_resolution_is_the_95th_percentile_of_the_difference_on_either_side() -> None:
    ratios = [1.0] * 18 + [1.03, 1 / 1.10]
    assert resolution(ratios) == pytest.approx(0.03)
    assert resolution([1 / 1.10]) == pytest.approx(0.10)
    assert resolution([1.0, 1.0]) == 0.0


@pytest.mark.parametrize(("seconds", "rounds"), [(1e-6, 15), (0.05, 10), (0.1, 5), (10.0, 5), (0.0, 15)])
def test_slow_rounds_are_fewer_but_never_fewer_than_the_first_look(seconds: float, rounds: int) -> None:
    assert Protocol().rounds_within(seconds) == rounds


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=4), st.integers(1, 4))
def test_times_that_come_round_are_repeated_until_one_of_them_moves(cycle: list[float], rounds: int) -> None:
    times = cycle * (rounds + 1)
    assert repeated(times, len(cycle))
    assert not repeated(times[: len(cycle)], len(cycle))  # seen once: nothing is known
    assert not repeated([*times[:-1], math.nextafter(times[-1], math.inf)], len(cycle))
