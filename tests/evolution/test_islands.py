"""Migration through a whole run: a good elite of one island is built on by another one, and only after a migration."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from attrs import frozen

import kernelevolve
from kernelevolve.evolution.policies import POLICIES, MapElites, register_policy
from kernelevolve.store import Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer

ISLANDS = 3
EVERY = 9


class OnlyRight(SampleProposer):
    """Changes that keep a kernel right, so that few evaluations tell something."""

    def operators(self, problem: object, language: str) -> tuple[str, ...]:
        return ("cheapen", "tuned")


@frozen
class Crossing:
    """A candidate of one island that was made from a candidate of another."""

    child: int
    parent: int
    fitness: float
    #: The best that the child's own island had made itself until then.
    own_best: float


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as made:
        yield made


@pytest.fixture
def policies() -> Iterator[dict[str, int]]:
    """Names of policies on islands that do and do not migrate, with how often."""
    made = {"often": EVERY, "never": 10_000}
    for name, every in made.items():
        register_policy(name, partial(MapElites, islands=ISLANDS, migrate_every=every))
    yield made
    for name in made:
        del POLICIES[name]


def crossings(store: Store, run: str) -> list[Crossing]:
    candidates = list(store.candidates(run))
    fitness = [next(iter(store.evaluations(run, one.number))).fitness or 0.0 for one in candidates]
    found = []
    for child in candidates[1:]:
        parent = candidates[child.parents[0]]
        if parent.number and parent.island != child.island:  # candidate 0 is where every island starts
            own = [fitness[one.number] for one in candidates[: child.number] if one.island == child.island]
            found.append(Crossing(child.number, parent.number, fitness[parent.number], max(own, default=0.0)))
    return found


def evolve(store: Store, policy: str) -> str:
    return kernelevolve.evolve(
        samples.problem(),
        "reference",
        budget=kernelevolve.Budget(evaluations=60),
        seed=5,
        policy=policy,
        proposer=OnlyRight(),
        store=store,
        eager=False,
    ).run


def test_an_elite_of_one_island_is_built_on_by_another_after_a_migration(
    store: Store, policies: dict[str, int]
) -> None:
    found = crossings(store, evolve(store, "often"))
    assert found
    assert min(one.child for one in found) >= EVERY
    assert any(one.fitness > one.own_best for one in found), "no migrant was better than what its new island had"


def test_without_migration_no_island_builds_on_another_s_kernels(store: Store, policies: dict[str, int]) -> None:
    run = evolve(store, "never")
    assert {candidate.island for candidate in store.candidates(run)} == set(range(ISLANDS))
    assert crossings(store, run) == []
