"""Rows B1 to B21: kernels that look right without computing."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from attrs import evolve

from kernelevolve import parse_kernel, registry
from kernelevolve.evaluation.casebook import CaseBook
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.outcome import Outcome, Rejected
from kernelevolve.plan import Role
from kernelevolve.problem import Tolerance

from .conftest import ROW, TOTAL, Judge, X, Y, affine, file, judge_of, open_evaluator, sums

pytestmark = pytest.mark.opencl

EACH = "size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) { size_t i = r * cols + c; %s }"
WIDE = f"{X}, {Y}, int rows, int cols"
IN_OUT = f"__global float *x, {Y}, int rows, int cols"

#: Wrong ways to ``y = 2 x + 1``, by row of the catalogue.
WRONG = {
    "B3-decoration-only": file("y[0] = x[0];"),
    "B4-nan-everywhere": file(EACH % "y[i] = NAN;"),
    "B4-nan-in-one-place": file(EACH % "y[i] = (r == 2 && c == 1) ? NAN : 2 * x[i] + 1;"),
    "B5-zeros": file(EACH % "y[i] = 0;"),
    "B5-constant": file(EACH % "y[i] = 1;"),
    "B5-mean": file("size_t r = get_global_id(0); float s = 0; for (int c = 0; c < cols; ++c) s += 2 * x[r * cols + c] + 1; for (int c = 0; c < cols; ++c) y[r * cols + c] = s / cols;"),
    "B6-copy-of-the-input": file(EACH % "y[i] = x[i];"),
    "B12-last-row-skipped": file(f"if (get_global_id(0) == rows - 1) return; {ROW}", WIDE),
    "B12-one-element-in-two-thousand": file(EACH % "y[i] = i % 2011 == 2010 ? 0 : 2 * x[i] + 1;"),
    "B14-bfloat16-inside": file(EACH % "y[i] = as_float(as_uint(2 * x[i] + 1) & 0xffff0000u);"),
    "B14-half-inside": file(EACH % "y[i] = 2 * as_float(as_uint(x[i]) & 0xffffe000u) + 1;"),
    "B15-symmetric-only": file(EACH % "y[i] = 2 * x[(c * rows + r) % (rows * cols)] + 1;", WIDE),
    "B15-even-sizes-only": file("size_t r = get_global_id(0); for (int c = 0; c + 1 < cols; c += 2) { y[r * cols + c] = 2 * x[r * cols + c] + 1; y[r * cols + c + 1] = 2 * x[r * cols + c + 1] + 1; }"),
    "B15-powers-of-two-only": file("size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) y[r * cols + (c & (cols - 1))] = 2 * x[r * cols + (c & (cols - 1))] + 1;"),
    "B15-one-shape-only": file("size_t r = get_global_id(0); for (int c = 0; c < 16; ++c) if (c < cols) y[r * cols + c] = 2 * x[r * cols + c] + 1;"),
    "B19-half-as-float": file("size_t r = get_global_id(0); for (int c = 0; c < cols; ++c) vstore_half(2 * x[r * cols + c] + 1, r * cols + c, (__global half *)y);"),
    "B19-integers": file(EACH % "y[i] = convert_int_rte(2 * x[i] + 1);"),
    "B19-transposed": file(EACH % "y[c * rows + r] = 2 * x[i] + 1;", WIDE),
    "B19-broadcast-row": file(EACH % "y[i] = 2 * x[c] + 1;"),
    "B8-learnt-inputs": file(EACH % "y[i] = i == 0 ? 1.25f : 2 * x[i] + 1;"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_results_are_called_wrong(judge: Judge, name: str) -> None:
    found = judge(WRONG[name])
    assert found.outcome is Outcome.WRONG_RESULT, f"{found.outcome}: {found.message}"
    assert 0 < found.details["count"] <= found.details["total"]


def test_b1_b21_memory_that_held_a_right_result_is_poisoned_before_the_next_kernel(judge: Judge) -> None:
    assert judge(file(ROW)).outcome is Outcome.CORRECT
    found = judge(file("if (cols < 0) y[0] = x[0];"))
    assert found.outcome is Outcome.WRONG_RESULT
    assert found.details["got"] == "nan"
    assert found.checks.passed == 0


def test_b2_e6_the_process_that_runs_candidates_never_holds_an_expected_value() -> None:
    with open_evaluator(affine(), secret=99) as evaluator:
        found = evaluator.evaluate(parse_kernel(file(EACH % "y[i] = 0;")))
        assert found.outcome is Outcome.WRONG_RESULT
        case = evaluator.book.rotations(evaluator.workloads[0], 1)[0]
        contestant = evaluator.contestant(parse_kernel(file(EACH % "y[i] = 0;")), {}, evaluator.workloads[0])
        evaluator.runner.enter(contestant)
        inputs = case.staged.inputs["x"][:256]
        expected = case.expected.outputs["y"].values.float().numpy().tobytes()[:256]
        assert evaluator.worker.pid is not None
        seen = memory_of(evaluator.worker.pid, [inputs, expected])
    assert seen == [True, False]


def memory_of(pid: int, needles: list[bytes]) -> list[bool]:
    """Which of `needles` lie somewhere in the private memory of a process."""
    seen = [False] * len(needles)
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            place, access, *_ = line.split()
            start, end = (int(part, 16) for part in place.split("-"))
            if "rw" not in access or end - start > 1 << 30:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:  # the kernel's own pages cannot be read
                continue
            seen = [old or needle in data for old, needle in zip(seen, needles, strict=True)]
    return seen


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("y[0] = softmax(x);", "call"),
        ("y[0] = torch_matmul(x);", "call"),
        ("y[0] = memcmp(x, y, 4);", "call"),
        ("fopen(0, 0);", "call"),
        ("exit(0);", "call"),
        ("raise(9);", "call"),
    ],
    ids=["B3-reference", "B3-library", "B18-comparison", "B9-file", "B20-exit", "B20-signal"],
)
def test_device_code_calls_nothing_but_the_language(source: str, rule: str) -> None:
    with pytest.raises(Rejected) as caught:
        registry.language("opencl").gate(f"__kernel void k({X}, {Y}) {{ {source} }}")
    assert caught.value.details["rule"] == rule


def test_b20_a_kernel_that_prints_pass_is_refused(judge: Judge) -> None:
    found = judge(file('printf("PASS\\n");'))
    assert (found.outcome, found.details["rule"]) in {(Outcome.REJECTED, "string"), (Outcome.REJECTED, "output")}


@pytest.mark.parametrize("where", ["r == 0", "r == 0 && rows == 512"], ids=["everywhere", "where-timed"])
def test_b7_a_right_kernel_that_writes_to_its_input_is_named(judge: Judge, where: str) -> None:
    found = judge(file(f"{ROW} if ({where}) x[r * cols] = x[r * cols] + 1e-3f;", IN_OUT))
    assert found.outcome is Outcome.INPUT_MODIFIED, found.message
    assert found.details["input"] == "x"


def test_b10_b11_results_kept_in_the_input_of_the_timed_size_are_found(judge: Judge) -> None:
    # The first launch leaves its results in x and marks them; later ones copy. Every timed output is right.
    body = (
        "size_t r = get_global_id(0); __global float *in = x + r * cols; __global float *out = y + r * cols;"
        "if (rows == 512 && fabs(in[1]) > 1e10f) {"
        "  for (int c = 0; c < cols; ++c) out[c] = in[c]; out[1] = in[1] * 0x1p-60f; return; }"
        "for (int c = 0; c < cols; ++c) out[c] = 2 * in[c] + 1;"
        "if (rows == 512) { for (int c = 0; c < cols; ++c) in[c] = out[c]; in[1] = out[1] * 0x1p60f; }"
    )
    found = judge(file(body, IN_OUT))
    assert found.outcome is Outcome.INPUT_MODIFIED


@pytest.mark.parametrize("guarded", ["y[-1 - (int)r]", "y[rows * cols + (int)r]"], ids=["before", "behind"])
def test_b10_state_kept_beside_a_buffer_of_the_timed_size_is_found(judge: Judge, guarded: str) -> None:
    found = judge(file(f"{ROW} if (rows == 512) {guarded} = 7;", WIDE))
    assert found.outcome is Outcome.OUT_OF_BOUNDS
    assert found.details["buffer"] == "y"


def test_b8_two_runs_draw_other_inputs_and_no_seed_is_known_to_the_worker() -> None:
    books = [CaseBook(affine(), secret, limit_bytes=1 << 20, dtypes={"float32"}) for secret in (1, 2)]
    drawn = [
        {case.staged.inputs["x"] for case in book.checks() if case.case.distribution == "normal"} for book in books
    ]
    assert drawn[0]
    assert not drawn[0] & drawn[1]
    secret = 0x5EC2E75EED
    with open_evaluator(affine(), secret=secret) as evaluator:
        evaluator.evaluate(parse_kernel(file(ROW)))
        process = psutil.Process(evaluator.worker.pid)
        told = " ".join([*process.cmdline(), *process.environ().values()])
        assert str(secret) not in told
        assert not memory_of(process.pid, [secret.to_bytes(8, "little")])[0]


def test_b9_the_workers_folder_does_not_outlive_it() -> None:
    with open_evaluator(affine()) as evaluator:
        evaluator.worker.start()
        folder = Path(psutil.Process(evaluator.worker.pid).cwd())
        (folder / "answers").write_bytes(b"for the next process")
        evaluator.worker.stop()
        assert not folder.exists()
        evaluator.worker.start()
        assert not list(Path(psutil.Process(evaluator.worker.pid).cwd()).glob("answers"))


def test_b13_zeros_do_not_pass_even_under_a_tolerance_that_would_allow_them() -> None:
    loose = evolve(affine(), tolerance=Tolerance(compute_roundings=1e12, ceiling=1e6))
    with open_evaluator(loose) as evaluator:
        found = judge_of(evaluator)(file(EACH % "y[i] = 0;"))
    assert (found.outcome, found.details["kind"]) == (Outcome.WRONG_RESULT, "zeros")


def test_b14_a_sum_in_half_precision_is_wrong(judge_sums: Judge) -> None:
    rounded = TOTAL.replace(
        "s += x[r * cols + c];", "s = as_float((as_uint(s + x[r * cols + c]) + 0x1000u) & 0xffffe000u);"
    )
    assert judge_sums(file(rounded)).outcome is Outcome.WRONG_RESULT


def test_b16_a_race_is_not_correct(judge_sums: Judge) -> None:
    # 16 items add to one element without an atomic: the last one wins.
    text = file(
        "size_t r = get_group_id(0); int lane = get_local_id(0); if (lane == 0) y[r] = 0; barrier(CLK_GLOBAL_MEM_FENCE);"
        "float s = 0; for (int c = lane; c < cols; c += 16) s += x[r * cols + c]; float was = y[r];"
        "barrier(CLK_GLOBAL_MEM_FENCE); y[r] = was + s;"
    ).replace('block = ["1"]', 'block = ["16"]')
    found = judge_sums(text)
    assert found.outcome in {Outcome.WRONG_RESULT, Outcome.NONDETERMINISTIC}, found.message


@pytest.mark.parametrize(
    ("body", "side"),
    [
        ("y[rows * cols] = 1;", "behind"),
        ("y[-1] = 1;", "before"),
        ("y[rows * cols + 1500] = 1;", "behind"),
    ],
    ids=["off-by-one", "one-before", "a-tile-further"],
)
def test_b16_a_write_outside_a_buffer_is_named_with_its_side(judge: Judge, body: str, side: str) -> None:
    found = judge(file(f"{ROW} if (r == 0) {body}", WIDE))
    assert found.outcome is Outcome.OUT_OF_BOUNDS, found.message
    assert (found.details["buffer"], found.details["side"]) == ("y", side)


def test_b17_outputs_are_bytes_that_the_engine_reads_itself(affine_evaluator: Evaluator) -> None:
    contestant = affine_evaluator.contestant(parse_kernel(file(ROW)), {}, affine_evaluator.workloads[0])
    affine_evaluator.runner.enter(contestant)
    handle = contestant.handle(0)
    outputs = affine_evaluator.runner.read(handle, contestant.plan, [Role.OUTPUT], guards=False)
    affine_evaluator.runner.leave(contestant)
    assert (type(outputs["y"]), len(outputs["y"])) == (bytearray, 512 * 64 * 4)


def test_b12_skipping_rows_is_wrong_for_sums_too(judge_sums: Judge) -> None:
    found = judge_sums(file(f"if (get_global_id(0) == rows - 1) return; {TOTAL}", WIDE))
    assert found.outcome is Outcome.WRONG_RESULT
    assert found.details["count"] == 1
    assert sums().outputs[0].name == found.details["output"]
