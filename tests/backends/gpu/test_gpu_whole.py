"""Whole evaluations on a session, with nothing replaced but the driver."""

from __future__ import annotations

import pytest

from kernelevolve import registry
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Workload

from .pretended import PATH, TELEMETRY, Pretended

WORKLOAD = Workload.parse("rows=64,cols=256")


@pytest.fixture(scope="module")
def seed() -> Kernel:
    return parse_kernel(registry.problem("softmax").seeds["triton"], name="seed")


def evaluate(kernel: Kernel) -> Evaluation:
    made = Pretended()
    (device,) = (one for one in made.devices() if one.realm.has_clock)
    with Evaluator(registry.problem("softmax"), made, device, workloads=[WORKLOAD], path=PATH, secret=1) as evaluator:
        return evaluator.evaluate(kernel)


def test_a_right_kernel_is_right_and_timed(seed: Kernel) -> None:
    found = evaluate(seed)
    assert found.outcome is Outcome.CORRECT, found.message
    (timing,) = found.timings
    assert timing.source == "device-event"
    assert timing.seconds == pytest.approx(50e-6, rel=0.05)
    assert found.profile["device"][WORKLOAD.label]["telemetry"] == TELEMETRY
    assert "power cap" in found.message
