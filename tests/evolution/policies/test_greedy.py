from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evolution.archive import Archive, Entry
from kernelevolve.evolution.policies.greedy import Greedy


def with_fitness(policy: Greedy, *values: float) -> Archive:
    archive = Archive()
    for number, fitness in enumerate(values):
        archive.insert(Entry(number, fitness))
        policy.inserted(archive, number)
    return archive


def test_only_the_top_few_are_chosen_the_better_the_likelier() -> None:
    policy = Greedy(top=3, epsilon=0.0)
    archive = with_fitness(policy, 1.0, 5.0, 3.0, 2.0, 4.0)
    chosen = Counter(choice.parent for choice in policy.select(archive, Random(0), 3000))
    assert set(chosen) == {1, 4, 2}
    assert chosen[1] > chosen[4] > chosen[2] > 0


def test_epsilon_gives_everything_right_a_chance() -> None:
    policy = Greedy(top=1, epsilon=0.5)
    archive = with_fitness(policy, 1.0, 5.0, 0.0)
    assert {choice.parent for choice in policy.select(archive, Random(0), 200)} == {0, 1}


@given(
    first=st.lists(st.floats(0, 9), min_size=1, max_size=40),
    revised=st.lists(st.tuples(st.integers(0, 39), st.floats(0, 9)), max_size=20),
)
def test_the_leaders_are_the_best_after_any_revisions(first: list[float], revised: list[tuple[int, float]]) -> None:
    policy = Greedy(top=4, epsilon=0.0)
    archive = with_fitness(policy, *first)
    for number, fitness in revised:
        if number in archive:
            archive.revise(number, fitness)
            policy.revised(archive, number)
    best = sorted(
        (number for number in archive if archive.fitness(number) > 0), key=lambda n: (-archive.fitness(n), n)
    )[:4]
    assert [number for _, number in policy._leaders] == best
