"""Rows K1 to K6: what device code can do by itself."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

import pytest

from kernelevolve import registry
from kernelevolve.outcome import Outcome, Rejected

from .conftest import ROW, TOTAL, Judge, X, Y, file

pytestmark = pytest.mark.opencl

WIDE = f"{X}, {Y}, int rows, int cols"
EACH = "size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) { size_t i = r * cols + c; %s }"
PARTIAL = "[scratch.partial]\nshape = ['rows']\ndtype = 'float32'"


@pytest.mark.parametrize("index", ["-1", "rows * cols", "rows * cols + 2047"])
def test_k1_a_write_outside_a_buffer_is_out_of_bounds(judge: Judge, index: str) -> None:
    assert judge(file(f"{ROW} if (r == 0) y[{index}] = 3;", WIDE)).outcome is Outcome.OUT_OF_BOUNDS


def test_k1_a_write_beside_scratch_or_an_input_is_out_of_bounds_too(judge: Judge) -> None:
    beside = file(f"{ROW} if (r == 0) partial[rows] = 3;", f"{WIDE}, __global float *partial", PARTIAL)
    assert judge(beside).details["buffer"] == "partial"
    beside = file(f"{ROW} if (r == 0) x[-1] = 3;", f"__global float *x, {Y}, int rows, int cols")
    assert judge(beside).details["buffer"] == "x"


@pytest.mark.parametrize("index", ["-1", "rows * cols"])
def test_k1_a_result_that_depends_on_memory_outside_is_not_correct(judge: Judge, index: str) -> None:
    # Adds what lies outside when it is a number: the poison of the first run is none, that of the second is zero.
    body = EACH % f"float far = x[{index}]; y[i] = 2 * x[i] + (far == 0 ? 1.5f : 1);"
    assert judge(file(body, WIDE)).outcome is Outcome.OUT_OF_BOUNDS


def test_k1_a_write_far_outside_ends_its_worker_and_not_the_run(judge: Judge) -> None:
    found = judge(file(f"{ROW} if (r == 0) y[(long)1 << 40] = 3;", WIDE))
    assert found.outcome is Outcome.DEVICE_FAULT
    assert found.details["signal"] == "SIGSEGV"
    assert judge(file(ROW)).outcome is Outcome.CORRECT


@pytest.mark.parametrize(
    "text",
    [
        file(
            "size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) partial[r] += x[r * cols + c]; y[r] = partial[r];",
            f"{WIDE}, __global float *partial",
            PARTIAL,
        ),
        file(f"__local float sum[1]; {TOTAL.replace('float s = 0;', 'float s = sum[0] * 1e-3f + 1;')} sum[0] = s;"),
    ],
    ids=["scratch", "local-memory"],
)
def test_k2_memory_of_an_earlier_launch_makes_no_result_right(judge_sums: Judge, text: str) -> None:
    assert judge_sums(text).outcome in {Outcome.WRONG_RESULT, Outcome.OUT_OF_BOUNDS, Outcome.NONDETERMINISTIC}


def test_k3_a_missing_barrier_is_not_correct(judge_sums: Judge) -> None:
    # Item 0 adds what the others have not written yet.
    text = file(
        "__local float part[16]; size_t r = get_group_id(0); int lane = get_local_id(0); float s = 0;"
        "for (int c = lane; c < cols; c += 16) s += x[r * cols + c]; if (lane == 0) { for (int i = 0; i < 16; ++i)"
        " part[i] = NAN; } part[lane] = s; if (lane == 0) { for (int i = 1; i < 16; ++i) s += part[i]; y[r] = s; }"
    ).replace('block = ["1"]', 'block = ["16"]')
    assert judge_sums(text).outcome in {Outcome.WRONG_RESULT, Outcome.NONDETERMINISTIC}


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("".join(f"#define A{n + 1} {f'A{n}+' * 9}A{n}\n" for n in range(9)).replace("A0", "1") + "A9", "macro"),
        ("#pragma unroll 100000\n", "pragma"),
        ("(" * 5000, "depth"),
        ("#include <stdio.h>\n", "include"),
    ],
    ids=["preprocessor-bomb", "unroll-bomb", "nesting-bomb", "include"],
)
def test_k4_the_compiler_is_never_shown_a_bomb(source: str, rule: str) -> None:
    with pytest.raises(Rejected) as caught:
        registry.language("opencl").gate(f"__kernel void k({Y}) {{\n float v = \n{source}; }}")
    assert caught.value.details["rule"] == rule


@pytest.mark.parametrize("source", ["tl.core.os.system('id')", "np.core.sys.exit()", "().__class__.__bases__"])
def test_k4_attribute_chains_lead_out_of_no_module(source: str) -> None:
    with pytest.raises(Rejected):
        registry.language("reference").gate(f"import numpy as np\n\ndef k(x, y):\n    y[0] = {source}\n")


@pytest.mark.parametrize("kind", ["ushort", "short", "uchar"])
def test_k5_an_index_that_overflows_at_an_unseen_size_is_wrong(judge: Judge, kind: str) -> None:
    body = f"{kind} r = ({kind})get_global_id(0); for (int c = 0; c < cols; ++c) y[r * cols + c] = 2 * x[r * cols + c] + 1;"
    # A negative index writes into the worker itself: it may crash, hang, or come out wrong, but never right.
    ends = {Outcome.WRONG_RESULT, Outcome.OUT_OF_BOUNDS, Outcome.DEVICE_FAULT, Outcome.RUN_TIMEOUT}
    assert judge(file(body)).outcome in ends


def test_k6_an_exchange_whose_result_depends_on_who_comes_last_is_not_correct(judge_sums: Judge) -> None:
    text = file(
        "size_t r = get_global_id(0); y[r] = 0; float s = 0; for (int c = 0; c < cols; ++c) s += x[r * cols + c];"
        "atomic_xchg((volatile __global int *)turn, (int)r);"
        "y[r] = turn[0] == (int)get_global_size(0) - 1 ? s : s * 1.001f;",
        f"{X}, {Y}, int cols, volatile __global int *turn",
        "[scratch.turn]\nshape = ['1']\ndtype = 'int32'",
    )
    assert judge_sums(text).outcome in {Outcome.WRONG_RESULT, Outcome.NONDETERMINISTIC}


@pytest.mark.xfail(
    reason="a known gap: PoCL gives every group the same local memory, and nothing wipes it between launches",
)
def test_k2_a8_local_memory_does_not_tell_one_launch_from_the_next(judge: Judge) -> None:
    # Wrong wherever it sees its mark of an earlier launch: a right result would say that it never does.
    body = (
        "__local float keep[2048]; size_t r = get_global_id(0); int seen = rows == 512 && keep[7] == 123456.0f;"
        "for (int c = 0; c < cols; ++c) y[r * cols + c] = seen ? 5 : 2 * x[r * cols + c] + 1;"
        "if (rows == 512) keep[7] = 123456.0f;"
    )
    assert judge(file(body, WIDE)).outcome is Outcome.CORRECT
