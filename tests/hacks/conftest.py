"""Two problems, one evaluator for each, and a short way to write kernel files: what every hack is tried on.

Nothing is mocked: a hack is a kernel file, judged by the real pipeline in a real worker on PoCL, or by the gate where
it gets no further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kernelevolve import Workload, parse_kernel, registry
from kernelevolve.accelerator import Status
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.problem import Problem, TensorSpec

Judge = Callable[[str], Evaluation]

#: Short, and deaf to a noisy machine: no test here is about how stable a time is.
SETTINGS = Settings(
    limits=Limits(run_seconds=2.0, compile_seconds=20.0),
    protocol=Protocol(screen_rounds=6, first_look=4, warmup=1, unstable=1e9, far_behind=1e9),
)
X, Y = "__global const float *x", "__global float *y"
#: A right kernel for `AFFINE`: one item per row.
ROW = "size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) y[r * cols + c] = 2 * x[r * cols + c] + 1;"
#: A right kernel for `SUMS`: one item per row.
TOTAL = "size_t r = get_global_id(0); float s = 0; for (int c = 0; c < cols; ++c) s += x[r * cols + c]; y[r] = s;"


def affine() -> Problem:
    return Problem(
        name="affine",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"),),
        outputs=(TensorSpec("y", "rows, cols"),),
        reference=lambda x: 2 * x + 1,
        workloads=(Workload.parse("rows=32,cols=16", ["smoke"]), Workload.parse("rows=512,cols=64", ["cpu"])),
        hidden=("rows=1,cols=1", "rows=3,cols=7", "rows=61,cols=37", "rows=65537,cols=1"),
        distributions=("normal", "constant"),
    )


def sums() -> Problem:
    return Problem(
        name="sums",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"),),
        outputs=(TensorSpec("y", "rows"),),
        reference=lambda x: x.sum(dim=-1),
        workloads=(Workload.parse("rows=32,cols=64", ["smoke"]), Workload.parse("rows=256,cols=512", ["cpu"])),
        hidden=("rows=1,cols=1", "rows=3,cols=7", "rows=17,cols=1025", "rows=257,cols=3"),
        distributions=("normal", "large"),
    )


def file(
    body: str, parameters: str = f"{X}, {Y}, int cols", header: str = "", before: str = "", grid: str = "rows"
) -> str:
    """A kernel file of one launch: entry ``k``, one group of one item per row."""
    lines = [
        'language = "opencl"',
        *header.splitlines(),
        "[[launch]]",
        'entry = "k"',
        f'grid = ["{grid}"]',
        'block = ["1"]',
    ]
    commented = "\n".join(f"// {line}" for line in ("/// kernel", *lines, "///"))
    return f"{commented}\n{before}\n__kernel void k({parameters}) {{ {body} }}\n"


def open_evaluator(problem: Problem, settings: Settings = SETTINGS, secret: int = 11) -> Evaluator:
    made = registry.accelerator("opencl")
    found = made.probe()
    if found.status is not Status.OK:
        pytest.skip(f"needs an OpenCL device: {found.message}")
    timed = problem.tagged("cpu") or problem.workloads
    device = registry.find_device(made)
    return Evaluator(problem, made, device, workloads=timed, path="opencl", settings=settings, secret=secret)


def judge_of(evaluator: Evaluator) -> Judge:
    return lambda text: evaluator.evaluate(parse_kernel(text))


@pytest.fixture(scope="session")
def affine_evaluator() -> Iterator[Evaluator]:
    with open_evaluator(affine()) as opened:
        yield opened


@pytest.fixture(scope="session")
def sums_evaluator() -> Iterator[Evaluator]:
    with open_evaluator(sums()) as opened:
        yield opened


@pytest.fixture
def judge(affine_evaluator: Evaluator) -> Judge:
    """Evaluate a kernel file for ``y = 2 x + 1``."""
    return judge_of(affine_evaluator)


@pytest.fixture
def judge_sums(sums_evaluator: Evaluator) -> Judge:
    """Evaluate a kernel file for row sums."""
    return judge_of(sums_evaluator)
