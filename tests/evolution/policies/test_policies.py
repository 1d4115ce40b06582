"""What every selection policy must do, the built-in ones and plugged-in ones alike."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.errors import KernelEvolveError, UnknownNameError
from kernelevolve.evolution.archive import NONE, Archive, Entry
from kernelevolve.evolution.policies import POLICIES, Choice, SelectionPolicy, make_policy, register_policy

NAMES = tuple(POLICIES)


def grow(name: str, size: int, seed: int, *, wrong: float = 0.3) -> tuple[Archive, SelectionPolicy, list[Entry]]:
    """A run of `size` candidates whose parents the policy itself chose."""
    rng = Random(seed)
    archive, policy, entries = Archive(), make_policy(name), []
    for number in range(size):
        if number == 0:
            entry = Entry(0, 1.0)
        else:
            (choice,) = policy.select(archive, rng, 1)
            fitness = 0.0 if rng.random() < wrong else (archive.fitness(choice.parent) or 1.0) * rng.uniform(0.8, 1.2)
            entry = Entry(number, fitness, rng.randrange(20), choice.island, choice.parent)
        archive.insert(entry)
        policy.inserted(archive, number)
        entries.append(entry)
    return archive, policy, entries


@pytest.mark.parametrize("name", NAMES)
@given(size=st.integers(1, 150), seed=st.integers(0, 10_000), count=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_choices_are_right_candidates_of_the_archive(name: str, size: int, seed: int, count: int) -> None:
    archive, policy, _ = grow(name, size, seed)
    choices = policy.select(archive, Random(seed), count)
    assert len(choices) == count
    for choice in choices:
        assert archive.fitness(choice.parent) > 0
        assert choice.island >= 0


@pytest.mark.parametrize("name", NAMES)
@given(size=st.integers(1, 150), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_replaying_the_insertions_gives_the_same_choices(name: str, size: int, seed: int) -> None:
    archive, policy, entries = grow(name, size, seed)
    again, resumed = Archive(), make_policy(name)
    for entry in entries:
        again.insert(entry)
        resumed.inserted(again, entry.number)
    one, two = Random(seed), Random(seed)
    assert policy.select(archive, one, 20) == resumed.select(again, two, 20)
    assert [policy.mate(archive, one, Choice(0))] == [resumed.mate(again, two, Choice(0))]


@pytest.mark.parametrize("name", NAMES)
@given(size=st.integers(1, 80), seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_mate_is_another_right_candidate(name: str, size: int, seed: int) -> None:
    archive, policy, entries = grow(name, size, seed)
    rng = Random(seed)
    for choice in policy.select(archive, rng, 5):
        mate = policy.mate(archive, rng, choice)
        if mate is not None:
            assert mate != choice.parent
            assert archive.fitness(mate) > 0
    if sum(entry.fitness > 0 for entry in entries) == 1:
        assert policy.mate(archive, rng, Choice(0)) is None


@pytest.mark.parametrize("name", NAMES)
@given(size=st.integers(1, 60), seed=st.integers(0, 10_000), data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_candidate_found_wrong_later_is_chosen_no_more(name: str, size: int, seed: int, data: st.DataObject) -> None:
    archive, policy, _ = grow(name, size, seed)
    right = [number for number in archive if archive.fitness(number) > 0]
    fallen = data.draw(st.sets(st.sampled_from(right), max_size=max(0, len(right) - 1)))
    for number in fallen:
        archive.revise(number, 0.0)
        policy.revised(archive, number)
    assert fallen.isdisjoint(choice.parent for choice in policy.select(archive, Random(seed), 30))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_archive_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="insert the seed kernel first"):
        make_policy(name).select(Archive(), Random(0), 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_lone_seed_that_is_wrong_is_chosen_to_be_mended(name: str) -> None:
    archive, policy = Archive(), make_policy(name)
    archive.insert(Entry(0, 0.0))
    policy.inserted(archive, 0)
    assert {choice.parent for choice in policy.select(archive, Random(0), 10)} == {0}
    assert policy.mate(archive, Random(0), Choice(0)) is None


@pytest.mark.parametrize("name", [name for name in NAMES if name != "random"])
def test_every_policy_but_the_random_one_prefers_what_is_fast(name: str) -> None:
    archive, policy = Archive(), make_policy(name)
    for number in range(100):
        archive.insert(Entry(number, 4.0 if number == 50 else 1.0, cell=number, parent=0 if number else NONE))
        policy.inserted(archive, number)
    rng = Random(3)
    chosen = [policy.select(archive, rng, 1)[0].parent for _ in range(1000)]
    assert chosen.count(50) > 30  # chance alone would give ten


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_has_the_name_it_is_found_by(name: str) -> None:
    policy = make_policy(name)
    assert policy.name == name
    assert isinstance(policy, SelectionPolicy)


def test_an_unknown_policy_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(
        UnknownNameError, match=r"there is random, greedy, beam, map-elites, mcts\. Did you mean 'greedy'\?"
    ):
        make_policy("gredy")


@pytest.mark.parametrize(
    ("name", "setting"),
    [("greedy", {"top": 0}), ("map-elites", {"islands": 0}), ("mcts", {"growth": 1.0}), ("random", {"x": 1})],
)
def test_a_setting_that_makes_no_sense_names_the_policy(name: str, setting: dict[str, float]) -> None:
    with pytest.raises(KernelEvolveError, match=f"selection policy '{name}'"):
        make_policy(name, **setting)


def test_a_plugged_in_policy_is_made_by_name_and_cannot_take_anothers() -> None:
    class Latest:
        name = "latest"

        def inserted(self, archive: Archive, number: int) -> None: ...

        def revised(self, archive: Archive, number: int) -> None: ...

        def select(self, archive: Archive, rng: Random, count: int) -> tuple[Choice, ...]:
            return (Choice(max(archive)),) * count

        def mate(self, archive: Archive, rng: Random, choice: Choice) -> int | None:
            return None

    register_policy("latest", Latest)
    try:
        archive = Archive()
        archive.insert(Entry(3, 1.0))
        assert make_policy("latest").select(archive, Random(0), 2) == (Choice(3), Choice(3))
        with pytest.raises(KernelEvolveError, match="'latest' exists already"):
            register_policy("latest", Latest)
    finally:
        del POLICIES["latest"]
