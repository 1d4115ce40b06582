from __future__ import annotations

import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve.accelerator import Source
from kernelevolve.errors import UnknownNameError
from kernelevolve.kernel import parse_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.store import Candidate, Evaluation, EventKind, Memory, Run, Store, StoreError, WorkloadTimes

KERNEL = """// /// kernel
// language = "opencl"
// [[launch]]
// entry = "f"
// grid = ["rows"]
// ///
__kernel void f() {}
"""


def times(*seconds: float, source: Source = Source.HOST_WALL) -> dict[str, WorkloadTimes]:
    return {"rows=4": WorkloadTimes(seconds, source, "screen")}


def right(run: Run, candidate: int, fitness: float, **more: object) -> Evaluation:
    made = Evaluation(run.id, candidate, "screen", Outcome.CORRECT, times=times(1e-3), fitness=fitness)
    return evolve(made, **more) if "key" in more else evolve(made, key=f"{candidate}/{fitness}/{sorted(more)}", **more)


def test_a_run_comes_back_as_it_was_created(store: Store, run: Run) -> None:
    assert store.run(run.id) == run
    assert store.runs() == (run,)
    assert run.created > 0


def test_run_ids_are_short_and_sort_by_creation(url: str) -> None:
    clock = iter(float(second) for second in range(1_800_000_000, 1_800_000_050)).__next__
    blank = Run("p", "f", "a", "d", "l", "random", "rewriting", 0)
    with Store.open(url, clock=clock) as store:
        names = [store.create_run(blank).id for _ in range(50)]
    assert names == sorted(names)
    assert {len(name) for name in names} == {10}


def test_a_seed_of_any_size_survives(store: Store, run: Run) -> None:
    huge = store.create_run(evolve(run, seed=-(2**100)))
    assert store.run(huge.id).seed == -(2**100)


def test_runs_are_found_by_problem_and_accelerator(store: Store, run: Run) -> None:
    other = store.create_run(evolve(run, problem="matmul", accelerator="triton-cuda"))
    assert store.runs(problem="matmul") == (other,)
    assert store.runs(accelerator="opencl") == (run,)
    assert store.runs(problem="matmul", accelerator="opencl") == ()


def test_an_unknown_run_is_an_error_that_lists_the_known_ones(store: Store, run: Run) -> None:
    with pytest.raises(UnknownNameError, match=run.id):
        store.run("nothing")


def test_candidates_are_numbered_from_zero_within_their_run(store: Store, run: Run) -> None:
    other = store.create_run(run)
    numbers = [store.add_candidate(Candidate(run.id, "seed"), KERNEL) for _ in range(3)]
    assert numbers == [0, 1, 2]
    assert store.add_candidate(Candidate(other.id, "seed"), KERNEL) == 0


