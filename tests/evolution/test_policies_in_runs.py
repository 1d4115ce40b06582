"""Whole runs on the reference accelerator: beams and restarts go on after a stop as if there had been none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import kernelevolve
from kernelevolve.api import SearchSettings
from kernelevolve.store import Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer

WHOLE, PART = 30, 13


class OnlyRight(SampleProposer):
    """No failures: the runs are about which parent comes next."""

    def operators(self, problem: object, language: str) -> tuple[str, ...]:
        return ("cheapen", "tuned")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as made:
        yield made


def evolve(store: Store, evaluations: int, policy: str, restarts: int | None) -> str:
    return kernelevolve.evolve(
        samples.problem(),
        "reference",
        budget=kernelevolve.Budget(evaluations=evaluations),
        seed=2,
        policy=policy,
        search=SearchSettings(restarts=restarts),
        proposer=OnlyRight(),
        store=store,
        eager=False,
    ).run


def parents(store: Store, run: str) -> list[tuple[int, ...]]:
    return [candidate.parents for candidate in store.candidates(run)]


def history(store: Store, run: str) -> list[tuple[int, float | None]]:
    return [(one.candidate, one.fitness) for one in store.evaluations(run)]


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "restarts"), [("beam", None), ("map-elites", 3)])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(store: Store, policy: str, restarts: int | None) -> None:
    whole, part = evolve(store, WHOLE, policy, restarts), evolve(store, PART, policy, restarts)
    kernelevolve.resume(
        part,
        problem=samples.problem(),
        proposer=OnlyRight(),
        budget=kernelevolve.Budget(evaluations=WHOLE),
        store=store,
    )
    assert history(store, part) == history(store, whole)
    assert parents(store, part) == parents(store, whole)


def test_restarts_change_a_run_only_where_they_are_switched_on(store: Store) -> None:
    plain, patient, restless = (evolve(store, WHOLE, "greedy", restarts) for restarts in (None, 10_000, 3))
    assert parents(store, patient) == parents(store, plain)
    assert parents(store, restless) != parents(store, plain)
