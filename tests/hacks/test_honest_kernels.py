"""Honest kernels that guards elsewhere reject: ours accept every one."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from attrs import evolve

from kernelevolve import parse_kernel
from kernelevolve.evaluation.casebook import CaseBook
from kernelevolve.evaluation.cases import tensor_bytes
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.outcome import Outcome, WrongResult
from kernelevolve.problem import Problem, TensorSpec, Workload

from .conftest import ROW, TOTAL, Judge, X, Y, affine, file, judge_of, open_evaluator

pytestmark = pytest.mark.opencl

ADD = (
    "void add(volatile __global float *to, float v) { union { uint u; float f; } old, new;"
    " do { old.f = *to; new.f = old.f + v; }"
    " while (atomic_cmpxchg((volatile __global uint *)to, old.u, new.u) != old.u); }"
)
#: Split reduction: 4 partial sums a row into scratch, then one launch that adds them.
SPLIT = f"""// /// kernel
// language = "opencl"
// [tune]
// PARTS = [4, 8]
// [scratch.partial]
// shape = ["rows", "PARTS"]
// [[launch]]
// entry = "first"
// grid = ["rows", "PARTS"]
// block = ["1", "1"]
// [[launch]]
// entry = "second"
// grid = ["rows"]
// block = ["1"]
// ///
__kernel void first({X}, __global float *partial, int cols) {{
  size_t r = get_global_id(0), p = get_global_id(1);
  float s = 0;
  for (int c = p; c < cols; c += PARTS) s += x[r * cols + c];
  partial[r * PARTS + p] = s;
}}
__kernel void second(__global const float *partial, {Y}) {{
  size_t r = get_global_id(0);
  float s = 0;
  for (int p = 0; p < PARTS; ++p) s += partial[r * PARTS + p];
  y[r] = s;
}}
"""
#: Every group clears its element, then its items add to it atomically, in no particular order.
ATOMIC = file(
    "size_t r = get_group_id(0); int lane = get_local_id(0); if (lane == 0) y[r] = 0; barrier(CLK_GLOBAL_MEM_FENCE);"
    "float s = 0; for (int c = lane; c < cols; c += 16) s += x[r * cols + c]; add(y + r, s);",
    before=ADD,
).replace('block = ["1"]', 'block = ["16"]')
IN_PLACE = file(
    "size_t r = get_global_id(0); __global float *out = y + r * cols; for (int c = 0; c < cols; ++c) out[c] = x[r * cols + c];"
    "for (int c = 0; c < cols; ++c) out[c] *= 2; for (int c = 0; c < cols; ++c) out[c] += 1;"
)
TALKATIVE = file(
    f"/* try the fast path, pass on the stream; except for the tail: exec, import os, __builtin, goto */ {ROW} // PASS\n"
)


def correct(judge: Judge, text: str) -> None:
    found = judge(text)
    assert found.outcome is Outcome.CORRECT, f"{found.outcome}: {found.message}"
    assert found.checks.passed == found.checks.planned


def test_in_place_style(judge: Judge) -> None:
    correct(judge, IN_PLACE)


def test_words_like_pass_try_and_stream_in_comments(judge: Judge) -> None:
    correct(judge, TALKATIVE)


def test_split_reduction_with_scratch_autotuned(sums_evaluator: Evaluator) -> None:
    kernel = parse_kernel(SPLIT)
    for configuration in kernel.configurations():
        assert sums_evaluator.evaluate(kernel, configuration).outcome is Outcome.CORRECT


def test_atomics_within_tolerance(judge_sums: Judge) -> None:
    correct(judge_sums, ATOMIC)


def test_a_serial_sum(judge_sums: Judge) -> None:
    correct(judge_sums, file(TOTAL))


@pytest.mark.parametrize(
    "make",
    [
        lambda: evolve(affine(), workloads=(Workload.parse("rows=2,cols=2", ["smoke"]), "rows=1,cols=3")),
    ],
    ids=["tiny"],
)
def test_tiny_problems(make: Callable[[], Problem]) -> None:
    with open_evaluator(make()) as evaluator:
        correct(judge_of(evaluator), file(ROW))


def test_several_outputs() -> None:
    problem = Problem(
        name="two",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"),),
        outputs=(TensorSpec("low", "rows"), TensorSpec("at", "rows", "int32")),
        reference=lambda x: (x.amin(-1), x.argmin(-1).to(torch.int32)),
        workloads=(Workload.parse("rows=32,cols=16", ["smoke"]), Workload.parse("rows=64,cols=64", ["cpu"])),
        hidden=("rows=1,cols=1", "rows=3,cols=7"),
        distributions=("normal",),
    )
    body = (
        "size_t r = get_global_id(0); int best = 0; for (int c = 1; c < cols; ++c)"
        " if (x[r * cols + c] < x[r * cols + best]) best = c; low[r] = x[r * cols + best]; at[r] = best;"
    )
    with open_evaluator(problem) as evaluator:
        correct(judge_of(evaluator), file(body, f"{X}, __global float *low, __global int *at, int cols"))


def test_bfloat16_rounded_once_is_right() -> None:
    typed = Workload.parse("rows=32,cols=16,x:bfloat16,y:bfloat16")
    problem = evolve(affine(), workloads=(typed, "rows=64,cols=64"), hidden=(typed,))
    book = CaseBook(problem, 1, limit_bytes=1 << 20, dtypes={"bfloat16"})
    case = next(case for case in book.checks() if case.case.distribution == "normal")
    rounded = (2 * case.inputs["x"].float() + 1).to(torch.bfloat16)
    case.check("y", bytes(tensor_bytes(rounded)))
    with pytest.raises(WrongResult):
        case.check("y", bytes(tensor_bytes(rounded * 1.02)))