def test_a_candidate_comes_back_whole_with_its_text(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    made = Candidate(
        run.id, "widen", parents=[0], note="wider loads", memory=Memory.BOTH, island=3, descriptor=[1, 2, 0, 1, 0]
    )
    number = store.add_candidate(made, KERNEL)
    found = store.candidate(run.id, number)
    kernel = parse_kernel(KERNEL)
    assert found == evolve(made, number=1, kernel=kernel.digest, created=found.created)
    assert store.kernel_text(run.id, number) == str(kernel)
    assert [candidate.number for candidate in store.candidates(run.id)] == [0, 1]


def test_a_parent_must_come_before_its_child(store: Store, run: Run) -> None:
    with pytest.raises(StoreError, match="parent 0 does not exist"):
        store.add_candidate(Candidate(run.id, "widen", parents=(0,)), KERNEL)
    assert list(store.candidates(run.id)) == []


def test_a_candidate_of_no_run_is_refused(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="unknown run 'nothing'"):
        store.add_candidate(Candidate("nothing", "seed"), KERNEL)


def test_the_first_candidate_with_a_normal_form_is_found(store: Store, run: Run) -> None:
    for form in ("a", "b", "b"):
        store.add_candidate(Candidate(run.id, "seed", normal_form=form), KERNEL)
    assert store.duplicate(run.id, "b") == 1
    assert store.duplicate(run.id, "c") is None


def test_an_evaluation_comes_back_whole(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    given_ = Evaluation(
        run.id,
        0,
        "confirm",
        Outcome.CORRECT,
        configuration={"LANES": 4, "FAST": True, "MODE": "a"},
        times=times(0.1, 0.2, 1e-9, source=Source.DEVICE_EVENT),
        fitness=1.25,
        descriptor=(0, 1, 2, 1, 0),
        profile={"bytes_per_second": 1e12, "nested": {"list": [1, None]}},
        seconds=0.5,
        artifacts={"ptx": "ab" * 32},
    )
    kept = store.add_evaluation(given_)
    assert kept == evolve(given_, id=kept.id, created=kept.created)
    assert store.evaluation(run.id, given_.key) == kept
    assert list(store.evaluations(run.id)) == [kept]
    assert store.evaluation(run.id, "another") is None
    assert type(kept.configuration["FAST"]) is bool


def test_recording_a_key_again_changes_nothing_and_returns_the_first(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    first = store.add_evaluation(right(run, 0, 1.5, key="once"), spent={"evaluations": 1})
    second = store.add_evaluation(right(run, 0, 9.0, key="once"), spent={"evaluations": 2})
    assert second == first
    assert store.spent(run.id) == {"evaluations": 1}


def test_two_runs_may_use_the_same_key(store: Store, run: Run) -> None:
    other = store.create_run(run)
    for each in (run, other):
        store.add_candidate(Candidate(each.id, "seed"), KERNEL)
        store.add_evaluation(right(each, 0, 1.5, key="once"))
    assert len(list(store.evaluations(other.id))) == 1


def test_an_evaluation_of_no_candidate_is_refused(store: Store, run: Run) -> None:
    with pytest.raises(StoreError, match=f"run {run.id} has no candidate 4; it has 0"):
        store.add_evaluation(right(run, 4, 1.0))


def test_times_of_two_clocks_are_never_one_evaluation(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    mixed = {"a": times(1.0)["rows=4"], "b": times(1.0, source=Source.DEVICE_EVENT)["rows=4"]}
    with pytest.raises(ValueError, match="device-event, host-wall"):
        store.add_evaluation(right(run, 0, 1.0, times=mixed))


@pytest.mark.parametrize("fitness", [-1.0, math.nan, math.inf])
def test_a_fitness_is_a_finite_number_that_is_not_negative(run: Run, fitness: float) -> None:
    with pytest.raises(ValueError, match=r"Evaluation\.fitness is"):
        right(run, 0, fitness)


def test_numbers_that_json_lacks_are_kept_as_words(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    details = {"max_rel": math.inf, "got": math.nan, "list": [-math.inf, 1.0]}
    wrong = Evaluation(run.id, 0, "check", Outcome.WRONG_RESULT, details=details)
    kept = store.evaluation(run.id, store.add_evaluation(wrong).key)
    assert kept is not None
    assert kept.details == {"max_rel": "inf", "got": "nan", "list": ["-inf", 1.0]}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    configuration=st.dictionaries(st.text(min_size=1), st.integers(-(2**40), 2**40) | st.booleans() | st.text()),
    samples=st.lists(st.floats(min_value=0, allow_infinity=False), min_size=1, max_size=50),
    details=st.dictionaries(st.text(), json_values, max_size=4),
    message=st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_in_comes_out(store: Store, run: Run, configuration, samples, details, message) -> None:  # type: ignore[no-untyped-def]
    number = store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    kept = store.add_evaluation(
        Evaluation(
            run.id,
            number,
            "screen",
            Outcome.CORRECT,
            configuration=configuration,
            times=times(*samples),
            details=details,
            message=message,
        )
    )
    assert list(store.evaluations(run.id, number)) == [kept]
    assert kept.configuration == configuration
    assert kept.times["rows=4"].seconds == tuple(samples)


def test_events_come_back_in_order_and_give_the_status(store: Store, run: Run) -> None:
    assert store.status(run.id) is None
    for kind in (EventKind.STARTED, EventKind.SPENT, EventKind.INTERRUPTED, EventKind.RESUMED, EventKind.DECLINED):
        store.add_event(run.id, kind, {"kind": kind.value})
    assert store.status(run.id) is EventKind.RESUMED
    assert [event.data["kind"] for event in store.events(run.id)] == [
        "started", "spent", "interrupted", "resumed", "declined",
    ]  # fmt: skip
    assert [event.kind for event in store.events(run.id, EventKind.SPENT)] == [EventKind.SPENT]
    with pytest.raises(UnknownNameError):
        store.add_event("nothing", EventKind.STARTED)


def test_an_outline_stands_at_the_latest_measurement_of_its_best_configuration(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed", descriptor=(0, 0, 0, 0, 0)), KERNEL)
    store.add_candidate(Candidate(run.id, "widen", parents=(0,), island=2), KERNEL)
    store.add_candidate(Candidate(run.id, "unroll", parents=(1, 0)), KERNEL)
    lanes = {"configuration": {"LANES": 4}}
    store.add_evaluation(right(run, 0, 1.0, seconds=1.0, descriptor=(0, 0, 0, 1, 0)))
    store.add_evaluation(right(run, 1, 3.0, key="screen", seconds=2.0, **lanes))
    store.add_evaluation(right(run, 1, 1.5, key="other", seconds=2.0))
    store.add_evaluation(right(run, 1, 2.0, key="confirm", seconds=4.0, **lanes))
    store.add_evaluation(right(run, 1, 99.0, key="one workload", workload="rows=4"))
    seed, child, waiting = store.outlines(run.id)
    assert (seed.fitness, seed.descriptor, seed.seconds) == (1.0, (0, 0, 0, 1, 0), 1.0)
    assert (child.fitness, child.island, child.seconds, child.parents) == (2.0, 2, 8.0, (0,))
    assert (waiting.fitness, waiting.parents, waiting.operator) == (None, (1, 0), "unroll")
    assert store.pending(run.id) == (2,)


def test_a_failed_candidate_is_settled_at_fitness_zero(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    store.add_evaluation(Evaluation(run.id, 0, "compile", Outcome.COMPILE_ERROR, message="no"))
    (outline,) = store.outlines(run.id)
    assert outline.fitness == 0.0
    assert store.pending(run.id) == ()


def test_the_best_of_each_clock_is_ranked_apart(store: Store, run: Run) -> None:
    for _ in range(3):
        store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    store.add_evaluation(right(run, 0, 1.2))
    store.add_evaluation(right(run, 1, 1.7))
    store.add_evaluation(right(run, 2, 5.0, times=times(1.0, source=Source.RECORDED)))
    store.add_evaluation(
        Evaluation(run.id, 1, "x", Outcome.WRONG_RESULT, times=times(1.0), fitness=9.0, configuration={"A": 1})
    )
    recorded, clocked = store.best("softmax")
    assert (recorded.candidate, recorded.evaluation.fitness, recorded.evaluation.source) == (2, 5.0, Source.RECORDED)
    assert (clocked.candidate, clocked.evaluation.fitness, clocked.run) == (1, 1.7, run)


def test_the_best_is_taken_over_runs_on_one_device_and_not_across_devices(store: Store, run: Run) -> None:
    again = store.create_run(run)
    elsewhere = store.create_run(evolve(run, device="another"))
    for each, fitness in ((run, 1.5), (again, 2.5), (elsewhere, 2.0)):
        store.add_candidate(Candidate(each.id, "seed"), KERNEL)
        store.add_evaluation(right(each, 0, fitness))
    assert [(standing.run.id, standing.evaluation.fitness) for standing in store.best("softmax")] == [
        (again.id, 2.5),
        (elsewhere.id, 2.0),
    ]
    assert [standing.run.id for standing in store.best("softmax", device="another")] == [elsewhere.id]
    assert store.best("softmax", accelerator="triton-cuda") == ()


def test_a_confirmation_replaces_the_lucky_screening_of_the_same_configuration(store: Store, run: Run) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    store.add_evaluation(right(run, 0, 3.0, key="screen"))
    store.add_evaluation(right(run, 0, 1.1, key="confirm"))
    (standing,) = store.best("softmax")
    assert standing.evaluation.fitness == 1.1


@pytest.mark.parametrize(
    "statement", ["UPDATE evaluations SET fitness = 9", "DELETE FROM candidates", "DELETE FROM runs"]
)
def test_the_database_itself_refuses_to_change_what_was_recorded(store: Store, run: Run, statement: str) -> None:
    store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    store.add_evaluation(right(run, 0, 1.0))
    connection = sqlite3.connect(store.url.removeprefix("sqlite:///"))
    with pytest.raises(sqlite3.IntegrityError, match="is append-only"):
        connection.execute(statement)
    connection.close()


def test_threads_share_one_store(store: Store, run: Run) -> None:
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: store.add_candidate(Candidate(run.id, "seed"), KERNEL), range(100)))
    assert sorted(numbers) == list(range(100))


def test_reading_goes_on_while_another_writes(store: Store, run: Run) -> None:
    for _ in range(3):
        store.add_candidate(Candidate(run.id, "seed"), KERNEL)
    reader = store.candidates(run.id)
    assert next(reader).number == 0
    assert store.add_candidate(Candidate(run.id, "seed"), KERNEL) == 3
    assert [candidate.number for candidate in reader] == [1, 2]
