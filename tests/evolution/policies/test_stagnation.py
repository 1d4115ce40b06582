from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.archive import NONE, Archive, Entry
from kernelevolve.evolution.policies import POLICIES, Choice, Greedy, Restarting, SelectionPolicy, make_policy


def insert(policy: SelectionPolicy, archive: Archive, *entries: Entry) -> None:
    for entry in entries:
        archive.insert(entry)
        policy.inserted(archive, entry.number)


def chosen(policy: SelectionPolicy, archive: Archive, count: int = 300) -> list[int]:
    return [policy.select(archive, Random(seed), 1)[0].parent for seed in range(count)]


def two_branches(patience: int) -> tuple[Restarting, Archive]:
    """Branch 1 with 3 and 4 leads; branch 2 with 5 is slower; everything since is a failure."""
    policy, archive = Restarting(Greedy, patience), Archive()
    insert(policy, archive, Entry(0, 1.0), Entry(1, 2.0, parent=0), Entry(2, 1.5, parent=0), Entry(3, 3.0, parent=1))
    insert(policy, archive, Entry(4, 4.0, parent=3), Entry(5, 1.6, parent=2))
    number = 6
    while policy.restarts == 0:
        insert(policy, archive, Entry(number, 0.0, parent=4))
        number += 1
    return policy, archive


def test_a_restart_comes_after_the_patience_and_not_before() -> None:
    _, archive = two_branches(patience=5)
    assert len(archive) == 5 + 5  # candidate 4 was the last improvement, 5 to 9 were none


def test_a_restart_leaves_the_branch_that_ran_dry_and_keeps_the_archive() -> None:
    policy, archive = two_branches(patience=5)
    parents = chosen(policy, archive)
    stray = sum(parent in {1, 3, 4} for parent in parents)
    assert set(parents) >= {0, 2, 5}
    assert stray < 0.06 * len(parents)  # the little chance of anything at all
    assert archive.best == 4
    assert policy.mate(archive, Random(0), Choice(5)) in {0, 2}


def test_an_improvement_within_the_restart_counts_though_it_is_no_record() -> None:
    policy, archive = two_branches(patience=5)
    number = len(archive)
    for fitness in (1.8, 2.0, 2.3):  # the record is 4
        insert(policy, archive, *(Entry(number + one, 0.0, parent=5) for one in range(3)))
        insert(policy, archive, Entry(number + 3, fitness, parent=5))
        number += 4
    assert policy.restarts == 1


def test_every_other_restart_goes_on_with_everything() -> None:
    policy, archive = two_branches(patience=5)
    number = len(archive)
    insert(policy, archive, *(Entry(number + one, 0.0, parent=5) for one in range(5)))
    assert policy.restarts == 2
    parents = chosen(policy, archive)
    assert parents.count(4) == max(parents.count(one) for one in set(parents))


def test_what_is_made_of_a_dry_branch_stays_outside_while_another_is_followed() -> None:
    policy, archive = two_branches(patience=5)
    late = len(archive)
    insert(policy, archive, Entry(late, 9.0, parent=4))
    assert chosen(policy, archive).count(late) < 15


def test_tuning_is_an_improvement_too() -> None:
    policy, archive = Restarting(Greedy, 4), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, 0.0, parent=0) for number in range(1, 4)))
    archive.revise(0, 2.0)
    policy.revised(archive, 0)
    insert(policy, archive, *(Entry(number, 0.0, parent=0) for number in range(4, 7)))
    assert policy.restarts == 0
    insert(policy, archive, Entry(7, 2.01, parent=0))  # half a per cent is none
    assert policy.restarts == 1


def test_drafts_are_due_again_with_each_beginning() -> None:
    policy, archive = Restarting(Greedy, 2), Archive()
    insert(policy, archive, Entry(0, 1.0))
    beginnings = []
    for number in range(1, 9):
        insert(policy, archive, Entry(number, 0.0, parent=0))
        beginnings.append(policy.beginnings)
    assert beginnings == [1, 2, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize("name", POLICIES)
@given(size=st.integers(1, 120), seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_replaying_the_insertions_gives_the_same_choices_through_restarts(name: str, size: int, seed: int) -> None:
    rng, archive, policy = Random(seed), Archive(), make_policy(name, restarts=6)
    again, resumed = Archive(), make_policy(name, restarts=6)
    entries = [Entry(0, 1.0)]
    insert(policy, archive, entries[0])
    for number in range(1, size):
        (choice,) = policy.select(archive, rng, 1)
        assert archive.fitness(choice.parent) > 0
        fitness = 0.0 if rng.random() < 0.5 else archive.fitness(choice.parent) * rng.uniform(0.7, 1.2)
        entries.append(Entry(number, fitness, rng.randrange(9), choice.island, choice.parent))
        insert(policy, archive, entries[-1])
    insert(resumed, again, *entries)
    assert policy.select(archive, Random(seed), 5) == resumed.select(again, Random(seed), 5)
    assert isinstance(policy, Restarting)
    assert isinstance(resumed, Restarting)
    assert policy.restarts == resumed.restarts
    assert policy.restarts > 0 or size < 60


def test_without_restarts_a_policy_is_what_it_was() -> None:
    assert isinstance(make_policy("greedy"), Greedy)
    assert make_policy("map-elites", restarts=3, islands=2).name == "map-elites"


@pytest.mark.parametrize("settings", [{"restarts": 0}, {"restarts": 5, "islands": 0}, {"restarts": 5, "no": 1}])
def test_settings_that_make_no_sense_name_the_policy(settings: dict[str, int]) -> None:
    with pytest.raises(KernelEvolveError, match="selection policy 'map-elites'"):
        make_policy("map-elites", **settings)


def test_an_empty_archive_and_a_wrong_seed_are_as_with_any_policy() -> None:
    policy, archive = Restarting(Greedy, 2), Archive()
    with pytest.raises(ValueError, match="insert the seed kernel first"):
        policy.select(archive, Random(0), 1)
    insert(policy, archive, Entry(0, 0.0, parent=NONE), Entry(1, 0.0, parent=0), Entry(2, 0.0, parent=1))
    assert set(chosen(policy, archive)) <= {0, 1, 2}
