"""The correctness rule: what honest kernels may do, and what no kernel may get away with."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.errors import UnknownNameError
from kernelevolve.evaluation.cases import InputCase, expect, make_inputs, tensor_bytes
from kernelevolve.evaluation.correctness import (
    Comparison,
    Expected,
    compare,
    expect_output,
    tensor_from_bytes,
    wrong_result,
)
from kernelevolve.outcome import Outcome, from_record
from kernelevolve.problem import Problem, TensorSpec, Tolerance, Workload

FLOATS = ("float64", "float32", "float16", "bfloat16")


def expected_of(oracle: torch.Tensor, dtype: str = "float32", native: torch.Tensor | None = None) -> Expected:
    plain = oracle.to(getattr(torch, dtype)) if native is None else native
    return Expected({"y": expect_output("y", dtype, oracle, plain, Tolerance())}, "n=1", "normal")


def judge(oracle: torch.Tensor, got: torch.Tensor, dtype: str = "float32") -> Comparison:
    return compare(tensor_bytes(got.to(getattr(torch, dtype))), expected_of(oracle, dtype), "y")


def case_of(name: str, sizes: str, distribution: str = "normal", seed: int = 5) -> InputCase:
    return InputCase(registry.problem(name), Workload.parse(sizes), distribution, seed)


def run(case: InputCase, kernel: Callable[..., torch.Tensor]) -> Comparison:
    inputs = make_inputs(case)
    output = case.problem.outputs[0].name
    return compare(tensor_bytes(kernel(**inputs)), expect(case, inputs), output)


# What honest kernels do


@pytest.mark.parametrize("dtype", FLOATS)
@given(seed=st.integers(0, 2**32), rows=st.integers(1, 9), cols=st.integers(1, 40), power=st.integers(-3, 3))
@settings(max_examples=25, deadline=None)
def test_the_rounded_oracle_passes(dtype: str, seed: int, rows: int, cols: int, power: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    oracle = torch.randn(rows, cols, generator=rng, dtype=torch.float64) * 10.0**power

    assert judge(oracle, oracle, dtype).ok


@pytest.mark.parametrize("dtype", FLOATS)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 319))
@settings(max_examples=25, deadline=None)
def test_one_wrong_element_among_hundreds_fails_and_is_named(dtype: str, seed: int, index: int) -> None:
    oracle = torch.randn(8, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    got = oracle.clone()
    got.view(-1)[index] += 0.2 * (1 + abs(float(got.view(-1)[index])))

    comparison = judge(oracle, got, dtype)

    assert not comparison.ok
    assert (comparison.count, comparison.total, comparison.kind) == (1, 320, "value")
    assert comparison.first_bad_index == divmod(index, 40)


def serial_dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Float32, one term after the other, product and sum rounded separately."""
    total = torch.zeros(a.shape[0], b.shape[1])
    for i in range(a.shape[1]):
        total = total + a[:, i : i + 1] * b[i : i + 1, :]
    return total


@pytest.mark.parametrize("distribution", ["normal", "large", "constant"])
@pytest.mark.parametrize("sizes", ["m=64,n=64,k=128", "m=32,n=33,k=4096", "m=2,n=3,k=65537"])
def test_a_serial_float32_sum_passes(sizes: str, distribution: str) -> None:
    assert run(case_of("matmul", sizes, distribution), serial_dot).ok


