"""Runs driven from outside: their tunables are searched before the confirmation, and history spans the whole tree."""

from __future__ import annotations

import pytest

import kernelevolve
from kernelevolve import Budget
from kernelevolve.api.asking import Asked, ask, tell
from kernelevolve.api.bookkeeping import Refused
from kernelevolve.api.running import SearchSettings
from kernelevolve.api.starting import confirm, start
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.history import relatives
from kernelevolve.evolution.proposal import Relation
from kernelevolve.store import EventKind, Memory, Run, Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer

PROBLEM = samples.problem()


def begin(store: Store, drafts: int = 0, **options: object) -> Run:
    search = SearchSettings(drafts=drafts, knowledge=False)
    return start(PROBLEM, "reference", store=store, search=search, **options)  # type: ignore[arg-type]


def asked(store: Store, run: Run) -> Asked:
    (one,) = ask(run.id, problem=PROBLEM, store=store)
    return one


def told(store: Store, run: Run, text: str, note: str = "") -> Asked:
    one = asked(store, run)
    tell(run.id, one.proposal, text, note=note, problem=PROBLEM, store=store)
    return one


def variant(cost: int) -> str:
    """A right kernel that costs so many cycles per element; the seed's is 10."""
    return samples.GOOD.replace("cols * 10", f"cols * {cost}")


@pytest.mark.parametrize(("tune", "at_most"), [(0, 0), (3, 3), (24, 11)])
def test_tunables_are_searched_before_the_confirmation(store: Store, tune: int, at_most: int) -> None:
    """Twelve configurations, of which one was measured, and eight lanes need too much; the run's budget is spent."""
    run = begin(store, budget=Budget(evaluations=2))
    told(store, run, samples.TUNED)
    result = confirm(run.id, tune=tune, eager=False, problem=PROBLEM, store=store)

    tried = [one.configuration for one in store.evaluations(run.id, 1)]
    assert tried[0] == {"LANES": 1, "DEPTH": 1}
    assert 1 + min(tune, 3) <= len(tried) <= 1 + at_most
    assert len({tuple(sorted(one.items())) for one in tried}) == len(tried)
    assert result.evaluations == 1 + len(tried)
    best = max(store.evaluations(run.id), key=lambda one: one.fitness or 0.0)
    assert result.best == best.candidate
    if tune == 24:
        assert dict(result.configuration) == {"LANES": 4, "DEPTH": 2}


def test_more_can_be_asked_after_tuning_and_shows_what_was_found(store: Store) -> None:
    run = begin(store)
    told(store, run, samples.TUNED)
    confirm(run.id, eager=False, problem=PROBLEM, store=store)
    (parent, *_) = asked(store, run).request.parents

    assert parent.candidate == 1
    assert parent.configuration == {"LANES": 4, "DEPTH": 2}
    assert parent.profile["configurations"] > 1


def test_tuning_counts_as_evaluations_of_the_run(store: Store) -> None:
    run = begin(store, budget=Budget(evaluations=5))
    told(store, run, samples.TUNED)
    confirm(run.id, tune=3, eager=False, problem=PROBLEM, store=store)
    with pytest.raises(Refused, match="budget of 5 evaluations is spent"):
        asked(store, run)


def test_less_than_no_tuning_is_refused(store: Store) -> None:
    with pytest.raises(KernelEvolveError, match="tune is -1"):
        confirm("any", tune=-1, store=store)


def test_a_draft_is_told_of_the_drafts_before_it_told_and_open(store: Store) -> None:
    run = begin(store, drafts=3)
    assert asked(store, run).request.relatives == ()
    two = told(store, run, variant(5), note="half the work")
    assert [one.candidate for one in two.request.relatives] == [None]
    last = asked(store, run).request.relatives
    assert [(one.candidate, one.note, one.relation) for one in last] == [
        (1, "half the work", Relation.DRAFT),
        (None, "", Relation.DRAFT),
    ]
    assert {one.outcome for one in last} == {None}


def test_history_of_siblings_spans_the_run_and_other_memories_do_not(store: Store) -> None:
    run = begin(store)
    for cost in (9, 8, 7, 6):
        told(store, run, variant(cost))
    family = {one.number: one.parents[0] for one in store.candidates(run.id) if one.parents}
    ranked = [4, 3, 2, 1, 0]
    last = max(family)

    def shown(memory: Memory) -> dict[int | None, Relation]:
        return {one.candidate: one.relation for one in relatives(store, run.id, last, memory, ranked)}

    assert shown(Memory.NONE) == {}
    assert set(shown(Memory.PARENT).values()) == {Relation.ANCESTOR}
    assert set(shown(Memory.SIBLINGS)) == {1, 2, 3}
    assert set(shown(Memory.BOTH)) == {0, 1, 2, 3, 4}
    for number, relation in shown(Memory.SIBLINGS).items():
        beside = number is not None and family[number] in (last, family[last])
        line = number == family[last]
        assert relation is (Relation.SIBLING if beside and not line else Relation.ELSEWHERE)


def test_history_is_bounded_to_the_best_and_the_latest(store: Store) -> None:
    result = kernelevolve.evolve(
        PROBLEM, "reference", proposer=SampleProposer(), budget=Budget(evaluations=60), eager=False, store=store
    )
    fitness = {one.candidate: one.fitness or 0.0 for one in store.evaluations(result.run)}
    ranked = sorted(fitness, key=lambda number: (-fitness[number], number))
    assert len(ranked) > 12 + 6
    found = [one.candidate or 0 for one in relatives(store, result.run, 1, Memory.BOTH, ranked)]
    assert len(found) <= 8 + 12 + 12 + 6
    assert found == sorted(found)
    assert set(found) >= {*ranked[:12], *sorted(ranked)[-6:]} - {0}


def test_no_event_of_a_driven_run_changes_by_tuning(store: Store) -> None:
    """What was asked and told is replayed in the same order: a resumed search knows the same."""
    run = begin(store)
    told(store, run, samples.TUNED)
    before = [event.data for event in store.events(run.id, EventKind.ASKED)]
    confirm(run.id, tune=2, eager=False, problem=PROBLEM, store=store)
    assert [event.data for event in store.events(run.id, EventKind.ASKED)] == before
