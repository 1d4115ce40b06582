"""The whole pipeline on real worker processes, with kernels that fail in every way there is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.accelerator import Source
from kernelevolve.evaluation.isolation import Limits, Worker
from kernelevolve.evaluation.measure import Protocol, Verdict
from kernelevolve.evaluation.pipeline import ROTATIONS, Anchor, Evaluator, Settings
from kernelevolve.evaluation.records import Evaluation, Stage
from kernelevolve.outcome import Outcome
from kernelevolve.testing import samples

WORKLOAD = Workload.parse("rows=16,cols=32")
SETTINGS = Settings(
    limits=Limits(run_seconds=1.0, compile_seconds=1.5, memory=1 << 30),
    protocol=Protocol(screen_rounds=8, warmup=1, unstable=0.2),
)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    made = registry.accelerator("reference")
    device = registry.find_device(made)
    with Evaluator(
        samples.problem(), made, device, workloads=[WORKLOAD], path="reference", settings=SETTINGS, secret=7
    ) as opened:
        opened.warm_up()
        yield opened


def anchor(evaluation: Evaluation, text: str) -> Anchor:
    kernel = parse_kernel(text)
    seconds = {timing.workload: timing.seconds for timing in evaluation.timings}
    return Anchor(kernel, kernel.default, 1.0, seconds, Source.EMULATED_CYCLES)


def test_a_right_kernel_is_correct_with_its_time_and_origin(evaluator: Evaluator) -> None:
    found = evaluator.evaluate(parse_kernel(samples.GOOD))
    assert (found.outcome, found.stage, found.fitness) == (Outcome.CORRECT, Stage.SCREEN, 1.0)
    timing = found.timings[0]
    assert timing.workload == WORKLOAD.label
    assert timing.source is Source.EMULATED_CYCLES
    assert found.checks.passed == found.checks.planned > 0
    assert len(timing.samples) == ROTATIONS  # cycles that repeat exactly: one for each set of inputs says it all


@pytest.mark.parametrize("outcome", sorted(samples.FAILING))
def test_every_way_to_fail_is_named_and_the_next_candidate_is_clean(evaluator: Evaluator, outcome: Outcome) -> None:
    found = evaluator.evaluate(parse_kernel(samples.FAILING[outcome]))
    assert found.outcome is outcome, f"{found.stage}: {found.message}"
    assert found.message
    assert found.fitness == 0.0
    assert evaluator.evaluate(parse_kernel(samples.GOOD)).outcome is Outcome.CORRECT


def test_a_kernel_twice_as_expensive_has_half_the_fitness(evaluator: Evaluator) -> None:
    seed = evaluator.evaluate(parse_kernel(samples.GOOD))
    found = evaluator.evaluate(parse_kernel(samples.SLOW), anchor=anchor(seed, samples.GOOD))
    assert found.fitness == pytest.approx(0.5, rel=0.02)


def test_identical_kernels_are_never_called_faster_or_slower(evaluator: Evaluator) -> None:
    seed = evaluator.evaluate(parse_kernel(samples.GOOD))
    twin = parse_kernel(samples.GOOD + "\n# another comment\n")
    paired = evaluator.evaluate(twin, anchor=anchor(seed, samples.GOOD)).timings[0].paired
    assert paired is not None
    assert paired.verdict in (Verdict.SAME, Verdict.UNCLEAR)


def test_a_plan_of_two_launches_with_scratch_is_right(evaluator: Evaluator) -> None:
    assert evaluator.evaluate(parse_kernel(samples.TWO_LAUNCHES)).outcome is Outcome.CORRECT


def test_a_kernel_that_loops_for_ever_is_stopped_within_its_limit_plus_a_second(evaluator: Evaluator) -> None:
    evaluator.evaluate(parse_kernel(samples.GOOD))
    begin = time.monotonic()
    found = evaluator.evaluate(parse_kernel(samples.FAILING[Outcome.RUN_TIMEOUT]))
    assert found.outcome is Outcome.RUN_TIMEOUT
    assert time.monotonic() - begin < SETTINGS.limits.run_seconds + 1.0


def test_a_candidate_that_serves_only_some_sizes_is_checked_on_those(evaluator: Evaluator) -> None:
    text = samples.GOOD.replace('# language = "reference"', '# language = "reference"\n# when = "cols >= 8"')
    found = evaluator.evaluate(parse_kernel(text))
    assert found.outcome is Outcome.CORRECT
    assert found.checks.unserved > 0
    assert found.checks.passed + found.checks.unserved == found.checks.planned


def test_a_candidate_that_does_not_serve_what_is_timed_is_out(evaluator: Evaluator) -> None:
    text = samples.GOOD.replace('# language = "reference"', '# language = "reference"\n# when = "cols >= 64"')
    assert evaluator.evaluate(parse_kernel(text)).outcome is Outcome.CONSTRAINT


def test_leaving_the_evaluator_leaves_no_process_and_no_folder() -> None:
    made = registry.accelerator("reference")
    device = registry.find_device(made)
    with Evaluator(
        samples.problem(), made, device, workloads=[WORKLOAD], path="reference", settings=SETTINGS, secret=7
    ) as opened:
        opened.evaluate(parse_kernel(samples.GOOD))
        pid = opened.worker.pid
        assert pid is not None
        folder = psutil.Process(pid).cwd()
        assert psutil.Process(pid).environ().keys().isdisjoint({"ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"})
    assert not psutil.pid_exists(pid)
    assert not os.path.exists(folder)  # noqa: PTH110  # a path of another process, as text


def test_keys_in_the_environment_do_not_reach_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-secret")
    monkeypatch.setenv("SOME_TOKEN", "planted-secret")
    made = registry.accelerator("reference")
    with Evaluator(
        samples.problem(),
        made,
        registry.find_device(made),
        workloads=[WORKLOAD],
        path="reference",
        settings=SETTINGS,
        secret=7,
    ) as opened:
        opened.worker.start()
        assert opened.worker.pid is not None
        assert "planted-secret" not in " ".join(psutil.Process(opened.worker.pid).environ().values())


def test_a_candidate_that_serves_no_hidden_size_is_checked_on_what_it_serves(evaluator: Evaluator) -> None:
    rows, cols = WORKLOAD.axes["rows"], WORKLOAD.axes["cols"]
    header = f'# language = "reference"\n# when = "rows == {rows} and cols == {cols}"'
    right = evaluator.evaluate(parse_kernel(samples.GOOD.replace('# language = "reference"', header)))
    assert right.outcome is Outcome.CORRECT
    assert right.checks.passed >= 3
    # Right for the inputs that are timed, and for no other kind of them.
    tuned_to_normal = samples.GOOD.replace('# language = "reference"', header).replace(
        "2 * x[row : row + cols] + 1", "np.clip(2 * x[row : row + cols] + 1, -50, 50)"
    )
    wrong = evaluator.evaluate(parse_kernel(tuned_to_normal))
    assert wrong.outcome is Outcome.WRONG_RESULT
    assert "large" in wrong.message


@pytest.mark.parametrize("answers", [3, 17])
def test_an_interruption_is_no_outcome_and_the_next_candidate_is_clean(
    evaluator: Evaluator, answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes while the engine waits for the worker: between a request and its answer."""
    kernel = parse_kernel(samples.GOOD)
    assert evaluator.evaluate(kernel).outcome is Outcome.CORRECT
    receive, left = Worker._receive, [answers]

    def interrupted(worker: Worker, nonce: str, deadline: float, expect: int) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return receive(worker, nonce, deadline, expect)

    monkeypatch.setattr(Worker, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluator.evaluate(kernel)
    assert evaluator.worker.pid is None
    assert evaluator.evaluate(kernel).outcome is Outcome.CORRECT
