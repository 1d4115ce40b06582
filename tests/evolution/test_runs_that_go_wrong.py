"""Runs in bad company: proposers that raise, seeds that are wrong, lessons that were reworded, clocks that differ."""

from __future__ import annotations

from pathlib import Path

import pytest

import kernelevolve
from kernelevolve.api.learning import learn_from
from kernelevolve.api.running import opened_run
from kernelevolve.errors import KernelEvolveError
from kernelevolve.evolution.budget import Budget
from kernelevolve.evolution.proposal import Proposal, ProposalRequest
from kernelevolve.kernel import parse_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.store import EventKind, Lesson, Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer


class Stumbling(SampleProposer):
    """Raises at every other request."""

    def propose(self, request: ProposalRequest) -> Proposal | None:
        if request.seed % 2:
            raise ZeroDivisionError("an odd seed")
        return super().propose(request)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'store.db'}")


def evolve(store: Store, **options: object) -> kernelevolve.api.RunResult:
    given = {"budget": Budget(evaluations=12), "seed": 3, "proposer": SampleProposer(), **options}
    return kernelevolve.evolve(samples.problem(), "reference", store=store, **given)  # type: ignore[arg-type]


def test_a_proposer_that_raises_ends_no_run(store: Store) -> None:
    result = evolve(store, proposer=Stumbling())
    assert result.evaluations == 12
    reasons = [event.data.get("reason", "") for event in store.events(result.run, EventKind.DECLINED)]
    assert "ZeroDivisionError: an odd seed" in reasons


def test_a_wrong_seed_is_refused_even_where_a_transferred_kernel_is_right(store: Store) -> None:
    evolve(store)  # leaves right kernels behind
    wrong = parse_kernel(samples.FAILING[Outcome.WRONG_RESULT])
    with pytest.raises(KernelEvolveError, match="the seed kernel is WRONG_RESULT"):
        evolve(store, start=wrong, transfer=True, workloads=["rows=64,cols=64"])
    run = store.runs()[-1].id
    assert [one.candidate for one in store.evaluations(run)] == [0]


def test_kernels_of_other_sizes_are_tried_first(store: Store) -> None:
    first = evolve(store)
    second = evolve(store, transfer=True, workloads=["rows=64,cols=64"], budget=Budget(evaluations=6))
    moved = [one for one in store.candidates(second.run) if one.operator == "transfer"]
    assert moved
    assert store.kernel_text(second.run, moved[0].number)
    assert first.run in moved[0].note


def test_a_reworded_lesson_stays_as_it_was_reworded(store: Store) -> None:
    result = evolve(store, budget=Budget(evaluations=40))
    mine: list[Lesson] = [one for one in store.lessons.all() if one.run == result.run]
    assert mine
    store.lessons.change(mine[0].id, text="in my own words")
    with opened_run(store, result.run, problem=samples.problem(), proposer=SampleProposer()) as evolution:
        learn_from(evolution)
    texts = [one.text for one in store.lessons.all() if one.run == result.run]
    assert "in my own words" in texts
    assert mine[0].text not in texts
    assert len(texts) == len(mine)


def test_a_run_is_not_gone_on_with_on_another_device(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    result = evolve(store, budget=Budget(evaluations=2))
    from kernelevolve import registry

    made = registry.accelerator("reference")
    device = made.devices()[0]
    import attrs

    monkeypatch.setattr(type(made), "devices", lambda self: [attrs.evolve(device, name="another")])
    with pytest.raises(KernelEvolveError, match="start a new run here"):
        kernelevolve.resume(result.run, problem=samples.problem(), store=store, proposer=SampleProposer())


def test_a_run_is_not_gone_on_with_by_another_compiler(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    result = evolve(store, budget=Budget(evaluations=2))
    from kernelevolve import registry

    made = registry.accelerator("reference")
    then = dict(made.toolchain())
    name = next(iter(then))
    monkeypatch.setattr(type(made), "toolchain", lambda self: {**then, name: "0.0.1", "FLAG": "1"})
    with pytest.raises(KernelEvolveError) as refused:
        kernelevolve.resume(result.run, problem=samples.problem(), store=store, proposer=SampleProposer())
    assert f"{name} was {then[name]} and is 0.0.1; FLAG was not there and is 1" in str(refused.value)
    assert "--transfer" in str(refused.value)

    monkeypatch.undo()
    more = kernelevolve.resume(
        result.run,
        problem=samples.problem(),
        store=store,
        proposer=SampleProposer(),
        budget=Budget(evaluations=4),
    )
    assert more.evaluations == 4
