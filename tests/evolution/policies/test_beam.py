from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evolution.archive import Archive, Entry
from kernelevolve.evolution.policies import Choice
from kernelevolve.evolution.policies.beam import Beam


def insert(policy: Beam, archive: Archive, *entries: Entry) -> None:
    for entry in entries:
        archive.insert(entry)
        policy.inserted(archive, entry.number)


def parents(policy: Beam, archive: Archive, count: int) -> list[int]:
    return [choice.parent for choice in policy.select(archive, Random(0), count)]


def test_every_member_is_changed_equally_often_in_a_round() -> None:
    policy, archive = Beam(width=3, breadth=2, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), Entry(1, 2.0, parent=0), Entry(2, 3.0, parent=0))
    assert policy.rounds == 2  # the seed alone, then what its two changes brought
    chosen = []
    for number in range(3, 9):
        (parent,) = parents(policy, archive, 1)
        chosen.append(parent)
        insert(policy, archive, Entry(number, 0.5, parent=parent))
    assert chosen == [2, 1, 0, 2, 1, 0]
    assert policy.rounds == 3


def test_only_the_width_fittest_go_on() -> None:
    policy, archive = Beam(width=2, breadth=4, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, float(number), parent=0) for number in range(1, 5)))
    assert set(parents(policy, archive, 8)) == {3, 4}


def test_a_round_of_failures_loses_nothing() -> None:
    policy, archive = Beam(width=1, breadth=3, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, 2.0, parent=0) for number in range(1, 4)))
    insert(policy, archive, *(Entry(number, 0.0, parent=1) for number in range(4, 7)))
    assert policy.rounds == 3
    assert parents(policy, archive, 2) == [1, 1]


def test_a_batch_spreads_over_the_beam() -> None:
    policy, archive = Beam(width=4, breadth=4, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, 2.0 + number, parent=0) for number in range(1, 5)))
    assert sorted(parents(policy, archive, 8)) == [1, 1, 2, 2, 3, 3, 4, 4]


def test_a_member_that_nothing_can_be_made_of_does_not_hold_up_the_others() -> None:
    policy, archive = Beam(width=2, breadth=4), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, 2.0, parent=0) for number in range(1, 5)))
    barren = parents(policy, archive, 1)[0]
    chosen = Counter(policy.select(archive, Random(seed), 1)[0].parent for seed in range(300))  # all of them declined
    assert chosen[barren] > 200
    assert len(chosen) == 2


def test_what_tuning_made_fast_comes_back_with_the_next_round() -> None:
    policy, archive = Beam(width=1, breadth=2, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), Entry(1, 3.0, parent=0), Entry(2, 2.0, parent=0))
    assert parents(policy, archive, 1) == [1]
    archive.revise(2, 9.0)
    policy.revised(archive, 2)
    insert(policy, archive, Entry(3, 0.0, parent=1), Entry(4, 0.0, parent=1))
    assert parents(policy, archive, 1) == [2]


def test_a_member_that_falls_is_replaced_when_it_was_the_last() -> None:
    policy, archive = Beam(width=1, breadth=2, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), Entry(1, 3.0, parent=0), Entry(2, 2.0, parent=0))
    archive.revise(1, 0.0)
    policy.revised(archive, 1)
    assert parents(policy, archive, 1) == [2]


def test_a_mate_is_another_member() -> None:
    policy, archive = Beam(width=2, breadth=3), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, float(number), parent=0) for number in range(1, 4)))
    assert {policy.mate(archive, Random(seed), Choice(3)) for seed in range(10)} == {2}


@given(
    fitness=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0]), min_size=1, max_size=60),
    width=st.integers(1, 5),
    breadth=st.integers(1, 5),
)
def test_the_best_of_all_is_expanded_once_its_round_is_over(fitness: list[float], width: int, breadth: int) -> None:
    policy, archive = Beam(width=width, breadth=breadth, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0))
    for number, one in enumerate(fitness, 1):
        (parent,) = parents(policy, archive, 1)
        insert(policy, archive, Entry(number, one, parent=parent))
    rounds, best, number = policy.rounds, archive.best, len(archive)
    while policy.rounds == rounds:
        insert(policy, archive, Entry(number, 0.0, parent=parents(policy, archive, 1)[0]))
        number += 1
    assert parents(policy, archive, 1) == [best]


@pytest.mark.parametrize("setting", [{"width": 0}, {"breadth": 0}, {"epsilon": 1.5}])
def test_settings_that_make_no_sense_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        Beam(**setting)  # type: ignore[arg-type]
