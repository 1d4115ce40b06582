"""The whole pipeline on the interpreted device: compiled for a target, checked in a worker, never timed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kernelevolve import parse_kernel
from kernelevolve.accelerator import Realm
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.kernel import Kernel
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, TensorSpec, Workload

PROBLEM = Problem(
    name="reversed_double",
    axes=("rows", "n"),
    inputs=(TensorSpec("x", "rows, n"),),
    outputs=(TensorSpec("y", "rows, n"),),
    reference=lambda x: 2 * x.flip(1),
    workloads=("rows=4,n=32",),
    hidden=("rows=1,n=1", "rows=3,n=31", Workload.parse("rows=2,n=17,x:float16,y:float16")),
    distributions=("normal",),
)
HEADER = """# /// kernel
# language = "numba"
# [tune]
# THREADS = [64, 32]
# [[launch]]
# entry = "k"
# grid = ["rows"]
# block = ["THREADS"]
# ///
from numba import cuda, float32

"""
GOOD = """
@cuda.jit
def k(x, y, n):
    tile = cuda.shared.array(64, float32)
    row, i = cuda.blockIdx.x, cuda.threadIdx.x
    if i < n:
        tile[i] = float32(x[row, i])
    cuda.syncthreads()
    if i < n:
        y[row, i] = tile[n - 1 - i] * float32(2.0)
"""


def kernel(body: str) -> Kernel:
    return parse_kernel(HEADER + body)


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    made = NumbaCUDA()
    settings = Settings(limits=Limits(compile_seconds=60, run_seconds=3))
    with Evaluator(
        PROBLEM,
        made,
        made.sanitizer(),
        workloads=PROBLEM.workloads,
        path="kernelevolve.backends.numba_cuda:NumbaCUDA",
        settings=settings,
        secret=3,
    ) as opened:
        yield opened


def test_a_right_kernel_is_unmeasured_and_its_resources_are_real(evaluator: Evaluator) -> None:
    result = evaluator.evaluate(kernel(GOOD))
    assert evaluator.device.realm is Realm.INTERPRETED
    assert result.outcome is Outcome.UNMEASURED, result.message
    assert result.resources["k"]["static_local_bytes"] == 256
    assert result.resources["k"]["registers"] > 0


SYNC = "    cuda.syncthreads()\n"
APART = "    if i < 40:\n        cuda.syncthreads()\n    else:\n        cuda.syncwarp()\n"


@pytest.mark.parametrize(
    ("old", "new", "outcome"),
    [
        ("tile[n - 1 - i]", "tile[n - i + 64]", Outcome.OUT_OF_BOUNDS),
        (SYNC, "", Outcome.NONDETERMINISTIC),
        ("float32(2.0)", "float32(2.5)", Outcome.WRONG_RESULT),
        ("n - 1 - i]", "i]", Outcome.WRONG_RESULT),
        ("tile[i] = float32", "tile[i] = flote32", Outcome.REJECTED),
        ("tile[i] = float32(x[row, i])", "tile[i] = x[row]", Outcome.COMPILE_ERROR),
        (SYNC, APART, Outcome.LAUNCH_ERROR),
    ],
)
def test_a_wrong_kernel_is_wrong_in_its_own_way(evaluator: Evaluator, old: str, new: str, outcome: Outcome) -> None:
    assert old in GOOD
    result = evaluator.evaluate(kernel(GOOD.replace(old, new)))
    assert result.outcome is outcome, result.message


def test_after_a_kernel_that_never_ends_the_next_one_is_fine(evaluator: Evaluator) -> None:
    endless = GOOD.replace(SYNC, f"{SYNC}    while n > 0:\n        cuda.syncthreads()\n")
    begin = time.monotonic()
    assert evaluator.evaluate(kernel(endless)).outcome is Outcome.RUN_TIMEOUT
    assert time.monotonic() - begin < 30
    assert evaluator.evaluate(kernel(GOOD)).outcome is Outcome.UNMEASURED
