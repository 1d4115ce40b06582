from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.accelerator import Realm, Source
from kernelevolve.evolution.fitness import IncomparableTimesError, Timing, estimate, fitness, speedup
from kernelevolve.outcome import Outcome


def timings(
    seconds: dict[str, float], source: Source = Source.HOST_WALL, realm: Realm = Realm.HARDWARE
) -> dict[str, Timing]:
    return {label: Timing(value, source, realm) for label, value in seconds.items()}


BASELINE = timings({"a": 1.0, "b": 8.0})
a_time = st.floats(min_value=1e-9, max_value=1e3)
time_sets = st.dictionaries(st.sampled_from("abcdef"), st.tuples(a_time, a_time, a_time), min_size=1)


def test_fitness_is_the_geometric_mean_of_the_ratios() -> None:
    assert speedup(timings({"a": 0.5, "b": 1.0}), BASELINE) == pytest.approx(4.0)


@given(times=time_sets)
def test_a_kernel_compared_with_itself_is_exactly_as_fast(times: dict[str, tuple[float, float, float]]) -> None:
    same = timings({label: one for label, (one, _, _) in times.items()})
    assert speedup(same, same) == 1.0


@given(times=time_sets)
def test_ratios_chain_whatever_the_baseline(times: dict[str, tuple[float, float, float]]) -> None:
    one, two, three = (timings({label: values[index] for label, values in times.items()}) for index in range(3))
    assert speedup(three, one) == pytest.approx(speedup(three, two) * speedup(two, one), rel=1e-9)
    assert speedup(one, two) == pytest.approx(1 / speedup(two, one), rel=1e-9)


@given(times=time_sets, factor=st.floats(min_value=1e-3, max_value=1e3))
def test_a_kernel_so_many_times_faster_everywhere_is_so_many_times_fitter(
    times: dict[str, tuple[float, float, float]], factor: float
) -> None:
    base = {label: one for label, (one, _, _) in times.items()}
    faster = timings({label: seconds / factor for label, seconds in base.items()})
    assert speedup(faster, timings(base)) == pytest.approx(factor, rel=1e-9)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.CORRECT])
def test_whatever_is_not_correct_has_no_fitness_however_fast(outcome: Outcome) -> None:
    assert fitness(outcome, timings({"a": 1e-9, "b": 1e-9}), BASELINE) == 0.0
    assert fitness(outcome, {}, BASELINE) == 0.0


def test_a_correct_kernel_has_its_speedup() -> None:
    assert fitness(Outcome.CORRECT, timings({"a": 0.5, "b": 4.0}), BASELINE) == pytest.approx(2.0)


def test_times_of_two_clocks_do_not_compare() -> None:
    events = timings({"a": 0.5, "b": 1.0}, Source.DEVICE_EVENT)
    with pytest.raises(IncomparableTimesError, match="device-event on hardware, host-wall on hardware"):
        speedup(events, BASELINE)
    with pytest.raises(IncomparableTimesError):
        speedup({"a": events["a"], "b": BASELINE["b"]}, BASELINE)


def test_times_of_two_realms_do_not_compare() -> None:
    with pytest.raises(IncomparableTimesError, match="host-wall on emulated, host-wall on hardware"):
        speedup(timings({"a": 0.5, "b": 1.0}, realm=Realm.EMULATED), BASELINE)


def test_a_formula_ranks_but_is_never_a_speedup() -> None:
    baseline, times = (timings({"a": value}, Source.ANALYTIC) for value in (1.0, 0.5))
    assert estimate(times, baseline) == pytest.approx(2.0)
    with pytest.raises(IncomparableTimesError, match="from a formula is no speed-up"):
        speedup(times, baseline)
    with pytest.raises(IncomparableTimesError):
        fitness(Outcome.CORRECT, times, baseline)


def test_a_formula_does_not_mix_with_a_clock_even_to_rank() -> None:
    with pytest.raises(IncomparableTimesError, match="different origin"):
        estimate(timings({"a": 0.5, "b": 1.0}, Source.ANALYTIC), BASELINE)


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ({"a": 1.0}, "the kernel has no time for workload 'b'"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "the baseline has no time for workload 'c'"),
        ({}, "no times"),
    ],
)
def test_both_must_cover_the_same_workloads(times: dict[str, float], sentence: str) -> None:
    with pytest.raises(IncomparableTimesError, match=sentence):
        speedup(timings(times), BASELINE)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_time_is_above_zero_and_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"Timing\.seconds is"):
        Timing(seconds, Source.HOST_WALL, Realm.HARDWARE)
