from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evolution.budget import Budget, Ledger, Remaining, budget_from, budget_record


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ledger(clock: Clock | None = None, **limits: float) -> Ledger:
    return Ledger(Budget(**limits), clock or Clock())  # type: ignore[arg-type]


def test_without_limits_a_run_goes_on() -> None:
    free = ledger()
    for _ in range(1000):
        free.evaluated(0.0)
    free.spend(device_seconds=1e9, tokens=10**12, dollars=1e9)
    assert free.exhausted() is None
    assert free.remaining() == Remaining(None, None, 0.0, "")


def test_evaluations_end_a_run_and_failed_ones_count() -> None:
    three = ledger(evaluations=3)
    for _ in range(2):
        three.evaluated(0.0)
        assert three.exhausted() is None
    three.evaluated(1.0)
    assert three.exhausted() == "the budget of 3 evaluations is spent"


def test_evaluations_in_flight_count_before_they_end() -> None:
    three = ledger(evaluations=3)
    three.evaluated(1.0)
    assert three.exhausted(in_flight=1) is None
    assert three.exhausted(in_flight=2) is not None


def test_wall_time_ends_a_run() -> None:
    clock = Clock()
    minute = ledger(clock, seconds=60)
    clock.now += 59.9
    assert minute.exhausted() is None
    assert minute.remaining().seconds == pytest.approx(0.1)
    clock.now += 0.2
    assert minute.exhausted() == "the budget of 60 s of wall time is spent"
    assert minute.remaining().seconds == 0.0


@pytest.mark.parametrize(
    ("limit", "spent", "reason"),
    [
        ({"device_seconds": 10}, {"device_seconds": 10.0}, "the budget of 10 s of device time is spent"),
        ({"tokens": 500}, {"tokens": 501}, "the budget of 500 tokens is spent"),
        ({"dollars": 0.5}, {"dollars": 0.5}, "the budget of 0.50 dollars is spent"),
    ],
)
def test_what_is_spent_ends_a_run(limit: dict[str, float], spent: dict[str, float], reason: str) -> None:
    limited = ledger(**limit)
    assert limited.exhausted() is None
    limited.spend(**spent)  # type: ignore[arg-type]
    assert limited.exhausted() == reason


def test_a_stalled_run_ends() -> None:
    stalling = ledger(stall=2)
    assert stalling.evaluated(1.0)
    assert not stalling.evaluated(1.0)
    assert stalling.exhausted() is None
    assert not stalling.evaluated(0.0)
    assert stalling.exhausted() == "2 evaluations in a row brought no improvement"
    assert stalling.evaluated(1.5)
    assert stalling.exhausted() is None


def test_noise_is_no_improvement_but_slow_progress_adds_up_to_one() -> None:
    creeping = ledger(stall=100)
    gains = [creeping.evaluated(1.0 * 1.004**step) for step in range(7)]
    assert gains == [True, False, False, True, False, False, True]


def test_the_target_ends_a_run() -> None:
    aiming = ledger(target=2.0)
    aiming.evaluated(1.99)
    assert aiming.exhausted() is None
    aiming.evaluated(2.0)
    assert aiming.exhausted() == "fitness 2 has reached the target of 2"


def test_the_roofline_ends_a_run() -> None:
    aiming = ledger(roofline=0.9)
    aiming.evaluated(1.0, roofline=0.89)
    assert aiming.exhausted() is None
    aiming.evaluated(1.0, roofline=0.93)
    assert aiming.exhausted() == "93% of the roofline has reached the target of 90%"


def test_progress_shows_the_limit_that_is_nearest_to_its_end() -> None:
    both = ledger(evaluations=100, dollars=1.0)
    both.evaluated(1.0)
    both.spend(dollars=0.25)
    assert both.remaining() == Remaining(evaluations=99, seconds=None, spent=0.25, nearest="dollars")


@given(
    history=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1), st.floats(0, 50), st.integers(0, 1000)), max_size=40),
    cut=st.integers(0, 40),
)
def test_a_run_that_was_cut_and_resumed_stands_where_an_uncut_one_does(
    history: list[tuple[float, float, float, int]], cut: int
) -> None:
    def play(into: Ledger, clock: Clock, steps: list[tuple[float, float, float, int]]) -> None:
        for fitness, roofline, seconds, tokens in steps:
            clock.now += seconds
            into.spend(device_seconds=seconds, tokens=tokens)
            into.evaluated(fitness, roofline=roofline)

    budget = Budget(evaluations=30, seconds=500, stall=5, target=9.5)
    steady, first, second = Clock(), Clock(), Clock()
    whole, part = Ledger(budget, steady), Ledger(budget, first)
    play(whole, steady, history)
    play(part, first, history[:cut])
    second.now = -77.0
    resumed = Ledger.resumed(budget, part.snapshot(), clock=second)
    play(resumed, second, history[cut:])
    assert resumed.snapshot() == pytest.approx(whole.snapshot())
    assert resumed.exhausted() == whole.exhausted()


def test_a_run_without_a_snapshot_starts_fresh() -> None:
    assert Ledger.resumed(Budget(), None, clock=Clock()).snapshot() == Ledger(Budget(), Clock()).snapshot()


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
@pytest.mark.parametrize("name", ["evaluations", "seconds", "dollars", "stall", "target"])
def test_a_limit_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"Budget\.{name} is"):
        Budget(**{name: value})


def test_nothing_negative_is_spent() -> None:
    with pytest.raises(ValueError, match="not negative"):
        ledger().spend(dollars=-1.0)


def test_a_budget_is_kept_as_json_and_read_back() -> None:
    budget = Budget(evaluations=5, dollars=1.5)
    assert budget_record(budget) == {"evaluations": 5, "dollars": 1.5, "minimum_gain": 0.01}
    assert budget_from(budget_record(budget)) == budget
    with pytest.raises(ValueError, match=r"unknown limit 'evals'; a budget has .*evaluations"):
        budget_from({"evals": 5})
