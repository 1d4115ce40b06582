"""Rows A1 to A16: kernels that are fast on the clock only."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

import random
import statistics
import subprocess
import sys

import pytest
from attrs import evolve

from kernelevolve import parse_kernel, registry
from kernelevolve.accelerator import Source
from kernelevolve.errors import KernelFileError
from kernelevolve.evaluation.eager import Eager
from kernelevolve.evaluation.measure import Verdict, compare_paired, shuffled_rounds
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.evaluation.records import Stage
from kernelevolve.evaluation.runner import Contestant
from kernelevolve.outcome import Outcome, Rejected
from kernelevolve.plan import Role

from .conftest import ROW, SETTINGS, Judge, X, Y, affine, file, judge_of, open_evaluator

#: How often the timed launches of a sample are repeated in `repeating`: the state of one would reach the next.
MANY = evolve(SETTINGS, protocol=evolve(SETTINGS.protocol, short=1e-3))
MARK = "[scratch.mark]\nshape = ['rows']\ndtype = 'int32'"


def gate(source: str, language: str = "opencl") -> str:
    """The rule that refuses `source`."""
    with pytest.raises(Rejected) as caught:
        registry.language(language).gate(source)
    return str(caught.value.details["rule"])


def opencl(statement: str) -> str:
    return f"__kernel void k({X}, {Y}, int cols) {{ size_t r = get_global_id(0); {statement} }}"


@pytest.mark.parametrize(
    ("key", "value"),
    [("stream", "1"), ("queue", '"side"'), ("graph", "true"), ("async", "true"), ("l2_persist", "1"), ("setup", '"f"')],
    ids=["A1-side-stream", "A2-external-stream", "A11-graph", "A16-asynchronous", "A10-persisting-L2", "A12-setup"],
)
def test_a_kernel_file_has_no_word_for_streams_graphs_or_cache_carve_outs(key: str, value: str) -> None:
    text = file(ROW).replace('// entry = "k"', f'// entry = "k"\n// {key} = {value}')
    with pytest.raises(KernelFileError, match=key):
        parse_kernel(text)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("enqueue_kernel(get_default_queue(), 0, 0, 0);", "device-queue"),
        ("queue_t side; y[r] = 0;", "object-types"),
        ("if (fork()) y[r] = 0;", "call"),
        ("pthread_create(0, 0, 0, 0);", "call"),
        ("clock_settime(0, 0);", "call"),
        ("clEnqueueNDRangeKernel(0);", "call"),
        ("if (getenv(0)) y[r] = 0;", "call"),
        ("__builtin_readcyclecounter();", "builtin"),
    ],
    ids=[
        "A1-side-stream",
        "A2-external-queue",
        "A3-fork",
        "A3-thread",
        "A4-timer",
        "A11-captured-launch",
        "A9-environment",
        "A9-clock",
    ],
)
def test_device_code_reaches_no_host_and_no_other_queue(statement: str, rule: str) -> None:
    assert gate(opencl(statement)) == rule


@pytest.mark.parametrize(
    "source",
    [
        "import time\n\ndef k(x, y):\n    time.perf_counter = None\n",
        "import statistics\n\ndef k(x, y):\n    y[0] = 1\n",
        "import numpy as np\n\ndef k(x, y):\n    np.median = None\n",
        "def k(x, y):\n    k.__code__ = y\n",
        "import threading\n\ndef k(x, y):\n    threading.Thread(target=k).start()\n",
    ],
    ids=["A4-timer", "A5-statistics", "A5-patched-median", "A5-code-object", "A3-thread"],
)
def test_python_kernels_can_patch_no_timer_statistic_or_code_object(source: str) -> None:
    assert gate(source, "reference") in {"import", "attribute"}


def test_a5_b18_e10_statistics_and_comparison_are_not_even_imported_where_candidates_run() -> None:
    code = "import sys, kernelevolve.evaluation.worker; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "kernelevolve.evaluation.wire" in loaded
    judging = ("measure", "correctness", "cases", "casebook", "check", "confirm", "pipeline", "eager")
    assert not {f"kernelevolve.evaluation.{name}" for name in judging} & set(loaded)


@pytest.mark.parametrize("declaration", ["__global int calls = 0;", "static int calls = 0;", "int calls[64];"])
def test_a8_a_kernel_cannot_count_its_launches_in_a_variable_of_its_own(declaration: str) -> None:
    assert gate(f"{declaration}\n{opencl('y[r] = 0;')}") == "program-scope"


@pytest.fixture(scope="module")
def repeating():
    with open_evaluator(affine(), MANY) as opened:
        yield judge_of(opened)


#: Each tells by `seen` that it ran before on the same buffers, and then writes nonsense: a right result says it never did.
CANARIES = {
    "scratch": file(
        "size_t r = get_global_id(0); int seen = mark[r] == 7; mark[r] = 7;"
        "for (int c = 0; c < cols; ++c) y[r * cols + c] = seen ? 5 : 2 * x[r * cols + c] + 1;",
        f"{X}, {Y}, int cols, __global int *mark",
        MARK,
    ),
    "output": file(
        "size_t r = get_global_id(0); uint was = as_uint(y[r * cols]); int seen = was != 0 && was != 0xffffffffu;"
        "for (int c = 0; c < cols; ++c) y[r * cols + c] = seen ? 5 : 2 * x[r * cols + c] + 1;"
    ),
}


@pytest.mark.opencl
@pytest.mark.parametrize("where", CANARIES)
def test_a8_a12_no_launch_of_a_sample_finds_what_an_earlier_one_left(repeating: Judge, where: str) -> None:
    found = repeating(CANARIES[where])
    assert found.outcome is Outcome.CORRECT, found.message
    assert found.timings[0].launches > 1


@pytest.mark.opencl
def test_a8_a_canary_would_sing_if_nothing_were_wiped(affine_evaluator: Evaluator) -> None:
    kernel = parse_kernel(CANARIES["scratch"])
    workload = affine_evaluator.problem.workloads[0]
    case = affine_evaluator.book.rotations(workload, 1)[0]
    contestant = affine_evaluator.contestant(kernel, {}, workload)
    handle = contestant.handle(0)
    runner = affine_evaluator.runner
    runner.prepare(handle, contestant.plan, case.staged)
    for _ in range(2):
        runner.launch(handle)
    outputs = runner.read(handle, contestant.plan, [Role.OUTPUT], guards=False)
    assert set(memoryview(outputs["y"]).cast("f")) == {5.0}
    runner.leave(contestant)


@pytest.mark.opencl
@pytest.mark.parametrize("timed", ["rows == 512", "cols == 64 && rows > 65"])
def test_a9_a_kernel_that_knows_the_timed_size_and_skips_its_work_there_is_wrong(judge: Judge, timed: str) -> None:
    found = judge(file(f"if ({timed}) return; {ROW}", f"{X}, {Y}, int rows, int cols"))
    assert (found.outcome, found.stage) == (Outcome.WRONG_RESULT, Stage.SCREEN)


@pytest.mark.opencl
def test_a10_every_timed_sample_starts_from_flushed_caches(affine_evaluator: Evaluator) -> None:
    found = affine_evaluator.evaluate(parse_kernel(file(ROW)))
    assert all(timing.flushed for timing in found.timings)


@pytest.mark.opencl
def test_a12_timed_rounds_rotate_over_inputs_so_one_solution_serves_no_other(affine_evaluator: Evaluator) -> None:
    workload = affine_evaluator.workloads[0]
    first, second = affine_evaluator.contestant(parse_kernel(file(ROW)), {}, workload).rotations
    assert first.inputs["x"] != second.inputs["x"]


def test_a13_compile_time_is_booked_apart_and_the_eager_baseline_runs_with_the_devices_threads(
    affine_evaluator: Evaluator,
) -> None:
    import torch

    found = affine_evaluator.evaluate(parse_kernel(file(ROW.replace("+ 1", "+ 1.0f"))))
    assert found.spent[Stage.COMPILE] > max(found.timings[0].samples)
    seen: list[int] = []
    baseline = Eager(lambda _: seen.append(torch.get_num_threads()), threads=1, flush_bytes=0)
    before = torch.get_num_threads()
    baseline.sample(affine_evaluator.book.checks()[0], flush=False)
    assert (seen, torch.get_num_threads()) == ([1], before)
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.opencl
def test_a14_a_kernel_that_adds_to_an_output_it_never_cleared_is_wrong(judge: Judge) -> None:
    found = judge(
        file("size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) y[r * cols + c] += 2 * x[r * cols + c] + 1;")
    )
    assert found.outcome is Outcome.WRONG_RESULT


def test_a14_zero_is_the_poison_of_the_second_run_so_it_helps_no_kernel_either(judge: Judge) -> None:
    # Right where memory was NaN before, wrong where it was zero: only the repeated run can see it.
    body = (
        "size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) { float was = y[r * cols + c];"
        "y[r * cols + c] = was == 0 ? 0 : 2 * x[r * cols + c] + 1; }"
    )
    assert judge(file(body)).outcome is Outcome.OUT_OF_BOUNDS


def test_a15_a_drifting_clock_moves_medians_apart_but_not_paired_ratios() -> None:
    rng = random.Random(4)
    clock = [1.0]

    def sample() -> float:
        clock[0] *= 1.002  # the machine slows down by 0.2 % with every sample
        return clock[0] * rng.uniform(0.995, 1.005)

    sequential = [[sample() for _ in range(60)] for _ in range(2)]
    assert statistics.median(sequential[1]) / statistics.median(sequential[0]) > 1.10
    clock[0] = 1.0
    found: dict[str, list[float]] = {"a": [], "b": []}
    for name in shuffled_rounds(["a", "b"], 60, rng):
        found[name].append(sample())
    paired = compare_paired(found["a"], found["b"], resolution=0.02)
    assert paired.ratio == pytest.approx(1.0, abs=0.01)
    assert paired.verdict in (Verdict.SAME, Verdict.UNCLEAR)


@pytest.mark.opencl
def test_a16_a_sample_ends_when_the_device_is_idle_and_both_clocks_agree(affine_evaluator: Evaluator) -> None:
    slow = file(
        "size_t r = get_global_id(0); float s = 0; for (int i = 0; i < 20000; ++i) s = sin(s + x[r * cols]);"
        + ROW.split(";", 1)[1].replace("+ 1;", "+ 1 + 0 * s;")
    )
    contestant = affine_evaluator.contestant(parse_kernel(slow), {}, affine_evaluator.workloads[0])
    samples, wall = affine_evaluator.runner.sample([(contestant, 0)], flush=False)
    affine_evaluator.runner.leave(contestant)
    device, host = samples[0].seconds, samples[0].host_seconds
    assert host is not None
    assert 0.005 < device <= host * 1.05 < wall * 1.05
    assert samples[0].source in (Source.DEVICE_EVENT, Source.HOST_WALL)


def test_a6_a7_times_are_no_part_of_any_buffer(affine_evaluator: Evaluator) -> None:
    plan = affine_evaluator.gate.plan(parse_kernel(file(ROW)), {}, affine_evaluator.workloads[0])
    assert {buffer.role for buffer in plan.buffers} == {Role.INPUT, Role.OUTPUT}
    assert isinstance(
        affine_evaluator.contestant(parse_kernel(file(ROW)), {}, affine_evaluator.workloads[0]), Contestant
    )
