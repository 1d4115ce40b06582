"""Which lessons a later run sees, in which order, and how they read."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from kernelevolve import registry
from kernelevolve.accelerator import Device
from kernelevolve.knowledge import Bottleneck, relevant, render_lesson
from kernelevolve.store import Lesson, Store

SOFTMAX = registry.problem("softmax")

HERE = Lesson("here", "softmax", "opencl", "cpu", "opencl", "memory-bound", "r1", {"pattern": "row_reduction"})
KEPT = {
    "here": HERE,
    "here, other bottleneck": evolve(HERE, bottleneck="spilling"),
    "other device": evolve(HERE, device="other"),
    "other accelerator": evolve(HERE, accelerator="opencl-2", device="x"),
    "other language": evolve(HERE, language="triton", accelerator="triton-cuda"),
    "same pattern here": evolve(HERE, problem="rms_norm"),
    "same pattern elsewhere": evolve(HERE, problem="rms_norm", device="other"),
    "other pattern": evolve(HERE, problem="matmul", data={"pattern": "matmul"}),
    "switched off": evolve(HERE, active=False),
    "for every problem": Lesson("", "*", "", "", ""),
    "by hand": Lesson("", "softmax", "", "", "opencl"),
}


@pytest.fixture
def taught(store: Store) -> Store:
    for name, lesson in KEPT.items():
        kept = store.lessons.add(evolve(lesson, text=name))
        if not lesson.active:
            store.lessons.change(kept.id, active=False)
    return store


def recalled(store: Store, **more: Any) -> list[str]:
    return [lesson.text for lesson in relevant(store, SOFTMAX, "opencl", "cpu", "opencl", **more)]


def test_the_nearest_lessons_come_first_and_silenced_ones_never(taught: Store) -> None:
    found = recalled(taught, limit=20)
    assert set(found[:4]) == {"here", "here, other bottleneck", "for every problem", "by hand"}
    assert set(found[4:6]) == {"other device", "other accelerator"}
    assert found[6:] == ["same pattern here"]


def test_lessons_on_the_bottleneck_at_hand_come_first_among_equals(taught: Store) -> None:
    assert recalled(taught, bottleneck=Bottleneck.SPILLING)[0] == "here, other bottleneck"
    assert recalled(taught, bottleneck=Bottleneck.MEMORY_BOUND)[0] == "here"
    assert recalled(taught, bottleneck=Bottleneck.SPILLING, limit=1) == ["here, other bottleneck"]


def test_the_same_words_are_recalled_once(store: Store) -> None:
    for run in ("r1", "r2"):
        store.lessons.add(evolve(HERE, run=run))
    assert recalled(store) == ["here"]


def test_what_a_run_found_most_informative_comes_first_and_later_runs_before_earlier_ones(store: Store) -> None:
    for run in ("r1", "r2"):
        for rank in ("first", "second"):
            store.lessons.add(evolve(HERE, run=run, text=f"{rank} of {run}"))
    assert recalled(store) == ["first of r2", "first of r1", "second of r2", "second of r1"]


def test_a_problem_of_no_pattern_has_no_kin(store: Store) -> None:
    store.lessons.add(evolve(HERE, problem="rms_norm", data={"pattern": "generic"}))
    plain = evolve(SOFTMAX, pattern="generic")
    assert relevant(store, plain, "opencl", "cpu", "opencl") == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Best of the run: candidate 3, 60.94× its seed", "Best of the run: candidate 3 of that run, 60.94× its seed"),
        ("candidate 12, 4 accumulators", "candidate 12 of that run, 4 accumulators"),
        ("Candidate 1's row pass", "Candidate 1 of that run's row pass"),
        ("fails (candidates 1, 22): no", "fails (candidates 1, 22 of that run): no"),
        ("candidates 10 → 31, 2.5× each", "candidates 10 → 31 of that run, 2.5× each"),
        ("12 candidates were tried", "12 candidates were tried"),
    ],
)
def test_candidates_of_another_run_are_never_named_without_it(text: str, shown: str) -> None:
    told = render_lesson(evolve(HERE, text=text), problem="softmax", accelerator="opencl", device="cpu")
    assert told == f"{shown} [this device, run r1]"


@pytest.mark.parametrize(
    ("lesson", "shown"),
    [
        (HERE, "here [this device, run r1]"),
        (evolve(HERE, device="other"), "here [another device (opencl: other), run r1]"),
        (evolve(HERE, problem="rms_norm"), "here [problem rms_norm, this device, run r1]"),
        (evolve(HERE, accelerator="mtia", device="mtia2i"), "here [another device (mtia: mtia2i), run r1]"),
        (
            evolve(HERE, text="like candidate 3: gain 2× (candidates 0 → 14), and 4 tries"),
            "like candidate 3 of that run: gain 2× (candidates 0 → 14 of that run), and 4 tries [this device, run r1]",
        ),
        (Lesson("pad rows", "*", "", "", ""), "pad rows [written by a person]"),
        (Lesson("pad rows", "softmax", "opencl", "", ""), "pad rows [written by a person]"),
    ],
)
def test_a_lesson_says_where_it_comes_from(lesson: Lesson, shown: str, cpu: Device) -> None:
    assert render_lesson(lesson, problem="softmax", accelerator="opencl", device=cpu) == shown
    assert render_lesson(lesson, problem="softmax", accelerator="opencl", device="cpu") == shown
