"""The loop on the reference accelerator: it improves, repeats itself, stops on request, and survives being killed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

import kernelevolve
from kernelevolve.errors import KernelEvolveError
from kernelevolve.outcome import Outcome
from kernelevolve.store import EventKind, Store
from kernelevolve.testing import samples
from kernelevolve.testing.proposer import SampleProposer

ENGINE = Path(__file__).with_name("engine_process.py")


def evolve(store: Store, **options: object) -> kernelevolve.api.RunResult:  # type: ignore[name-defined]
    settings = {"budget": kernelevolve.Budget(evaluations=30), "seed": 3, "proposer": SampleProposer(), **options}
    return kernelevolve.evolve(samples.problem(), "reference", store=store, **settings)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'store.db'}")


def history(store: Store, run: str) -> list[tuple[object, ...]]:
    """What a run did, without ids and wall times."""
    return [
        (one.candidate, tuple(sorted(one.configuration.items())), one.outcome, one.fitness)
        for one in store.evaluations(run)
    ]


def test_a_run_finds_something_faster_than_its_seed_and_confirms_it(store: Store) -> None:
    result = evolve(store)
    assert result.speedup > 1.5
    assert result.evaluations == 30
    comparison = result.confirmations[0].comparisons["seed", f"#{result.best}"]
    assert comparison.verdict == "FASTER"
    assert store.status(result.run) is EventKind.FINISHED


def test_the_same_seed_gives_the_same_run_and_another_seed_another(store: Store) -> None:
    one, two, other = evolve(store), evolve(store), evolve(store, seed=4)
    assert history(store, one.run) == history(store, two.run)
    assert history(store, one.run) != history(store, other.run)


def test_failures_are_kept_with_their_outcome_and_end_nothing(store: Store) -> None:
    result = evolve(store)
    outcomes = {one.outcome for one in store.evaluations(result.run)}
    assert outcomes & {Outcome.WRONG_RESULT, Outcome.REJECTED, Outcome.RESOURCE_EXCEEDED}
    assert sum(result.stages.values()) == sum(n for o, n in result.outcomes.items() if o != "CORRECT")


def test_tunables_are_tuned_and_the_best_configuration_is_kept(store: Store) -> None:
    class OnlyTuned(SampleProposer):
        def operators(self, problem: object, language: str) -> tuple[str, ...]:
            return ("tuned",)

    result = evolve(store, budget=kernelevolve.Budget(evaluations=60), proposer=OnlyTuned())
    tuned = [one for one in store.evaluations(result.run) if one.configuration and one.outcome is Outcome.CORRECT]
    assert len({tuple(one.configuration.items()) for one in tuned}) > 4
    best = max(store.evaluations(result.run), key=lambda one: one.fitness or 0)
    assert best.configuration == {"LANES": 4, "DEPTH": 2}
    assert result.configuration == {"LANES": 4, "DEPTH": 2}


def test_no_kernel_is_evaluated_twice_in_one_configuration(store: Store) -> None:
    result = evolve(store, budget=kernelevolve.Budget(evaluations=60))
    keys = [one.key for one in store.evaluations(result.run)]
    assert len(keys) == len(set(keys)) == 60
    forms = [candidate.normal_form for candidate in store.candidates(result.run)]
    assert len(forms) == len(set(forms))


def test_a_resumed_run_goes_on_exactly_as_if_it_had_not_stopped(store: Store) -> None:
    whole = evolve(store, budget=kernelevolve.Budget(evaluations=40))
    part = evolve(store, budget=kernelevolve.Budget(evaluations=17))
    kernelevolve.resume(
        part.run,
        problem=samples.problem(),
        proposer=SampleProposer(),
        budget=kernelevolve.Budget(evaluations=40),
        store=store,
    )
    assert history(store, part.run) == history(store, whole.run)


def test_a_seed_that_is_wrong_ends_the_run_with_its_reason(store: Store) -> None:
    wrong = kernelevolve.parse_kernel(samples.FAILING[Outcome.WRONG_RESULT])
    with pytest.raises(KernelEvolveError, match="seed kernel is WRONG_RESULT, so nothing can be compared"):
        evolve(store, start=wrong)


def test_a_proposer_that_always_declines_ends_the_run_in_words(store: Store) -> None:
    class Declines(SampleProposer):
        def operators(self, problem: object, language: str) -> tuple[str, ...]:
            return ("decline",)

    result = evolve(store, proposer=Declines())
    assert "nothing is left to propose" in result.reason
    assert result.best == 0


def test_a_run_of_another_declaration_of_the_problem_is_not_resumed(store: Store) -> None:
    import attrs

    part = evolve(store, budget=kernelevolve.Budget(evaluations=3))
    other = attrs.evolve(samples.problem(), workloads=("rows=5,cols=5", "rows=6,cols=7"))
    with pytest.raises(KernelEvolveError, match="declared differently"):
        kernelevolve.resume(part.run, problem=other, store=store)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    rng = random.Random(20)
    evaluations = 55
    run, kept, kills = "new", 0, 0
    while kills < 20:
        with subprocess.Popen(
            [sys.executable, str(ENGINE), url, run, str(evaluations)], stdout=subprocess.PIPE, text=True
        ) as engine:
            assert engine.stdout is not None
            after = rng.randrange(1, 8)
            for line in engine.stdout:
                if line.startswith("kept"):
                    kept, after = max(kept, int(line.split()[1])), after - 1
                if after <= 0:
                    break
            engine.kill()
        kills += 1
        with Store.open(url) as store:
            run = store.runs()[0].id
            assert len(list(store.evaluations(run))) >= kept, "an acknowledged evaluation is gone"
    finished = subprocess.run(
        [sys.executable, str(ENGINE), url, run, str(evaluations)], capture_output=True, text=True, check=True
    )
    assert finished.stdout.splitlines()[-1].startswith("best ")
    whole = f"sqlite:///{tmp_path / 'whole.db'}"
    subprocess.run([sys.executable, str(ENGINE), whole, "new", str(evaluations)], capture_output=True, check=True)
    with Store.open(url) as killed, Store.open(whole) as untouched:
        assert len(killed.runs()) == 1
        keys = [one.key for one in killed.evaluations(run)]
        assert len(keys) == len(set(keys)) == evaluations
        assert history(killed, run) == history(untouched, untouched.runs()[0].id)


def test_several_workloads_give_a_table_with_the_best_configuration_for_each(store: Store) -> None:
    class OnlyTuned(SampleProposer):
        def operators(self, problem: object, language: str) -> tuple[str, ...]:
            return ("tuned",)

    workloads = ["rows=4,cols=8", "rows=16,cols=32"]
    result = evolve(store, workloads=workloads, proposer=OnlyTuned(), budget=kernelevolve.Budget(evaluations=40))
    assert [choice.workload for choice in result.table] == workloads
    assert all(choice.speedup > 1 and choice.configuration == {"LANES": 4, "DEPTH": 2} for choice in result.table)
    assert len(result.confirmations) == 2