def test_a_fused_multiply_add_passes() -> None:
    def fused(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(a.shape[0], b.shape[1])
        for i in range(a.shape[1]):
            exact = total.double() + a[:, i : i + 1].double() * b[i : i + 1, :].double()
            total = exact.float()
        return total

    assert run(case_of("matmul", "m=65,n=63,k=257"), fused).ok


@pytest.mark.parametrize("distribution", ["normal", "large", "adversarial"])
def test_an_exponential_that_is_off_by_a_few_ulp_passes(distribution: str) -> None:
    def native_exp(x: torch.Tensor) -> torch.Tensor:
        raised = torch.exp(x - x.amax(-1, keepdim=True))
        noise = torch.randint(-8, 9, raised.shape, generator=torch.Generator().manual_seed(1))
        raised = raised * (1 + noise * 2.0**-24)
        return raised / raised.sum(-1, keepdim=True)

    assert run(case_of("softmax", "rows=64,cols=257", distribution), native_exp).ok


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_precision_output_with_float32_accumulation_passes(dtype: str) -> None:
    case = case_of("matmul", f"m=32,n=32,k=512,a:{dtype},b:{dtype},c:{dtype}")

    assert run(case, lambda a, b: (a.float() @ b.float()).to(getattr(torch, dtype))).ok


# What no kernel may get away with


@pytest.mark.parametrize("distribution", ["normal", "large"])
@pytest.mark.parametrize("k", [128, 512, 2048])
def test_half_accumulation_fails(k: int, distribution: str) -> None:
    def half(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(a.shape[0], b.shape[1], dtype=torch.float16)
        for i in range(a.shape[1]):
            total = (total.float() + a[:, i : i + 1] * b[i : i + 1, :]).half()
        return total.float()

    assert not run(case_of("matmul", f"m=32,n=32,k={k}", distribution), half).ok


@pytest.mark.parametrize("k", [128, 512, 2048, 65537])
def test_inputs_cut_to_ten_bits_as_in_tf32_fail(k: int) -> None:
    def cut(tensor: torch.Tensor) -> torch.Tensor:
        return (tensor.view(torch.int32) & ~0x1FFF).view(torch.float32)

    assert not run(case_of("matmul", f"m=16,n=16,k={k}"), lambda a, b: cut(a) @ cut(b)).ok


@pytest.mark.parametrize(("name", "sizes"), [("softmax", "rows=33,cols=129"), ("rms_norm", "rows=33,cols=129")])
def test_bfloat16_inside_a_float32_kernel_fails(name: str, sizes: str) -> None:
    case = case_of(name, sizes)
    reference = case.problem.reference
    names = {"x", "weight"} if name == "rms_norm" else {"x"}
    extra = {"eps": 1e-6} if name == "rms_norm" else {}

    def narrow(**inputs: torch.Tensor) -> torch.Tensor:
        result = reference(**{key: inputs[key].bfloat16() for key in names}, **extra)
        assert isinstance(result, torch.Tensor)
        return result.float()

    assert not run(case, narrow).ok


@given(seed=st.integers(0, 2**32), rows=st.integers(1, 9), cols=st.integers(1, 40), dtype=st.sampled_from(FLOATS))
@settings(max_examples=40, deadline=None)
def test_zeros_never_pass(seed: int, rows: int, cols: int, dtype: str) -> None:
    oracle = torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 1e-4

    assert not judge(oracle, torch.zeros_like(oracle), dtype).ok


def test_zeros_do_not_pass_where_everything_is_below_the_smallest_normal_number() -> None:
    oracle = torch.full((16,), 1e-39, dtype=torch.float64)

    assert judge(oracle, torch.zeros(16)).kind == "zeros"


def test_zeros_pass_where_the_oracle_is_zero() -> None:
    assert judge(torch.zeros(4, 9, dtype=torch.float64), torch.zeros(4, 9)).ok


@pytest.mark.parametrize("name", ["softmax", "rms_norm", "matmul"])
@pytest.mark.parametrize("left", [-1, (-1, slice(None))], ids=["element", "row"])
def test_leaving_out_the_last_element_or_row_fails(name: str, left: object) -> None:
    sizes = {"softmax": "rows=65,cols=127", "rms_norm": "rows=65,cols=127", "matmul": "m=65,n=31,k=9"}[name]
    case = case_of(name, sizes)
    inputs = make_inputs(case)
    expected = expect(case, inputs)
    output = case.problem.outputs[0].name
    wanted = expected.outputs[output]
    got = wanted.values.to(torch.float32).clone().reshape(wanted.shape)
    if left == -1:
        got.view(-1)[-1] = 0.0
    else:
        got[-1] = 0.0

    assert not compare(tensor_bytes(got), expected, output).ok


def test_small_rows_count_beside_large_ones() -> None:
    oracle = torch.cat([torch.full((1, 16), 1e6), torch.full((1, 16), 1e-6)]).double()
    got = oracle.clone()
    got[1] *= 1.01

    comparison = judge(oracle, got)

    assert comparison.count == 16
    assert comparison.first_bad_index == (1, 0)


def test_a_small_element_beside_large_ones_of_its_row_may_err_by_their_rounding() -> None:
    oracle = torch.full((1, 16), 1.0, dtype=torch.float64)
    oracle[0, 3] = 1e-9
    got = oracle.clone()
    got[0, 3] = 1e-7

    assert judge(oracle, got).ok


# Values that are not numbers


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("special", [math.nan, math.inf, -math.inf])
def test_a_special_value_in_its_place_passes_and_elsewhere_fails(special: float, dtype: str) -> None:
    oracle = torch.randn(4, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    there = oracle.clone()
    there[2, 5] = special
    moved = oracle.clone()
    moved[2, 6] = special

    assert judge(there, there, dtype).ok
    assert judge(there, oracle, dtype).kind == "nonfinite"
    assert judge(oracle, there, dtype).first_bad_index == (2, 5)
    assert judge(there, moved, dtype).count == 2


@pytest.mark.parametrize("wrong", [math.nan, -math.inf, 3.4e38, 0.0])
def test_nothing_else_stands_for_an_infinity(wrong: float) -> None:
    oracle = torch.tensor([math.inf, *[1.0] * 9], dtype=torch.float64)
    got = oracle.clone()
    got[0] = wrong

    assert not judge(oracle, got).ok


def test_nan_everywhere_fails() -> None:
    comparison = judge(torch.ones(5, 5, dtype=torch.float64), torch.full((5, 5), math.nan))

    assert (comparison.ok, comparison.count) == (False, 25)


def test_an_overflowing_value_must_overflow() -> None:
    oracle = torch.tensor([1e6, *[1.0] * 9], dtype=torch.float64)

    assert judge(oracle, oracle, "float16").ok
    assert not judge(oracle, oracle.clamp(max=65504.0), "float16").ok


def test_a_value_on_the_edge_of_overflow_may_round_to_either_side() -> None:
    oracle = torch.tensor([65525.0, *[1.0] * 9], dtype=torch.float64)
    below = oracle.clone()
    below[0] = 65504.0

    assert judge(oracle, oracle, "float16").ok
    assert judge(oracle, below, "float16").ok


# Integers and booleans


@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40), data=st.data())
@settings(max_examples=50, deadline=None)
def test_integers_must_be_equal(values: list[int], data: st.DataObject) -> None:
    oracle = torch.tensor(values, dtype=torch.int64)
    index = data.draw(st.integers(0, len(values) - 1))
    got = oracle.clone().to(torch.int32)
    got[index] ^= 1

    assert judge(oracle, oracle, "int32").ok
    comparison = judge(oracle, got, "int32")
    assert (comparison.kind, comparison.count, comparison.first_bad_index) == ("integer", 1, (index,))
    assert comparison.max_abs == 1.0


def test_large_integers_are_not_compared_as_floats() -> None:
    oracle = torch.tensor([2**62 + 1, 5])

    assert not judge(oracle, torch.tensor([2**62, 5]), "int64").ok


def test_a_boolean_is_one_byte_of_zero_or_one() -> None:
    expected = expected_of(torch.tensor([True, False, True]), "bool")

    assert compare(bytes([1, 0, 1]), expected, "y").ok
    assert not compare(bytes([2, 0, 1]), expected, "y").ok
    assert compare(bytes([1, 1, 0]), expected, "y").count == 2


# The rule's own terms


def test_the_permitted_error_follows_that_of_native_precision_up_to_a_ceiling() -> None:
    oracle = torch.ones(64, dtype=torch.float64)

    def allowed(native: float) -> float:
        return expect_output("y", "float32", oracle, oracle * (1 + native), Tolerance()).allowed

    assert allowed(0.0) == pytest.approx(64 * 2**-24, rel=0.05)
    assert allowed(1e-4) == pytest.approx(4e-4, rel=0.01)
    assert allowed(0.5) == Tolerance().ceiling


def test_float64_outputs_are_held_to_float64() -> None:
    oracle = torch.randn(99, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    assert not judge(oracle, oracle.float().double(), "float64").ok


def test_values_near_the_end_of_float64_do_not_overflow_in_the_rule() -> None:
    oracle = torch.tensor([1e300, -1e300, 2e300] * 5, dtype=torch.float64)

    comparison = judge(oracle, oracle * (1 + 1e-3), "float64")

    assert not comparison.ok
    assert comparison.max_rel == pytest.approx(1e-3, rel=0.6)


def test_a_subnormal_half_may_round_by_its_own_spacing() -> None:
    oracle = torch.full((4, 65537), 1 / 65537, dtype=torch.float64)

    assert judge(oracle, oracle, "float16").ok


def test_an_empty_shape_is_one_element() -> None:
    assert judge(torch.tensor(2.0, dtype=torch.float64), torch.tensor(2.0)).ok
    assert not judge(torch.tensor(2.0, dtype=torch.float64), torch.tensor(2.1)).ok


# What is said of a failure


def test_a_failure_names_place_values_and_case_and_survives_json() -> None:
    oracle = torch.ones(3, 9, dtype=torch.float64)
    got = oracle.clone()
    got[1, 4] = math.nan
    expected = expected_of(oracle)

    failure = wrong_result(compare(tensor_bytes(got.float()), expected, "y"), expected)
    again = from_record(json.loads(json.dumps(failure.to_record(), allow_nan=False)))

    assert again.outcome is Outcome.WRONG_RESULT
    assert again.details["first_bad_index"] == [1, 4]
    assert again.details["got"] == "nan"
    assert "1 of 27 elements are wrong; first at [1, 4]: got nan, want 1.0" in again.message


def test_a_right_result_is_no_failure() -> None:
    expected = expected_of(torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="no failure to describe"):
        wrong_result(compare(tensor_bytes(torch.ones(3)), expected, "y"), expected)


def test_another_size_is_wrong() -> None:
    comparison = compare(b"\0" * 8, expected_of(torch.ones(3, dtype=torch.float64)), "y")

    assert (comparison.ok, comparison.kind, comparison.count) == (False, "size", 3)


def test_an_unknown_output_is_named() -> None:
    with pytest.raises(UnknownNameError, match="there is y"):
        compare(b"", expected_of(torch.ones(3, dtype=torch.float64)), "z")


def test_bytes_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="7 bytes for float32 of shape"):
        tensor_from_bytes(b"1234567", "float32", (2,))


def test_a_tighter_tolerance_of_the_problem_is_obeyed() -> None:
    strict = Problem(
        name="scale",
        axes=("n",),
        inputs=(TensorSpec("x", "n"),),
        outputs=(TensorSpec("y", "n"),),
        reference=lambda x: x * 1.5,
        workloads=("n=64",),
        tolerance=Tolerance(compute_roundings=0.0, summation_roundings=0.0, native_multiple=0.0),
    )
    case = InputCase(strict, strict.workloads[0], "normal", 7)

    assert run(case, lambda x: x * 1.5).ok
    assert not run(case, lambda x: x * (1.5 + 2**-20)).ok
