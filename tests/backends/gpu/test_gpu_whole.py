"""Whole evaluations on a session, with nothing replaced but the driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelevolve import registry
from kernelevolve.evaluation.pipeline import Anchor, Evaluator
from kernelevolve.evaluation.records import Evaluation, Stage
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.outcome import Outcome, WrongResult
from kernelevolve.problem import Workload

from .pretended import PATH, TELEMETRY, Pretended

WORKLOAD = Workload.parse("rows=64,cols=256")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have workers find the module of the pretended GPU."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    made = Pretended()
    (device,) = (one for one in made.devices() if one.realm.has_clock)
    with Evaluator(registry.problem("softmax"), made, device, workloads=[WORKLOAD], path=PATH, secret=1) as opened:
        yield opened


@pytest.fixture
def seed() -> Kernel:
    """Four warps by default."""
    text = registry.problem("softmax").seeds["triton"]
    return parse_kernel(text.replace("# [[launch]]", "# num_warps = [4, 1, 2, 8]\n# [[launch]]"), name="seed")


def anchor_of(kernel: Kernel, found: Evaluation) -> Anchor:
    seconds = {timing.workload: timing.seconds for timing in found.timings}
    return Anchor(kernel, kernel.default, 1.0, seconds, found.timings[0].source)


def test_a_right_kernel_is_right_and_timed(evaluator: Evaluator, seed: Kernel) -> None:
    found = evaluator.evaluate(seed)
    assert found.outcome is Outcome.CORRECT, found.message
    (timing,) = found.timings
    assert timing.source == "device-event"
    assert timing.seconds == pytest.approx(50e-6, rel=0.05)
    assert found.profile["device"][WORKLOAD.label]["telemetry"] == TELEMETRY
    assert "power cap" in found.message
    assert (found.checks.passed, found.checks.skipped) == (found.checks.planned, 0)


def test_a_further_configuration_is_checked_on_everything_once_it_is_faster(evaluator: Evaluator, seed: Kernel) -> None:
    first = evaluator.evaluate(seed)
    anchor, brief = anchor_of(seed, first), evaluator.settings.brief_cases
    slower = evaluator.evaluate(seed, seed.configuration({"num_warps": 8}), anchor)
    assert slower.outcome is Outcome.CORRECT, slower.message
    assert (slower.checks.passed, slower.checks.skipped) == (brief, first.checks.planned - brief)
    process = evaluator.worker.generation
    evaluator.check(seed, seed.default)  # has passed them all
    assert evaluator.worker.generation == process
    evaluator.check(seed, seed.configuration({"num_warps": 8}))  # has not, until now
    assert evaluator.worker.generation == process + 1
    faster = evaluator.evaluate(seed, seed.configuration({"num_warps": 2}), anchor)
    assert faster.outcome is Outcome.CORRECT, faster.message
    assert (faster.checks.passed, faster.checks.skipped, faster.stage) == (first.checks.planned, 0, Stage.SCREEN)
    assert faster.fitness == pytest.approx(2.0, rel=0.1)


def test_what_few_cases_do_not_show_all_of_them_do(
    evaluator: Evaluator, seed: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluator.evaluate(seed)
    one_warp = seed.configuration({"num_warps": 1})  # wrong for rows of odd length, and faster
    even = [case for case in evaluator.book.checks() if case.workload.axes["cols"] % 2 == 0]
    odd = [case for case in evaluator.book.checks() if case not in even]
    monkeypatch.setattr(Evaluator, "cases", lambda *_: (even, odd))
    found = evaluator.evaluate(seed, one_warp, anchor_of(seed, first))
    assert (found.outcome, found.stage) == (Outcome.WRONG_RESULT, Stage.CHECK)
    assert (found.timings, found.fitness) == ((), 0.0)
    with pytest.raises(WrongResult):
        evaluator.check(seed, one_warp)
