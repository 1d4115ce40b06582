from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.evolution.archive import NONE, Archive, Entry
from kernelevolve.evolution.policies import Choice
from kernelevolve.evolution.policies.map_elites import MapElites


def insert(policy: MapElites, archive: Archive, *entries: Entry) -> None:
    for entry in entries:
        archive.insert(entry)
        policy.inserted(archive, entry.number)


def test_each_cell_keeps_its_fastest() -> None:
    policy, archive = MapElites(islands=1), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=5), Entry(1, 2.0, cell=5), Entry(2, 1.5, cell=5), Entry(3, 0.2, cell=6))
    assert policy.elites(0) == {5: 1, 6: 3}


def test_what_is_wrong_holds_no_cell() -> None:
    policy, archive = MapElites(islands=1), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=5), Entry(1, 0.0, cell=6))
    assert policy.elites(0) == {5: 0}


def test_islands_start_from_the_same_kernel_and_then_evolve_apart() -> None:
    policy, archive = MapElites(islands=3, migrate_every=1000), Archive()
    insert(policy, archive, Entry(0, 0.0), Entry(1, 1.0, parent=0), Entry(2, 2.0, cell=3, island=1, parent=1))
    assert [policy.elites(island) for island in range(3)] == [{0: 1}, {0: 1, 3: 2}, {0: 1}]
    assert policy.migrations == 0


def test_a_choice_names_the_island_whose_elite_it_is() -> None:
    policy, archive = MapElites(islands=2, migrate_every=1000), Archive()
    insert(policy, archive, Entry(0, 1.0), Entry(1, 2.0, island=0, parent=0), Entry(2, 2.0, island=1, parent=0))
    chosen = Counter(policy.select(archive, Random(0), 400))
    assert set(chosen) == {Choice(1, 0), Choice(2, 1)}
    assert min(chosen.values()) > 150


def test_migration_really_happens_and_goes_one_island_on() -> None:
    policy, archive = MapElites(islands=3, migrate_every=4, migrants=1), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=0))
    insert(policy, archive, Entry(1, 5.0, cell=1, island=0, parent=0), Entry(2, 4.0, cell=2, island=1, parent=0))
    assert policy.migrations == 0
    insert(policy, archive, Entry(3, 3.0, cell=3, island=2, parent=0))
    assert (policy.migrations, policy.migrated) == (1, 3)
    assert [policy.elites(island) for island in range(3)] == [
        {0: 0, 1: 1, 3: 3},
        {0: 0, 2: 2, 1: 1},
        {0: 0, 3: 3, 2: 2},
    ]


def test_a_migrant_does_not_displace_what_is_faster() -> None:
    policy, archive = MapElites(islands=2, migrate_every=3, migrants=1), Archive()
    insert(
        policy,
        archive,
        Entry(0, 1.0),
        Entry(1, 2.0, cell=1, island=0, parent=0),
        Entry(2, 3.0, cell=1, island=1, parent=0),
    )
    assert policy.elites(1) == {0: 0, 1: 2}
    assert policy.elites(0) == {0: 0, 1: 2}


def test_a_good_cell_is_chosen_more_often_than_a_poor_one() -> None:
    policy, archive = MapElites(islands=1, pressure=2.0), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=0), Entry(1, 2.0, cell=1))
    chosen = Counter(choice.parent for choice in policy.select(archive, Random(0), 5000))
    assert chosen[1] / chosen[0] == pytest.approx(4.0, rel=0.2)


def test_a_cell_that_yields_is_chosen_more_often_than_one_that_does_not() -> None:
    policy, archive = MapElites(islands=1, migrate_every=1000), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=0), Entry(1, 1.0, cell=1))
    fruitless = [Entry(number, 0.0, cell=9, parent=0) for number in (2, 3)]
    fruitful = [Entry(number, 0.1, cell=number, parent=1) for number in (4, 5)]
    insert(policy, archive, *fruitless, *fruitful)
    chosen = Counter(choice.parent for choice in policy.select(archive, Random(0), 6000))
    assert chosen[1] / chosen[0] == pytest.approx(3.0 / 0.25, rel=0.25)


def test_an_elite_that_loses_its_fitness_gives_its_cell_to_the_next_best() -> None:
    policy, archive = MapElites(islands=1), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=5), Entry(1, 2.0, cell=5), Entry(2, 1.5, cell=5))
    archive.revise(1, 1.2)
    policy.revised(archive, 1)
    assert policy.elites(0) == {5: 2}


def test_a_kernel_that_turns_out_to_be_of_another_kind_moves() -> None:
    policy, archive = MapElites(islands=1), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=5), Entry(1, 2.0, cell=5))
    archive.revise(1, 2.0, cell=8)
    policy.revised(archive, 1)
    assert policy.elites(0) == {5: 0, 8: 1}


def test_a_mate_comes_from_the_same_island_where_that_has_another_elite() -> None:
    policy, archive = MapElites(islands=2, migrate_every=1000), Archive()
    insert(policy, archive, Entry(0, 1.0, cell=0))
    insert(policy, archive, Entry(1, 9.0, cell=1, island=1, parent=NONE), Entry(2, 1.0, cell=2, island=0, parent=NONE))
    assert {policy.mate(archive, Random(seed), Choice(0, 0)) for seed in range(20)} == {2}
    assert {policy.mate(archive, Random(seed), Choice(1, 1)) for seed in range(20)} == {0}


@given(
    first=st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.integers(0, 3), st.integers(0, 1)), min_size=1),
    later=st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from([0.0, 0.7, 1.0, 3.0]), st.integers(0, 3)), max_size=20
    ),
)
def test_each_cell_holds_its_fastest_after_any_revisions(
    first: list[tuple[float, int, int]], later: list[tuple[int, float, int]]
) -> None:
    policy, archive = MapElites(islands=2, migrate_every=10_000), Archive()
    for number, (fitness, cell, island) in enumerate(first):
        insert(policy, archive, Entry(number, fitness, cell, island))
    for number, fitness, cell in later:
        if number in archive:
            archive.revise(number, fitness, cell=cell)
            policy.revised(archive, number)
    for index in range(2):
        elites = policy.elites(index)
        assert all(archive.cell(elite) == cell for cell, elite in elites.items())
        for number in archive:
            if archive.island(number) == index and archive.fitness(number) > 0:
                assert archive.fitness(elites[archive.cell(number)]) >= archive.fitness(number)
