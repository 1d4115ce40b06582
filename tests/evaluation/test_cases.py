"""Input cases: drawn the same way twice, hostile in size and content, and secret."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.errors import ProblemError
from kernelevolve.evaluation.cases import (
    InputCase,
    case_seed,
    check_plan,
    derived_workloads,
    expect,
    make_inputs,
    run_reference,
    tensor_bytes,
    tensor_from_bytes,
)
from kernelevolve.problem import DTYPES, InputRequest, Problem, ScalarSpec, TensorSpec, Workload

BUILT_IN = ("softmax", "rms_norm", "matmul", "map_id")


def scale(**changes: object) -> Problem:
    declared: dict[str, object] = {
        "name": "scale",
        "axes": ("rows", "cols"),
        "inputs": (TensorSpec("x", "rows, cols"),),
        "outputs": (TensorSpec("y", "rows, cols"),),
        "reference": lambda x: x * 3,
        "workloads": (Workload.parse("rows=8,cols=8", ["smoke"]),),
    }
    return Problem(**{**declared, **changes})  # type: ignore[arg-type]


# Bytes


@pytest.mark.parametrize("dtype", DTYPES)
@given(shape=st.lists(st.integers(1, 5), max_size=3).map(tuple), seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_a_tensor_survives_the_way_through_bytes(dtype: str, shape: tuple[int, ...], seed: int) -> None:
    raw = torch.randint(
        0,
        2 if dtype == "bool" else 256,
        (*shape, DTYPES[dtype]),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(seed),
    )
    tensor = raw.view(getattr(torch, dtype)).reshape(shape)

    data = tensor_bytes(tensor)
    again = tensor_from_bytes(data, dtype, shape)

    assert len(data) == tensor.numel() * DTYPES[dtype]
    assert bytes(tensor_bytes(again)) == bytes(data)
    assert (again.shape, again.dtype) == (tensor.shape, tensor.dtype)


def test_the_bytes_of_a_transposed_tensor_are_in_its_own_order() -> None:
    tensor = torch.arange(6, dtype=torch.int32).reshape(2, 3).t()

    assert tensor_from_bytes(tensor_bytes(tensor), "int32", (3, 2)).tolist() == [[0, 3], [1, 4], [2, 5]]


# Inputs


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("distribution", ["normal", "large", "constant", "adversarial"])
def test_one_seed_gives_one_set_of_inputs(name: str, distribution: str) -> None:
    problem = registry.problem(name)

    def draw(seed: int) -> dict[str, bytes]:
        inputs = make_inputs(InputCase(problem, problem.workloads[0], distribution, seed))
        return {key: bytes(tensor_bytes(value)) for key, value in inputs.items()}

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distribution", ["normal", "large", "constant"])
def test_every_type_can_be_drawn_finite(dtype: str, distribution: str) -> None:
    problem = scale(workloads=(f"rows=40,cols=50,x:{dtype}",))

    x = make_inputs(InputCase(problem, problem.workloads[0], distribution, 3))["x"]

    assert x.dtype == getattr(torch, dtype)
    assert x.is_contiguous()
    assert torch.isfinite(x.double()).all()
    assert (x.double().unique().numel() == 1) == (distribution == "constant")


def test_large_inputs_are_large() -> None:
    problem = scale()

    def size(kind: str) -> float:
        return float(make_inputs(InputCase(problem, problem.workloads[0], kind, 3))["x"].abs().mean())

    assert size("large") > 1000 * size("normal")


def test_a_generator_may_leave_inputs_to_the_core() -> None:
    def generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
        return {"order": torch.randperm(request.axes["cols"], generator=request.rng)}

    problem = scale(
        inputs=(TensorSpec("x", "rows, cols"), TensorSpec("order", "cols", "int32")),
        reference=lambda x, order: x[:, order],
        generate=generate,
    )
    inputs = make_inputs(InputCase(problem, problem.workloads[0], "normal", 3))

    assert inputs["order"].dtype == torch.int32
    assert sorted(inputs["order"].tolist()) == list(range(8))
    assert inputs["x"].shape == (8, 8)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda _: {"x": torch.zeros(3)}, r"'x' of shape \(3,\); the problem declares \(8, 8\)"),
        (lambda _: {"xx": torch.zeros(3)}, "'xx', which is no input; return tensors for x. Did you mean 'x'"),
        (lambda _: {"x": [1.0]}, "a list for 'x'"),
        (lambda _: 1 // 0, "generate failed: ZeroDivisionError"),
    ],
)
def test_a_generator_that_does_not_fit_is_told_so(made: object, message: str) -> None:
    problem = scale(generate=made)

    with pytest.raises(ProblemError, match=message):
        make_inputs(InputCase(problem, problem.workloads[0], "normal", 3))


@given(
    size=st.integers(1, 3000),
    count=st.integers(1, 300),
    seed=st.integers(0, 2**62),
    kind=st.sampled_from(["normal", "large", "constant", "adversarial"]),
)
@settings(max_examples=60, deadline=None)
def test_tables_of_identifiers_strictly_increase(size: int, count: int, seed: int, kind: str) -> None:
    problem = registry.problem("map_id")
    workload = Workload({"count": count, "size": size})

    table = make_inputs(InputCase(problem, workload, kind, seed))["table"].long()

    assert (table.diff() > 0).all()


def test_about_half_of_the_identifiers_are_absent() -> None:
    problem = registry.problem("map_id")
    case = InputCase(problem, Workload.parse("count=10000,size=500"), "normal", 3)

    index = run_reference(problem, case.workload, make_inputs(case))[0]

    assert 0.4 < float((index == -1).float().mean()) < 0.6


def test_the_map_gives_positions_and_minus_one() -> None:
    values, table = torch.tensor([4, 9, 5, 2, 1, 10]), torch.tensor([2, 4, 9])

    (index,) = run_reference(
        registry.problem("map_id"), Workload.parse("count=6,size=3"), {"values": values, "table": table}
    )

    assert index.tolist() == [1, 2, -1, 0, -1, -1]


# The reference


def test_a_reference_gets_scalars_axes_and_tensors_by_name() -> None:
    problem = scale(scalars=(ScalarSpec("factor", 2.0),), reference=lambda factor, cols, x: x * factor + cols)

    (y,) = run_reference(problem, problem.workloads[0], {"x": torch.ones(8, 8)})

    assert y.tolist() == [[10.0] * 8] * 8


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (lambda weights: weights, "a parameter 'weights' that nothing binds; there is rows, cols, x"),
        (lambda x: x.nope(), "the reference failed: AttributeError"),
        (lambda x: (x, x), "returned 2 values; the problem declares 1"),
        (lambda x: x.sum(), r"returned 'y' of shape \(\); the problem declares \(8, 8\)"),
        (lambda x: 3, "returned a int for 'y', not a tensor"),
    ],
)
def test_a_reference_that_does_not_fit_is_told_so(reference: object, message: str) -> None:
    problem = scale(reference=reference)

    with pytest.raises(ProblemError, match=message):
        expect(InputCase(problem, problem.workloads[0], "normal", 3))


def test_a_reference_must_not_give_fractions_for_whole_numbers() -> None:
    problem = scale(outputs=(TensorSpec("y", "rows, cols", "int32"),))

    with pytest.raises(ProblemError, match="declared as whole numbers"):
        expect(InputCase(problem, problem.workloads[0], "normal", 3))


def test_the_oracle_is_computed_in_float64_from_the_inputs_as_stored() -> None:
    problem = scale(workloads=("rows=3,cols=5,x:float16,y:float16",), reference=lambda x: x / 3)
    case = InputCase(problem, problem.workloads[0], "normal", 3)
    inputs = make_inputs(case)

    wanted = expect(case, inputs).outputs["y"]

    assert wanted.dtype == "float16"
    assert torch.equal(wanted.values, (inputs["x"].double() / 3).reshape(-1))


def test_a_type_that_pytorch_cannot_compute_with_runs_in_float32() -> None:
    problem = scale(workloads=("rows=3,cols=5,x:float8_e4m3fn,y:float32",), reference=lambda x: torch.softmax(x, -1))
    case = InputCase(problem, problem.workloads[0], "normal", 3)

    assert expect(case).outputs["y"].native_error < 1e-6


def test_the_reference_cannot_change_the_inputs_that_kernels_get() -> None:
    problem = scale(reference=lambda x: x.mul_(3))
    case = InputCase(problem, problem.workloads[0], "normal", 3)
    inputs = make_inputs(case)

    expect(case, inputs)

    assert torch.equal(inputs["x"], make_inputs(case)["x"])


# The plan


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_check_covers_every_distribution_and_hidden_size_within_bounds(name: str) -> None:
    problem = registry.problem(name)

    plan = check_plan(problem, 7)

    assert 8 <= len(plan) <= 14
    assert {case.distribution for case in plan} == set(problem.distributions)
    assert {case.workload.label for case in plan} >= {one.label for one in problem.hidden}
    sizes = [sum(problem.nbytes(spec, case.workload) for spec in problem.tensors) for case in plan]
    assert sizes == sorted(sizes)
    assert sum(sizes) < 16 * 2**20


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_check_has_sizes_of_one_odd_ones_and_one_beyond_16_bits(name: str) -> None:
    axes = [case.workload.axes for case in check_plan(registry.problem(name), 7)]

    assert any(set(one.values()) == {1} for one in axes)
    assert any(all(value % 2 and value > 1 for value in one.values()) for one in axes)
    assert any(max(one.values()) > 2**16 for one in axes)


def test_one_secret_gives_one_plan_and_another_secret_other_inputs() -> None:
    problem = registry.problem("softmax")

    assert check_plan(problem, 7) == check_plan(problem, 7)
    assert {case.seed for case in check_plan(problem, 7)}.isdisjoint(case.seed for case in check_plan(problem, 8))


def test_no_two_cases_of_a_plan_share_a_seed() -> None:
    plan = check_plan(registry.problem("matmul"), 7)

    assert len({case.seed for case in plan}) == len(plan)


def test_seeds_keep_apart_what_only_joins_alike() -> None:
    assert case_seed(1, "ab", "c") != case_seed(1, "a", "bc")
    assert 0 <= case_seed(2**80, "x") < 2**63


def test_the_secret_is_not_shown_with_a_case() -> None:
    case = check_plan(registry.problem("softmax"), 7)[0]

    assert str(case.seed) not in repr(case)


@given(axes=st.integers(1, 4), limit=st.integers(2**10, 2**24))
@settings(max_examples=30, deadline=None)
def test_derived_sizes_fit_the_memory_limit(axes: int, limit: int) -> None:
    names = ["p", "q", "r", "s"][:axes]
    shape = ", ".join(names)
    problem = Problem(
        name="any",
        axes=names,
        inputs=(TensorSpec("x", shape),),
        outputs=(TensorSpec("y", shape),),
        reference=lambda x: x,
        workloads=(Workload(dict.fromkeys(names, 4)),),
    )

    for one in derived_workloads(problem, limit):
        assert sum(problem.nbytes(spec, one) for spec in problem.tensors) <= limit


def test_derived_sizes_satisfy_what_the_problem_requires() -> None:
    problem = scale(requires="cols % 8 == 0", workloads=("rows=8,cols=8",))

    derived = derived_workloads(problem)

    assert len(derived) >= 4
    assert all(one.axes["cols"] % 8 == 0 for one in derived)
    assert any(one.axes["cols"] > 2**16 for one in derived)


def test_derived_sizes_take_the_types_of_visible_workloads() -> None:
    problem = scale(workloads=("rows=8,cols=8", "rows=8,cols=8,x:float16,y:float16"))

    assert {one.dtypes.get("x", "float32") for one in derived_workloads(problem)} == {"float32", "float16"}


def test_where_nothing_fits_the_limit_the_smallest_visible_workload_is_checked() -> None:
    problem = scale(requires="rows == 4096", workloads=("rows=4096,cols=4096", "rows=4096,cols=2048"))

    plan = check_plan(problem, 7, limit_bytes=2**10)

    assert {case.workload.label for case in plan} == {"rows=4096,cols=2048"}
    assert {case.distribution for case in plan} == {"normal", "large", "constant"}
