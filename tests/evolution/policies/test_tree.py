from __future__ import annotations

from random import Random

from kernelevolve.evolution.archive import Archive, Entry
from kernelevolve.evolution.policies.tree import TreeSearch


def insert(policy: TreeSearch, archive: Archive, *entries: Entry) -> None:
    for entry in entries:
        archive.insert(entry)
        policy.inserted(archive, entry.number)


def test_a_node_is_widened_before_its_children_are_followed() -> None:
    policy, archive = TreeSearch(width=2.0, growth=0.5, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0))
    chosen = []
    for number in range(1, 7):
        (choice,) = policy.select(archive, Random(0), 1)
        chosen.append(choice.parent)
        insert(policy, archive, Entry(number, 1.0, parent=choice.parent))
    # With 5 visits the root has room for 2 x sqrt(5) = 4.5 children and has 4; with 6 visits, for 4.9 and has 5.
    assert chosen[:5] == [0, 0, 0, 0, 0]
    assert chosen[5] != 0


def test_the_descent_prefers_the_better_subtree() -> None:
    policy, archive = TreeSearch(width=0.5, exploration=0.05, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), Entry(1, 0.5, parent=0), Entry(2, 4.0, parent=0))
    assert policy.select(archive, Random(0), 1)[0].parent == 2


def test_a_branch_that_disappoints_is_left_for_another() -> None:
    policy, archive = TreeSearch(width=0.5, exploration=0.05, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), Entry(1, 1.5, parent=0), Entry(2, 2.0, parent=0))
    insert(policy, archive, *(Entry(number, 0.0, parent=2) for number in range(3, 9)))
    assert policy.select(archive, Random(0), 1)[0].parent == 1


def test_a_batch_spreads_over_the_tree() -> None:
    policy, archive = TreeSearch(width=0.5, exploration=0.5, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, 1.0, parent=0) for number in range(1, 6)))
    batch = [choice.parent for choice in policy.select(archive, Random(0), 5)]
    assert len(set(batch)) == 5


def test_choosing_leaves_the_tree_as_it_was() -> None:
    policy, archive = TreeSearch(epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0), *(Entry(number, 1.0, parent=number - 1) for number in range(1, 30)))
    assert policy.select(archive, Random(0), 7) == policy.select(archive, Random(0), 7)


def test_a_wrong_seed_is_left_for_the_child_that_mended_it() -> None:
    policy, archive = TreeSearch(epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 0.0))
    assert policy.select(archive, Random(0), 1)[0].parent == 0
    insert(policy, archive, Entry(1, 0.0, parent=0), Entry(2, 1.0, parent=0))
    assert {choice.parent for choice in policy.select(archive, Random(0), 1)} == {2}


def test_several_seeds_are_several_trees() -> None:
    policy, archive = TreeSearch(exploration=1.0, epsilon=0.0), Archive()
    insert(policy, archive, *(Entry(number, 1.0) for number in range(3)))
    chosen = []
    for number in range(3, 9):
        (choice,) = policy.select(archive, Random(0), 1)
        chosen.append(choice.parent)
        insert(policy, archive, Entry(number, 1.0, parent=choice.parent))
    assert set(chosen) >= {0, 1, 2}


def test_what_was_mended_far_down_is_reached_through_what_is_wrong() -> None:
    policy, archive = TreeSearch(epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 0.0), Entry(1, 0.0, parent=0), Entry(2, 0.0, parent=0), Entry(3, 0.01, parent=1))
    assert {choice.parent for choice in policy.select(archive, Random(0), 1)} == {3}


def test_no_node_is_widened_beyond_the_most_children() -> None:
    policy, archive = TreeSearch(width=100.0, most=3, epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0))
    for number in range(1, 40):
        (choice,) = policy.select(archive, Random(0), 1)
        insert(policy, archive, Entry(number, 1.0, parent=choice.parent))
    parents = [archive.parent(number) for number in range(1, 40)]
    assert max(parents.count(parent) for parent in parents) == 3


def test_after_independent_drafts_the_better_ones_are_expanded() -> None:
    policy, archive = TreeSearch(epsilon=0.0), Archive()
    insert(policy, archive, Entry(0, 1.0))
    insert(
        policy, archive, *(Entry(number, fitness, parent=0) for number, fitness in enumerate([0.0, 2.0, 0.7, 1.1], 1))
    )
    chosen = []
    for number in range(5, 13):
        (choice,) = policy.select(archive, Random(0), 1)
        chosen.append(choice.parent)
        insert(policy, archive, Entry(number, 1.0, parent=choice.parent))
    assert chosen[0] == 2  # four drafts are more than the root has room for after five visits
    assert chosen.count(0) <= 1
    assert 1 not in chosen  # a draft that is wrong is not built on
