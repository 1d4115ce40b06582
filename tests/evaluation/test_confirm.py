"""The last stage: fresh process, fresh secrets, every side named when it fails, and clocks that must agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve

from kernelevolve import parse_kernel
from kernelevolve.accelerator import Source
from kernelevolve.evaluation.confirm import ROTATIONS, Side, SideError, confirm
from kernelevolve.evaluation.measure import Protocol, Verdict
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.outcome import CandidateError, Implausible, Outcome
from kernelevolve.testing import samples

from .conftest import WORKLOAD

QUICK = Protocol(warmup=1, confirm_rounds=12, seconds=1.0)
GOOD, SLOW = (Side(name, parse_kernel(text), {}) for name, text in (("fast", samples.GOOD), ("slow", samples.SLOW)))


def test_the_ratio_of_two_sides_is_found_with_its_verdict(rogue_evaluator: Callable[..., Evaluator]) -> None:
    found = confirm(rogue_evaluator(), WORKLOAD, [SLOW, GOOD], baselines=["slow"], protocol=QUICK)
    paired = found.comparisons["slow", "fast"]
    assert (paired.ratio, paired.verdict) == (pytest.approx(2.0, rel=1e-3), Verdict.FASTER)
    assert set(found.comparisons) == {("slow", "fast")}
    assert (found.eager, found.eager_description) == (None, "")
    assert found.timings["fast"].source is Source.EMULATED_CYCLES
    assert paired.rounds == ROTATIONS  # a clock without noise: one round for each set of inputs says it all


def test_cycles_with_noise_are_sampled_until_they_settle(rogue_evaluator: Callable[..., Evaluator]) -> None:
    noisy = Side("slow", parse_kernel(samples.SLOW.replace("COST", "NOISE = 0.01\nCOST")), {})
    found = confirm(rogue_evaluator(), WORKLOAD, [noisy, GOOD], baselines=["slow"], protocol=QUICK)
    paired = found.comparisons["slow", "fast"]
    assert paired.rounds >= QUICK.confirm_rounds
    assert paired.low < paired.ratio < paired.high


def test_any_difference_counts_on_a_clock_without_noise(rogue_evaluator: Callable[..., Evaluator]) -> None:
    slightly = Side("slow", parse_kernel(samples.GOOD.replace("rows * cols * 10", "rows * cols * 10 + 1")), {})
    found = confirm(rogue_evaluator(), WORKLOAD, [slightly, GOOD], baselines=["slow"], protocol=QUICK)
    paired = found.comparisons["slow", "fast"]
    assert 1 < paired.ratio < 1 + QUICK.resolution
    assert paired.verdict is Verdict.FASTER


def test_a_confirmation_runs_in_a_fresh_process_on_fresh_secrets(rogue_evaluator: Callable[..., Evaluator]) -> None:
    evaluator = rogue_evaluator()
    evaluator.evaluate(GOOD.kernel)
    before, generation = evaluator.worker.pid, evaluator.worker.generation
    confirm(evaluator, WORKLOAD, [SLOW, GOOD], baselines=["slow"], protocol=QUICK)
    assert evaluator.worker.generation == generation + 1
    assert evaluator.worker.pid != before


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("y[row] = 9.0", Outcome.WRONG_RESULT),
        ("x[row] = x[row] * 1.001", Outcome.INPUT_MODIFIED),
        ("store(y, -1, 0.0)", Outcome.OUT_OF_BOUNDS),
        ("crash()", Outcome.DEVICE_FAULT),
    ],
)
def test_a_side_that_turns_bad_is_blamed_by_its_name(
    rogue_evaluator: Callable[..., Evaluator], line: str, outcome: Outcome
) -> None:
    bad = Side("candidate", parse_kernel(samples._with(line)), {})
    with pytest.raises(SideError, match=r"^candidate: ") as caught:
        confirm(rogue_evaluator(), WORKLOAD, [GOOD, bad], baselines=["fast"], protocol=QUICK)
    assert caught.value.side == "candidate"
    assert caught.value.error.outcome is outcome


@pytest.mark.parametrize("habit", ["clock:0.02", "clock:0.05"])
def test_a_clock_that_lies_is_implausible(rogue_evaluator: Callable[..., Evaluator], habit: str) -> None:
    with pytest.raises(SideError, match="claims") as caught:
        confirm(rogue_evaluator(habit), WORKLOAD, [GOOD, SLOW], baselines=["fast"], protocol=QUICK)
    assert isinstance(caught.value.error, Implausible)


def test_times_of_two_clocks_are_never_compared(rogue_evaluator: Callable[..., Evaluator]) -> None:
    protocol = evolve(QUICK, short=1e-12)
    with pytest.raises((SideError, CandidateError)) as caught:
        confirm(rogue_evaluator("two-clocks"), WORKLOAD, [GOOD, SLOW], baselines=["fast"], protocol=protocol)
    error = caught.value.error if isinstance(caught.value, SideError) else caught.value
    assert isinstance(error, Implausible)


def test_against_eager_pytorch_both_sides_are_on_the_host_clock(rogue_evaluator: Callable[..., Evaluator]) -> None:
    evaluator = rogue_evaluator("honest-clock:0.002")
    evaluator.device = evolve(evaluator.device, host_threads=1)
    found = confirm(evaluator, WORKLOAD, [GOOD, SLOW], baselines=["fast"], eager=True, protocol=QUICK)
    assert found.eager is not None
    assert found.eager.source is Source.HOST_WALL
    assert "1 threads" in found.eager_description
    for name in ("fast", "slow"):
        timing = found.timings[name]
        want = sorted(theirs / ours for theirs, ours in zip(found.eager.samples, timing.host, strict=True))
        middle = (want[len(want) // 2] + want[(len(want) - 1) // 2]) / 2
        assert found.comparisons["eager", name].ratio == pytest.approx(middle, rel=0.2)


def test_without_a_host_device_there_is_no_eager_side(rogue_evaluator: Callable[..., Evaluator]) -> None:
    found = confirm(rogue_evaluator(), WORKLOAD, [GOOD, SLOW], baselines=["fast"], eager=True, protocol=QUICK)
    assert found.eager is None
