"""Lessons: what runs teach, by counting; which of them a later run sees; and kernels to start from."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import kernelevolve
from kernelevolve import registry
from kernelevolve.accelerator import Device, Source
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Settings
from kernelevolve.evaluation.wire import structure
from kernelevolve.kernel import parse_kernel
from kernelevolve.knowledge import MOST_LESSONS, Bottleneck, distil, relevant
from kernelevolve.knowledge.trials import trials_of
from kernelevolve.outcome import Outcome
from kernelevolve.store import Candidate, Evaluation, Lesson, Run, Store, WorkloadTimes
from kernelevolve.testing import samples

SOFTMAX = registry.problem("softmax")
LABEL = "rows=4096,cols=1024"
RUN = Run(
    "softmax",
    "f",
    "opencl",
    "cpu",
    "opencl",
    "map-elites",
    "rewriting",
    0,
    settings={"workloads": [LABEL], "evaluation": {"protocol": {"resolution": 0.02}}},
    id="r1",
)


def candidate(number: int, parent: int | None = 0, operator: str = "rewrite", note: str = "", **more: Any) -> Candidate:
    parents = () if parent is None else (parent,)
    return Candidate("r1", operator, parents, note, number=number, **more)


def evaluation(
    number: int,
    fitness: float | None = None,
    outcome: Outcome = Outcome.CORRECT,
    *,
    gigabytes: float = 1.0,
    source: Source = Source.DEVICE_EVENT,
    paired: tuple[float, float] | None = (0.999, 1.001),
    **more: Any,
) -> Evaluation:
    rate = {LABEL: {"bytes_per_second": gigabytes * 1e9, "compulsory_bytes": 1e7}}
    timing: dict[str, Any] = {"workload": LABEL, "paired": None}
    if paired is not None and fitness is not None:
        timing["paired"] = {"ratio": fitness, "low": paired[0] * fitness, "high": paired[1] * fitness}
    right = outcome is Outcome.CORRECT
    return Evaluation(
        **{
            "run": "r1",
            "candidate": number,
            "stage": "screen" if right else "check",
            "outcome": outcome,
            "fitness": fitness if right else 0.0,
            "times": {LABEL: WorkloadTimes((1e-3,), source, "paired")} if right else {},
            "profile": {"rates": rate, "timings": [timing]} if right else {},
            "id": number,
            **more,
        }
    )


def distilled(
    candidates: Sequence[Candidate], evaluations: Sequence[Evaluation], device: Device, run: Run = RUN
) -> list[Lesson]:
    return distil(run, candidates, evaluations, device, SOFTMAX)


SEED = candidate(0, None, "seed")


# --- what is learnt


def test_similar_tries_are_counted_together_with_their_numbers(cpu: Device) -> None:
    gains = [1.3, 1.5, 1.2]
    tries = [candidate(n, 0, "rewrite:vectorise", f"vectorise by {2**n}: the loop over col") for n in (1, 2, 3, 4)]
    measured = [evaluation(0, 1.0), *(evaluation(n, gain) for n, gain in enumerate(gains, start=1))]
    measured.append(evaluation(4, outcome=Outcome.WRONG_RESULT, message="output 'y' differs"))
    best, vectors = distilled([SEED, *tries], measured, cpu)
    count = "4 tries, 3 right, median gain 1.30× the parent, best 1.50× (candidates 0 → 2); as fast as the run's best"
    assert vectors.text == f"rewrite:vectorise on a latency-bound kernel: {count}"
    assert vectors.bottleneck == "latency-bound"
    assert vectors.data["gains"] == gains
    assert vectors.data["pairs"] == [[0, 1], [0, 2], [0, 3]]
    assert (vectors.data["tries"], vectors.data["right"], vectors.data["candidates"]) == (4, 3, [1, 2, 3, 4])
    assert (vectors.run, vectors.problem, vectors.device, vectors.language) == ("r1", "softmax", "cpu", "opencl")
    assert best.text.startswith("Best of the run: candidate 2, 1.50× its seed when screened; by: vectorise by 4")


def test_a_single_try_is_told_in_its_own_words_with_their_numbers(cpu: Device) -> None:
    note = "two passes in float16, 4 accumulators, like candidate 3"
    measured = [evaluation(0, 1.0), evaluation(1, 1.5)]
    lesson = distilled([SEED, candidate(1, 0, "outside", note)], measured, cpu)[-1]
    assert lesson.text.startswith(f"outside: {note} on a latency-bound kernel: 1 try, gain 1.50× its parent")


def test_several_tries_are_told_in_the_words_of_the_best(cpu: Device) -> None:
    tries = [candidate(n, 0, "outside", f"load {2**n} columns at once") for n in (1, 2, 3)]
    measured = [evaluation(0, 1.0), *(evaluation(n, gain) for n, gain in ((1, 1.2), (2, 1.6), (3, 1.4)))]
    lesson = distilled([SEED, *tries], measured, cpu)[-1]
    assert lesson.text.startswith("outside: load 4 columns at once on a latency-bound kernel: 3 tries, 3 right")


def test_a_gain_on_a_slow_parent_says_what_it_came_to_in_the_end(cpu: Device) -> None:
    tries = [candidate(1, 0, "outside", "stage rows"), candidate(2, 0, "outside", "wide vectors, one pass")]
    measured = [evaluation(0, 1.0), evaluation(1, 6.6), evaluation(2, 10.0)]
    _, first, second = distilled([SEED, *tries], measured, cpu)
    assert first.text.endswith("gain 10.00× its parent (candidates 0 → 2); as fast as the run's best")
    assert second.text.endswith("gain 6.60× its parent (candidates 0 → 1); 0.66 of the run's best")
    assert (first.data["share"], second.data["share"]) == (1.0, 0.66)


def test_tries_against_different_bottlenecks_are_different_lessons(cpu: Device) -> None:
    seeds = [SEED, candidate(1, 0, "a", "wide loads")]
    tries = [candidate(n, parent, "b", "more lanes") for n, parent in ((2, 0), (3, 1))]
    measured = [evaluation(0, 1.0), evaluation(1, 4.0, gigabytes=9), evaluation(2, 1.5), evaluation(3, 3.0)]
    found = {
        lesson.bottleneck: lesson.text for lesson in distilled([*seeds, *tries], measured, cpu) if "b:" in lesson.text
    }
    assert found["latency-bound"].startswith("b: more lanes on a latency-bound kernel: 1 try, gain 1.50×")
    assert found["memory-bound"].startswith(
        "b: more lanes on a memory-bound kernel makes it slower: 1 try, ratio 0.75×"
    )


def test_notes_in_a_model_s_own_words_are_grouped_by_what_they_share(cpu: Device) -> None:
    notes = ["load four columns at once", "load eight columns at once", "fuse both loops into one pass"]
    tries = [candidate(n, 0, "model", note) for n, note in enumerate(notes, start=1)]
    measured = [evaluation(0, 1.0), *(evaluation(n, 1.5) for n in (1, 2, 3))]
    counts = [lesson.data["tries"] for lesson in distilled([SEED, *tries], measured, cpu) if "tries" in lesson.data]
    assert sorted(counts) == [1, 2]


@pytest.mark.parametrize(
    ("resolution", "gain", "taught"), [(0.02, 1.015, False), (0.02, 1.05, True), (0.1, 1.05, False), (0.1, 1.2, True)]
)
def test_a_gain_within_the_resolution_is_no_lesson(cpu: Device, resolution: float, gain: float, taught: bool) -> None:
    run = evolve(RUN, settings={"evaluation": {"protocol": {"resolution": resolution}}})
    measured = [evaluation(0, 1.0), evaluation(1, gain)]
    assert bool(distilled([SEED, candidate(1, note="x")], measured, cpu, run)) is taught


def test_a_gain_within_its_own_interval_is_no_lesson(cpu: Device) -> None:
    tries = [SEED, candidate(1, note="x")]
    wide = [evaluation(0, 1.0), evaluation(1, 1.2, paired=(0.75, 1.25))]
    narrow = [evaluation(0, 1.0), evaluation(1, 1.2, paired=(0.95, 1.05))]
    assert not [lesson for lesson in distilled(tries, wide, cpu) if "gain" in lesson.text]
    assert [lesson for lesson in distilled(tries, narrow, cpu) if "gain 1.20×" in lesson.text]


def test_times_that_were_not_taken_side_by_side_are_told_only_where_they_are_far_apart(cpu: Device) -> None:
    """As kernels far behind the incumbent are timed: a first look each, minutes apart."""
    tries = [candidate(0, None), candidate(1, 0, "a"), *(candidate(n, 1, "b", "x") for n in (2, 3, 4))]
    first = [evaluation(0, 9.0), evaluation(1, 7.8)]
    near = [*first, *(evaluation(n, 4.8, paired=None) for n in (2, 3, 4))]
    assert not [lesson for lesson in distilled(tries, near, cpu) if "b: x" in lesson.text]
    far = [*first, *(evaluation(n, 2.0, paired=None) for n in (2, 3, 4))]
    (lesson,) = (lesson for lesson in distilled(tries, far, cpu) if "b: x" in lesson.text)
    assert (
        "makes it slower: 3 tries, 3 right, median ratio 0.26× the parent (timed apart, not side by side)"
        in lesson.text
    )
    one = [*far[:-1], evaluation(4, 8.6)]
    (paired,) = (lesson for lesson in distilled(tries, one, cpu) if "b: x" in lesson.text)
    assert "median gain of 1 that can be compared 1.10×" in paired.text
    assert paired.data["gains"] == [pytest.approx(8.6 / 7.8, abs=1e-4)], "pairs are never mixed with the others"


def test_the_seed_needs_no_pair(cpu: Device) -> None:
    seed = evaluation(0, 1.0, paired=None)
    seed = evolve(seed, profile={**seed.profile, "anchor": True})
    (trial,) = trials_of([SEED, candidate(1)], [seed, evaluation(1, 1.5)], cpu)
    assert trial.uncertainty == pytest.approx(0.001)


def test_what_does_nothing_again_and_again_is_told_as_that(cpu: Device) -> None:
    tries = [candidate(n, 0, "unroll", "unroll by N") for n in (1, 2, 3)]
    measured = [evaluation(0, 1.0), *(evaluation(n, gain) for n, gain in ((1, 1.0), (2, 1.01), (3, 0.99)))]
    (lesson,) = distilled([SEED, *tries], measured, cpu)
    assert lesson.text.endswith("3 tries, 3 right, no gain or loss beyond the 2% that is resolved here")
    assert distilled([SEED, *tries[:2]], measured[:3], cpu) == []


def test_one_small_loss_is_no_lesson_and_two_are(cpu: Device) -> None:
    tries = [candidate(n, 0, "unroll", "unroll by N") for n in (1, 2)]
    measured = [evaluation(0, 1.0), evaluation(1, 0.9), evaluation(2, 0.9)]
    assert distilled([SEED, tries[0]], measured[:2], cpu) == []
    (lesson,) = distilled([SEED, *tries], measured, cpu)
    assert "makes it slower: 2 tries, 2 right, median ratio 0.90×" in lesson.text


def test_failures_of_a_kind_are_remembered_and_accidents_are_not(cpu: Device) -> None:
    tries = [candidate(n, 0, "tile", "larger tiles") for n in (1, 2, 3)]
    wrong = {"outcome": Outcome.COMPILE_ERROR, "message": "line 3: use of undeclared identifier 'foo'"}
    measured = [evaluation(0, 1.0), *(evaluation(n, **wrong) for n in (1, 2))]
    (lesson,) = distilled([SEED, *tries], measured, cpu)
    assert lesson.bottleneck == Bottleneck.COMPILE_NAME
    assert "fails: 2 of 2 (compile-name; candidates 1, 2): line 3: use of undeclared identifier 'foo'" in lesson.text
    assert distilled([SEED, tries[0]], measured[:2], cpu) == []
    for accident in (Outcome.UNSTABLE, Outcome.DEVICE_LOST, Outcome.CONSTRAINT, Outcome.PLUGIN_BUG):
        busy = [evaluation(0, 1.0), *(evaluation(n, outcome=accident, message="m") for n in (1, 2, 3))]
        assert distilled([SEED, *tries], busy, cpu) == []


def test_no_lesson_tells_a_size_that_is_not_timed_or_a_value(cpu: Device) -> None:
    """What only checking knows must not reach later runs by way of their lessons."""
    for message, told in (
        (
            "output 'y' differs for rows=3,cols=7,x:float16 (large inputs): 7 of 21 elements are wrong; want 2.5",
            "output 'y' differs for a size that is not timed (large inputs)",
        ),
        ("y was written, 4 bytes from it (rows=65537,cols=3 (normal))", "from it (a size that is not timed (normal))"),
        (f"samples on {LABEL} vary", f"samples on {LABEL} vary"),
    ):
        wrong = [evaluation(n, outcome=Outcome.WRONG_RESULT, message=message) for n in (1, 2)]
        (lesson,) = distilled([SEED, candidate(1, note="x"), candidate(2, note="x")], [evaluation(0, 1.0), *wrong], cpu)
        assert lesson.text.endswith(told)
        assert "rows=3" not in str(lesson)
        assert "2.5" not in str(lesson)


def test_a_limit_of_the_hardware_is_remembered_from_the_first(cpu: Device) -> None:
    details = {"resource": "shared memory", "needed": 300_000, "limit": 232_448}
    measured = [
        evaluation(0, 1.0),
        evaluation(1, 1.0),
        evaluation(
            1, outcome=Outcome.RESOURCE_EXCEEDED, message="too much", details=details, configuration={"B": 2}, id=9
        ),
    ]
    (lesson,) = distilled([SEED, candidate(1, note="x")], measured, cpu)
    assert lesson.bottleneck == Bottleneck.RESOURCE_EXCEEDED
    assert lesson.text.startswith("shared memory: 1 configuration needed 300000; the device has 232448")
    assert lesson.data["needed"] == [300_000, 300_000]


def test_what_mended_a_broken_kernel_is_remembered(cpu: Device) -> None:
    tries = [candidate(1, 0, "model", "first draft"), candidate(2, 1, "model", "mask the tail")]
    measured = [
        evaluation(0, 1.0),
        evaluation(1, outcome=Outcome.OUT_OF_BOUNDS, message="written behind"),
        evaluation(2, 1.0),
    ]
    (lesson,) = distilled([SEED, *tries], measured, cpu)
    assert lesson.text.startswith("model: mask the tail mends a kernel that fails with out-of-bounds: 1 of 1 right")
    assert lesson.bottleneck == Bottleneck.OUT_OF_BOUNDS


def configured(number: int, *fitness: float, start: int = 0, name: str = "B") -> list[Evaluation]:
    """One evaluation per fitness, with the tunable 0, 1, 2 …"""
    return [
        evaluation(number, value, configuration={name: index}, id=start + index) for index, value in enumerate(fitness)
    ]


@pytest.mark.parametrize(
    ("parent", "child", "gain"),
    [
        # Both tuned alike: best against best.
        (configured(0, 1.0, 2.0), configured(1, 3.0, 1.0, start=9), 1.5),
        # The child was tried once, where the parent was plain: its loss to the tuned parent says nothing.
        (configured(0, 1.0, 5.0), configured(1, 1.5, start=9), 1.5),
        # It gains though it was tried less.
        (configured(0, 1.0, 2.0), configured(1, 3.0, start=9), 1.5),
        # It was tuned longer: only the configuration that both have counts.
        (configured(0, 1.0), configured(1, 1.2, 6.0, start=9), 1.2),
        # Tuned longer, and still slower.
        (configured(0, 2.0), configured(1, 1.0, 0.5, start=9), 0.5),
        # No tunable in common: the first that the child was tried with.
        (configured(0, 1.0, name="A"), configured(1, 1.2, 6.0, start=9), 1.2),
        # The parent never ran in the child's configuration, and was tried more often: nothing can be said.
        (configured(0, 1.0, 5.0), [evaluation(1, 2.0, configuration={"B": 7}, id=9)], None),
        # Of the same configuration the latest counts.
        (configured(0, 1.0), [*configured(1, 9.0, start=8), *configured(1, 1.5, start=9)], 1.5),
        # Only what is right counts.
        (configured(0, 1.0), [*configured(1, 1.5, start=8), evaluation(1, outcome=Outcome.WRONG_RESULT, id=9)], 1.5),
    ],
)
def test_kernels_are_compared_like_for_like(
    cpu: Device, parent: list[Evaluation], child: list[Evaluation], gain: float | None
) -> None:
    (trial,) = trials_of([SEED, candidate(1)], [*parent, *child], cpu)
    assert trial.gain == (None if gain is None else pytest.approx(gain))
    assert trial.failure is None


def test_a_run_that_only_tuned_says_so(cpu: Device) -> None:
    (lesson,) = distilled([SEED], configured(0, 1.0, 4.0), cpu)
    assert lesson.text == "Best of the run: candidate 0, 4.00× its seed when screened, with B=1; by: tuning alone"


def test_times_of_different_clocks_are_never_compared(cpu: Device) -> None:
    measured = [evaluation(0, 1.0), evaluation(1, 3.0, source=Source.HOST_WALL)]
    found = distilled([SEED, candidate(1, note="x")], measured, cpu)
    assert not [lesson for lesson in found if "gains" in lesson.data]


def test_an_emulated_gain_says_so(cpu: Device) -> None:
    measured = [evaluation(n, gain, source=Source.EMULATED_CYCLES) for n, gain in ((0, 1.0), (1, 3.0))]
    found = distilled([SEED, candidate(1, note="x")], measured, cpu)
    assert len(found) == 2
    assert all("(emulated)" in lesson.text for lesson in found)


def test_one_workload_s_evaluation_says_nothing_about_fitness(cpu: Device) -> None:
    measured = [evaluation(0, 1.0), evaluation(1, 9.0, workload=LABEL)]
    assert distilled([SEED, candidate(1, note="x")], measured, cpu) == []


def test_a_run_that_found_nothing_teaches_nothing(cpu: Device) -> None:
    assert distilled([], [], cpu) == []
    assert distilled([SEED], [evaluation(0, 1.0)], cpu) == []
    assert distilled([SEED, candidate(1)], [evaluation(0, outcome=Outcome.WRONG_RESULT)], cpu) == []


OUTCOMES = st.sampled_from([Outcome.CORRECT] * 6 + [Outcome.WRONG_RESULT, Outcome.COMPILE_ERROR, Outcome.UNSTABLE])


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Candidate], list[Evaluation]]:
    candidates, evaluations = [SEED], [evaluation(0, 1.0)]
    for number in range(1, draw(st.integers(1, 30))):
        parent = draw(st.integers(0, number - 1))
        operator = draw(st.sampled_from(["vectorise", "unroll", "model"]))
        note = draw(st.sampled_from(["by 4: x", "by 8: x", "fuse loops", "stage rows in local memory", ""]))
        candidates.append(candidate(number, parent, operator, note))
        fitness = draw(st.floats(0.1, 20.0))
        evaluations.append(evaluation(number, fitness, draw(OUTCOMES), gigabytes=draw(st.sampled_from([1, 9]))))
    return candidates, evaluations


@given(history=histories(), seed=st.randoms(use_true_random=False))
def test_lessons_rest_on_what_was_measured_and_on_nothing_else(cpu: Device, history: Any, seed: Any) -> None:
    candidates, evaluations = history
    found = distilled(candidates, evaluations, cpu)
    shuffled = [seed.sample(list(each), len(each)) for each in history]
    assert distilled(*shuffled, cpu) == found, "the order in which records come changes nothing"
    assert len(found) <= MOST_LESSONS
    assert len({lesson.text for lesson in found}) == len(found)
    fitness = {one.candidate: one.fitness for one in evaluations if one.outcome is Outcome.CORRECT}
    for lesson in found:
        assert lesson.bottleneck in {"", *Bottleneck}
        for (parent, child), gain in zip(lesson.data.get("pairs", ()), lesson.data.get("gains", ()), strict=False):
            assert gain == pytest.approx(fitness[child] / fitness[parent], abs=1e-4)
        if "median gain" in lesson.text:
            median = statistics.median(lesson.data["gains"])
            assert "helps sometimes" in lesson.text or median > 1.02
            told = re.search(r"median gain ([\d.]+)×", lesson.text)
            assert told
            assert float(told[1]) == pytest.approx(median, abs=0.006)
        if "makes it slower" in lesson.text:
            assert statistics.median(lesson.data["gains"]) < 0.98
        if lesson.text.startswith("Best of the run"):
            assert lesson.data["fitness"] == max(fitness.values())
            assert lesson.data["line"][0] == 0
            assert lesson.data["line"][-1] == lesson.data["best"]


@pytest.mark.slow
def test_a_real_run_teaches_what_its_store_says(store: Store) -> None:
    quick = Settings(protocol=Protocol(screen_rounds=3, confirm_rounds=3, seconds=0.2))
    result = kernelevolve.evolve(
        samples.problem(),
        "reference",
        start=parse_kernel(samples.TUNED),
        budget=kernelevolve.Budget(evaluations=8),
        store=store,
        settings=quick,
        eager=False,
    )
    run = store.run(result.run)
    candidates, evaluations = list(store.candidates(run.id)), list(store.evaluations(run.id))
    device, problem = structure(dict(run.description), Device), samples.problem()
    lessons = distil(run, candidates, evaluations, device, problem)
    best = max(evaluations, key=lambda one: one.fitness or 0.0)
    assert best.fitness
    assert lessons[0].data["best"] == best.candidate
    assert f"{best.fitness:.2f}× its seed when screened (emulated)" in lessons[0].text
    for lesson in lessons:
        store.lessons.add(lesson)
    seen = relevant(store, problem, run.accelerator, device, run.language, limit=99)
    assert {lesson.text for lesson in lessons} <= {lesson.text for lesson in seen}
