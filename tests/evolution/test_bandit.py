from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evolution.bandit import Bandit, Trial, reward

OPERATORS = ("unroll", "widen", "fuse")
trial_lists = st.lists(
    st.builds(
        Trial,
        operator=st.sampled_from(OPERATORS),
        parent=st.integers(0, 5),
        reward=st.floats(0, 1),
        seconds=st.floats(0, 1e4),
        declined=st.booleans(),
    ),
    max_size=60,
)


def play(bandit: Bandit, pays: dict[str, float], seconds: dict[str, float], steps: int, seed: int = 1) -> Counter[str]:
    """Let the bandit choose; each operator earns 1 with its own chance. How often each was chosen."""
    rng = Random(seed)
    chosen: Counter[str] = Counter()
    for step in range(steps):
        operator = bandit.choose(list(pays), step, rng)
        chosen[operator] += 1
        earned = float(rng.random() < pays[operator])
        bandit.record(Trial(operator, step, earned, seconds[operator]))
    return chosen


@pytest.mark.parametrize(
    ("fitness", "parent", "expected"),
    [
        (2.0, 1.0, 1.0),
        (8.0, 1.0, 1.0),
        (2**0.5, 1.0, 0.5),
        (1.0, 1.0, 0.0),
        (0.5, 1.0, 0.0),
        (0.0, 1.0, 0.0),
        (0.7, 0.0, 0.5),
    ],
)
def test_reward_is_improvement_in_log_fitness(fitness: float, parent: float, expected: float) -> None:
    assert reward(fitness, parent) == pytest.approx(expected)


def test_every_operator_is_tried_before_any_is_tried_again() -> None:
    bandit = Bandit(floor=0.0)
    chosen = play(bandit, dict.fromkeys(OPERATORS, 0.0), dict.fromkeys(OPERATORS, 1.0), 3)
    assert set(chosen) == set(OPERATORS)


def test_effort_moves_to_the_operator_that_pays() -> None:
    chosen = play(Bandit(), {"unroll": 0.05, "widen": 0.6, "fuse": 0.05}, dict.fromkeys(OPERATORS, 1.0), 400)
    assert chosen["widen"] > 250


def test_of_operators_that_pay_alike_the_cheap_one_wins() -> None:
    chosen = play(Bandit(), {"unroll": 0.4, "widen": 0.4}, {"unroll": 30.0, "widen": 2.0}, 400)
    assert chosen["widen"] > 2 * chosen["unroll"]


def test_of_operators_that_pay_alike_the_one_without_a_bill_wins() -> None:
    bandit, rng, chosen = Bandit(), Random(1), Counter[str]()
    for step in range(400):
        operator = bandit.choose(["rewrite", "model"], step, rng)
        chosen[operator] += 1
        dollars = 0.02 if operator == "model" else 0.0  # 24 seconds of a device
        bandit.record(Trial(operator, step, float(rng.random() < 0.4), 2.0, dollars=dollars))
    assert chosen["rewrite"] > 2 * chosen["model"]


def test_a_model_that_earns_its_bill_is_preferred() -> None:
    bandit, rng, chosen = Bandit(seconds_per_dollar=100.0), Random(1), Counter[str]()
    pays = {"rewrite": 0.05, "model": 0.6}
    for step in range(400):
        operator = bandit.choose(list(pays), step, rng)
        chosen[operator] += 1
        dollars = 0.02 if operator == "model" else 0.0
        bandit.record(Trial(operator, step, float(rng.random() < pays[operator]), 2.0, dollars=dollars))
    assert chosen["model"] > 2 * chosen["rewrite"]


@given(past=trial_lists, rate=st.floats(0, 1e5))
def test_a_dollar_counts_for_the_seconds_that_it_buys(past: list[Trial], rate: float) -> None:
    paid, waited = Bandit(seconds_per_dollar=rate), Bandit()
    for trial in past:
        paid.record(evolve(trial, dollars=0.25))
        waited.record(evolve(trial, seconds=trial.seconds + 0.25 * rate))
    assert paid.scores(OPERATORS) == waited.scores(OPERATORS)


def test_an_operator_that_starts_to_pay_late_is_found() -> None:
    bandit = Bandit()
    play(bandit, {"unroll": 0.6, "widen": 0.0}, dict.fromkeys(OPERATORS, 1.0), 200)
    chosen = play(bandit, {"unroll": 0.0, "widen": 0.6}, dict.fromkeys(OPERATORS, 1.0), 400, seed=2)
    assert chosen["widen"] > 250


def test_the_floor_gives_every_operator_a_chance() -> None:
    chosen = play(
        Bandit(exploration=0.0, floor=0.3), {"unroll": 1.0, "widen": 0.0}, dict.fromkeys(OPERATORS, 1.0), 1000
    )
    assert chosen["widen"] == pytest.approx(150, abs=50)


def test_an_operator_that_declines_fades_for_that_parent_only() -> None:
    bandit = Bandit(floor=0.0)
    favourite = "widen"
    for operator in OPERATORS:
        bandit.record(Trial(operator, 9, 0.9 if operator == favourite else 0.1, 1.0))
    assert bandit.choose(OPERATORS, 0, Random(0)) == favourite
    for _ in range(3):
        bandit.record(Trial(favourite, 0, seconds=0.001, declined=True))
    assert bandit.choose(OPERATORS, 0, Random(0)) != favourite
    others = {bandit.choose(OPERATORS, parent, Random(0)) for parent in range(1, 5)}
    assert others == {favourite}


@given(past=trial_lists)
def test_scores_are_finite_numbers_whatever_happened(past: list[Trial]) -> None:
    bandit = Bandit()
    for trial in past:
        bandit.record(trial)
    assert all(0.0 <= score < 100.0 for score in bandit.scores((*OPERATORS, "never tried")))


@pytest.mark.parametrize(
    "trial",
    [Trial("a", 0, 1.5), Trial("a", 0, -0.1), Trial("a", 0, 0.5, -1.0), Trial("a", 0, 0.5, dollars=float("inf"))],
)
def test_a_trial_that_makes_no_sense_is_refused(trial: Trial) -> None:
    with pytest.raises(ValueError, match="a reward is from 0 to 1"):
        Bandit().record(trial)


def test_without_operators_there_is_nothing_to_choose() -> None:
    with pytest.raises(ValueError, match="no operator to choose from"):
        Bandit().choose((), 0, Random(0))
