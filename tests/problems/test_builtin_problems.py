"""The built-in problems keep their contract: names, sizes, counts of operations."""

from __future__ import annotations

import math

import pytest

from kernelevolve import registry
from kernelevolve.problem import Workload

CONTRACT = {
    "softmax": (("rows", "cols"), ("x", "y"), "rows=4096,cols=1024", "row_reduction"),
    "rms_norm": (("rows", "cols"), ("x", "weight", "y"), "rows=4096,cols=1024", "row_reduction"),
    "matmul": (("m", "n", "k"), ("a", "b", "c"), "m=512,n=512,k=512", "matmul"),
    "map_id": (("count", "size"), ("values", "table", "index"), "count=1000000,size=50000", "search"),
}


def test_the_built_in_problems_are_registered() -> None:
    assert set(CONTRACT) <= set(registry.problem_names())


@pytest.mark.parametrize("name", CONTRACT)
def test_names_and_cpu_workload_are_what_kernel_files_and_benchmarks_bind_to(name: str) -> None:
    problem = registry.problem(name)
    axes, tensors, cpu, pattern = CONTRACT[name]

    assert problem.name == name
    assert problem.axes == axes
    assert tuple(spec.name for spec in problem.tensors) == tensors
    assert [workload.label for workload in problem.tagged("cpu")] == [cpu]
    assert problem.pattern == pattern
    assert problem.tagged("smoke")
    assert problem.tagged("gpu")


def test_rms_norm_has_its_epsilon_as_a_scalar() -> None:
    assert [(scalar.name, scalar.value) for scalar in registry.problem("rms_norm").scalars] == [("eps", 1e-6)]


@pytest.mark.parametrize(
    ("name", "sizes", "operations", "nbytes"),
    [
        ("softmax", "rows=10,cols=20", 5 * 200, 2 * 800),
        ("rms_norm", "rows=10,cols=20", 4 * 200, 2 * 800 + 80),
        ("matmul", "m=2,n=3,k=5", 60, 4 * (10 + 15 + 6)),
        ("map_id", "count=10,size=1000", 100, 4 * (10 + 10 + 1000)),
    ],
)
def test_rooflines_count_operations_and_compulsory_bytes(name: str, sizes: str, operations: int, nbytes: int) -> None:
    problem, workload = registry.problem(name), Workload.parse(sizes)

    assert problem.operation_count(workload) == operations
    assert problem.compulsory_bytes(workload) == nbytes


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1023, 1024, 1025, 50_000, 1_000_000])
def test_a_search_takes_the_binary_logarithm_of_the_table_in_steps(size: int) -> None:
    problem = registry.problem("map_id")

    assert problem.operation_count(Workload({"count": 3, "size": size})) == 3 * math.ceil(math.log2(size))
