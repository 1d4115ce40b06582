"""The accelerator through real compilers and a real worker: every outcome that a kernel can earn on this chip."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from attrs import evolve

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.accelerator import Realm, Source
from kernelevolve.evaluation.confirm import Side, confirm
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.measure import Verdict
from kernelevolve.evaluation.pipeline import ROTATIONS, Anchor, Evaluator, Settings
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import Outcome
from kernelevolve.testing import samples

WORKLOAD = Workload.parse("rows=256,cols=256")
SETTINGS = Settings(limits=Limits(run_seconds=20.0))
GOOD = """# /// kernel
# language = "triton"
# [tune]
# BLOCK = [256, 1024]
# use_dual_core = [0, 1]
# [[launch]]
# entry = "affine"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { total = "rows * cols" }
# ///
import triton
import triton.language as tl


@triton.jit
def affine(x, y, total, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < total)
    tl.store(y + at, 2 * value + 1, mask=at < total)
"""


def changed(old: str, new: str) -> Kernel:
    assert old in GOOD
    return parse_kernel(GOOD.replace(old, new))


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    made = registry.accelerator("mtia")
    problem = evolve(samples.problem(), hidden=("rows=3,cols=7", "rows=129,cols=65", "rows=2,cols=1025"))
    device = registry.find_device(made, "mtia2i")
    with Evaluator(problem, made, device, workloads=[WORKLOAD], path="mtia", settings=SETTINGS, secret=7) as opened:
        opened.warm_up()
        yield opened


def anchor(kernel: Kernel, evaluation: Evaluation) -> Anchor:
    seconds = {timing.workload: timing.seconds for timing in evaluation.timings}
    return Anchor(kernel, kernel.default, 1.0, seconds, Source.EMULATED_CYCLES)


def test_a_right_kernel_has_a_time_its_resources_and_a_profile(evaluator: Evaluator) -> None:
    found = evaluator.evaluate(parse_kernel(GOOD))
    assert found.outcome is Outcome.CORRECT, found.message
    timing = found.timings[0]
    assert (timing.source, timing.launches, len(timing.samples)) == (Source.EMULATED_CYCLES, 1, ROTATIONS)
    assert len(set(timing.samples)) == 1  # nothing here depends on the data
    assert found.resources["affine"]["circular_buffers"] == 2
    told = found.profile["device"][WORKLOAD.label]
    assert told["cycles"] == round(timing.seconds * 1.35e9)
    assert told["memory_bytes"]["dram"] == {"read": 256 * 256 * 4, "written": 256 * 256 * 4}
    assert told["elements"] == {"busy": 64, "available": 64}
    assert found.message.endswith(told["bottleneck"])
    assert set(found.stages) == {"ttir:affine", "mtia:affine"}


def test_the_same_kernel_takes_the_same_time_and_any_difference_is_exact(evaluator: Evaluator) -> None:
    seed = parse_kernel(GOOD)
    first = evaluator.evaluate(seed)
    paired = evaluator.evaluate(parse_kernel(GOOD + "\n"), anchor=anchor(seed, first)).timings[0].paired
    assert paired is not None
    assert (paired.ratio, paired.low, paired.high, paired.verdict) == (1.0, 1.0, 1.0, Verdict.SAME)
    other = evaluator.evaluate(seed, {"BLOCK": 1024, "use_dual_core": 1}, anchor=anchor(seed, first))
    pair = other.timings[0].paired
    assert pair is not None
    assert pair.low == pair.ratio == pair.high == pytest.approx(first.timings[0].seconds / other.timings[0].seconds)
    assert pair.rounds == ROTATIONS
    assert pair.verdict is Verdict.FASTER
    assert other.fitness == pytest.approx(pair.ratio)


@pytest.mark.parametrize(
    ("kernel", "outcome", "message"),
    [
        (changed("2 * value + 1,", "2 * value + 1.5,"), Outcome.WRONG_RESULT, ""),
        (
            changed("tl.load(x + at, mask=at < total)", "tl.load(x + at)"),
            Outcome.OUT_OF_BOUNDS,
            r"line 8, program \(0, 0, 0\): a load outside buffer 'x': at byte \d+, and it has \d+",
        ),
        (
            changed("tl.store(y + at, 2 * value + 1, mask=at < total)", "tl.store(y - 1 - at, value)"),
            Outcome.OUT_OF_BOUNDS,
            r"line 9, program \(0, 0, 0\): a store outside buffer 'y': 4 bytes before its start",
        ),
        (
            changed("    tl.store(y + at,", "    tl.store(y, value.to(tl.float32).sum())\n    tl.store(y + at,"),
            Outcome.NONDETERMINISTIC,
            "store different values at byte 0 of 'y'",
        ),
        (
            changed("2 * value + 1,", "tl.dot(value.reshape(4, 8, 8), value.reshape(4, 8, 8)).reshape(256),"),
            Outcome.COMPILE_ERROR,
            "no-3d-dot: tl.dot takes matrices",
        ),
        (
            changed("2 * value + 1,", "tl.sqrt(tl.load(x + tl.arange(0, 262144) % total)).sum() + value,"),
            Outcome.RESOURCE_EXCEEDED,
            r"a program holds \d+ bytes of local memory; mtia2i has 393216",
        ),
        (
            changed("2 * value + 1,", "tl.dot_scaled(value, value, 'e5m2', value, value, 'e5m2'),"),
            Outcome.COMPILE_ERROR,
            "^line 9: ",
        ),
    ],
    ids=["wrong", "load", "store", "race", "3-D dot", "local memory", "Triton"],
)
def test_every_way_to_fail_is_named_and_the_next_kernel_is_clean(
    evaluator: Evaluator, kernel: Kernel, outcome: Outcome, message: str
) -> None:
    found = evaluator.evaluate(kernel)
    assert found.outcome is outcome, found.message
    assert re.search(message, found.message), found.message
    assert evaluator.evaluate(parse_kernel(GOOD)).outcome is Outcome.CORRECT


def test_a_kernel_that_never_ends_is_stopped(evaluator: Evaluator) -> None:
    endless = changed(
        "    tl.store(",
        "    while tl.load(x) != 0.12345:\n        tl.store(y + at, value, mask=at < total)\n    tl.store(",
    )
    with Evaluator(
        evaluator.problem,
        evaluator.worker.accelerator,
        evaluator.device,
        workloads=[WORKLOAD],
        path="mtia",
        settings=Settings(limits=Limits(run_seconds=2.0)),
        secret=1,
    ) as impatient:
        assert impatient.evaluate(endless).outcome is Outcome.RUN_TIMEOUT


def test_a_confirmation_is_exact_and_knows_no_eager(evaluator: Evaluator) -> None:
    kernel = parse_kernel(GOOD)
    sides = [Side("seed", kernel, kernel.default), Side("kernel", kernel, {"BLOCK": 1024, "use_dual_core": 1})]
    found = confirm(evaluator, WORKLOAD, sides, baselines=["seed"], eager=True)
    paired = found.comparisons["seed", "kernel"]
    assert paired.low == paired.ratio == paired.high > 1
    assert (found.eager, set(found.comparisons)) == (None, {("seed", "kernel")})


def test_the_command_line_lists_the_chips_as_emulated() -> None:
    command = [sys.executable, "-m", "kernelevolve", "devices", "--json"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    (mtia,) = [one for one in listed["accelerators"] if one["name"] == "mtia"]
    assert [device["name"] for device in mtia["devices"]] == ["mtia2i", "mtia300", "mtia1"]
    assert {device["realm"] for device in mtia["devices"]} == {Realm.EMULATED}
