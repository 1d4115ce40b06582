"""Kernels against PyTorch: paired on one clock, on inputs nobody has seen, each failure with its owner's name."""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Callable

import pytest
from attrs import evolve

from kernelevolve import Problem, parse_kernel, registry
from kernelevolve.accelerator import Source
from kernelevolve.evaluation.confirm import Side, SideError
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.records import Timing
from kernelevolve.evaluation.torch_baseline import TorchBaseline
from kernelevolve.evaluation.versus import Versus, versus
from kernelevolve.outcome import Implausible, Outcome
from kernelevolve.testing import samples

from .conftest import WORKLOAD

QUICK = Protocol(warmup=1, confirm_rounds=8, seconds=0.5)
FAST, SLOW = (Side(name, parse_kernel(text), {}) for name, text in (("fast", samples.GOOD), ("slow", samples.SLOW)))
#: The affine problem with an alternative that is right, one that is wrong, and one that gives up once it is warm.
FILE = """
from attrs import evolve
from kernelevolve.testing import samples

calls = [0]

def tired(**inputs):
    calls[0] += 1
    if calls[0] > 20:
        raise RuntimeError("enough")
    return samples.problem().reference(**inputs)

def twin(x): return x + x + 1
def off(x): return 2 * x + 2
def stops(x): return tired(x=x)

problem = evolve(samples.problem(), baselines={"twin": twin, "off": off, "tired": stops})
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("problem") / "affine.py"
    path.write_text(FILE)
    return f"{path}:problem"


@pytest.fixture(scope="module")
def problem(reference: str) -> Problem:
    return registry.problem(reference)


def _meet(evaluator: Evaluator, problem: Problem, reference: str, names: list[str], *sides: Side) -> Versus:
    evaluator.problem = problem
    with TorchBaseline(threads=1) as torch:
        return versus(evaluator, WORKLOAD, sides, torch, reference, implementations=names, protocol=QUICK)


def test_ratios_are_paired_on_one_clock_and_a_bad_implementation_is_named_and_never_the_one_to_beat(
    rogue_evaluator: Callable[..., Evaluator], problem: Problem, reference: str
) -> None:
    names = ["eager", "eager:twin", "eager:off", "eager:tired"]
    found = _meet(rogue_evaluator("honest-clock:0.002"), problem, reference, names, FAST, SLOW)
    assert set(found.comparisons) == {(name, side) for name in names[:3] for side in ("fast", "slow")}
    assert {timing.source for timing in found.torch.values()} == {Source.HOST_WALL}
    for side in ("fast", "slow"):
        ours = found.kernels[side].host
        ratios = [theirs / mine for theirs, mine in zip(found.torch["eager"].samples, ours, strict=True)]
        assert found.comparisons["eager", side].ratio == pytest.approx(statistics.median(ratios), rel=1e-3)
        assert found.comparisons["eager", side].rounds >= QUICK.confirm_rounds
    assert set(found.differences) == {"eager:off"}
    assert found.differences["eager:off"].startswith("WRONG_RESULT")
    assert set(found.failures) == {"eager:tired"}
    assert "enough" in found.failures["eager:tired"]  # half way, and the others went on
    assert found.best in ("eager", "eager:twin")
    assert found.settings["TF32 in matmul"] == "False"
    assert found.built["eager"]["graphs"] == 0


def test_a_wrong_implementation_alone_is_nothing_to_beat() -> None:
    timing = Timing("w", (1.0,), Source.HOST_WALL)
    found = Versus("w", {}, {"eager": timing, "compile": timing}, {}, {}, {"eager": "off", "compile": "off"}, {}, {})
    assert found.best is None
    assert evolve(found, differences={"eager": "off"}).best == "compile"


def test_a_kernel_that_is_wrong_here_is_blamed_by_its_name(
    rogue_evaluator: Callable[..., Evaluator], problem: Problem, reference: str
) -> None:
    bad = Side("candidate", parse_kernel(samples._with("x[row] = x[row] * 1.001")), {})
    with pytest.raises(SideError) as caught:
        _meet(rogue_evaluator("honest-clock:0.002"), problem, reference, ["eager"], FAST, bad)
    assert caught.value.side == "candidate"
    assert caught.value.error.outcome is Outcome.INPUT_MODIFIED


def test_emulated_cycles_are_never_compared_with_pytorchs_clock(
    rogue_evaluator: Callable[..., Evaluator], problem: Problem, reference: str
) -> None:
    with pytest.raises(Implausible, match="different clocks"):
        _meet(rogue_evaluator(), problem, reference, ["eager"], FAST)


@pytest.mark.opencl
def test_a_real_kernel_meets_pytorch_on_the_same_processor() -> None:
    problem = registry.problem("softmax")
    workload = problem.tagged("smoke")[0]
    made = registry.accelerator("opencl")
    device = next(device for device in made.devices() if device.host_threads)
    kernel = parse_kernel(problem.seeds["opencl"])
    with (
        TorchBaseline(threads=device.host_threads or 0) as torch,
        Evaluator(problem, made, device, workloads=[workload], path="opencl", secret=secrets.randbits(62)) as evaluator,
    ):
        evaluator.settings = evolve(evaluator.settings, protocol=QUICK)
        found = versus(
            evaluator, workload, [Side("seed", kernel, kernel.default)], torch, "softmax", implementations=["eager"]
        )
    assert (found.best, found.differences, found.failures) == ("eager", {}, {})
    assert found.kernels["seed"].flushed
    assert found.comparisons["eager", "seed"].ratio > 0
