"""The runner keeps account of what the worker holds, also across workers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from kernelevolve import parse_kernel
from kernelevolve.evaluation import runner as module
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import CompileError, Outcome
from kernelevolve.plan import Role
from kernelevolve.testing import samples

from .conftest import WORKLOAD


@pytest.fixture
def evaluator(rogue_evaluator: Callable[..., Evaluator]) -> Evaluator:
    return rogue_evaluator()


@pytest.fixture
def asked(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every operation that goes to the worker, in order."""
    operations: list[str] = []
    real = evaluator.worker.request

    def request(op: str, *rest: object, **how: object) -> object:
        operations.append(op)
        return real(op, *rest, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluator.worker, "request", request)
    return operations


def test_a_program_is_compiled_once_and_loaded_into_each_new_worker(
    evaluator: Evaluator, good: Kernel, asked: list[str]
) -> None:
    plan = evaluator.gate.plan(good, {}, WORKLOAD)
    for _ in range(3):
        evaluator.runner.program(plan)
    assert asked == ["compile"]
    evaluator.worker.stop()
    evaluator.runner.program(plan)
    assert asked == ["compile", "load"]


def test_a_compile_error_is_raised_again_without_asking(evaluator: Evaluator, asked: list[str]) -> None:
    plan = evaluator.gate.plan(parse_kernel(samples.FAILING[Outcome.COMPILE_ERROR]), {}, WORKLOAD)
    for _ in range(2):
        with pytest.raises(CompileError, match="undefined"):
            evaluator.runner.program(plan)
    assert asked == ["compile"]


def test_old_programs_are_dropped(evaluator: Evaluator, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROGRAMS", 2)
    kernel = parse_kernel(samples.TUNED)
    for lanes in (1, 2, 4, 1):
        evaluator.runner.program(evaluator.gate.plan(kernel, {"LANES": lanes, "DEPTH": 2}, WORKLOAD))
    assert asked == ["compile", "compile", "compile", "drop", "load", "drop"]


def test_a_fresh_worker_is_filled_again_without_anybody_noticing(
    evaluator: Evaluator, good: Kernel, asked: list[str]
) -> None:
    contestant = evaluator.contestant(good, {}, WORKLOAD)
    first = evaluator.runner.rounds([contestant], 3, random.Random(0), flush=False)
    evaluator.worker.stop()
    asked.clear()
    second = evaluator.runner.rounds([contestant], 3, random.Random(0), flush=False)
    assert [len(found[contestant.name]) for found in (first, second)] == [3, 3]
    assert {"load", "stage", "prepare"} <= set(asked)
    outputs = evaluator.runner.read(contestant.handle(0), contestant.plan, [Role.OUTPUT], guards=False)
    evaluator.book.rotations(WORKLOAD, 1)[0].check("y", outputs["y"])


def test_preparing_twice_and_releasing_unknown_handles_are_no_ops(
    evaluator: Evaluator, good: Kernel, asked: list[str]
) -> None:
    contestant = evaluator.contestant(good, {}, WORKLOAD)
    evaluator.runner.enter(contestant)
    asked.clear()
    evaluator.runner.enter(contestant)
    evaluator.runner.release(["nobody"])
    assert asked == []
    evaluator.runner.leave(contestant)
    assert asked == ["release"] * len(contestant.rotations)


def test_inputs_are_sent_once_and_forgotten_on_demand(evaluator: Evaluator, good: Kernel, asked: list[str]) -> None:
    contestant = evaluator.contestant(good, {}, WORKLOAD)
    evaluator.runner.enter(contestant)
    evaluator.runner.leave(contestant)
    evaluator.runner.enter(contestant)
    keys = [staged.key for staged in contestant.rotations]
    assert asked.count("stage") == len(keys)
    evaluator.runner.unstage([*keys, "unknown"])
    assert asked.count("unstage") == len(keys)


def test_rounds_give_every_side_its_samples_on_rotating_inputs(evaluator: Evaluator) -> None:
    fast, slow = (evaluator.contestant(parse_kernel(text), {}, WORKLOAD) for text in (samples.GOOD, samples.SLOW))
    found = evaluator.runner.rounds([fast, slow], 7, random.Random(1), flush=True)
    assert {len(samples_) for samples_ in found.values()} == {7}
    assert {sample.cycles for sample in found[fast.name]} == {16 * 32 * 10}
    assert {sample.cycles for sample in found[slow.name]} == {16 * 32 * 20}


def test_repeated_launches_give_one_sample_per_launch_averaged(evaluator: Evaluator, good: Kernel) -> None:
    contestant = evaluator.contestant(good, {}, WORKLOAD)
    samples_, wall = evaluator.runner.sample([(contestant, 0), (contestant, 1)], flush=False, launches=5)
    assert [sample.launches for sample in samples_] == [5, 5]
    assert {sample.cycles for sample in samples_} == {16 * 32 * 10}
    assert wall > 0


def test_reading_with_guards_gives_them_on_both_sides(evaluator: Evaluator, good: Kernel) -> None:
    contestant = evaluator.contestant(good, {}, WORKLOAD)
    evaluator.runner.enter(contestant)
    raw = evaluator.runner.read(contestant.handle(0), contestant.plan, Role, guards=True)
    size = 16 * 32 * 4
    assert {name: len(data) for name, data in raw.items()} == dict.fromkeys("xy", size + 2 * module.GUARD)
    assert raw["x"][module.GUARD : -module.GUARD] == contestant.rotations[0].inputs["x"]
    assert set(raw["y"][: module.GUARD]) == {module.POISON}
