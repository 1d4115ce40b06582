"""The built-in problems' OpenCL seeds are right on every case a candidate is checked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kernelevolve import registry
from kernelevolve.evaluation.cases import check_plan, expect, make_inputs
from kernelevolve.evaluation.correctness import compare
from kernelevolve.kernel import parse_kernel, render_kernel

if TYPE_CHECKING:
    from conftest import Bench

BUILT_IN = ("softmax", "rms_norm", "matmul", "map_id")


@pytest.mark.opencl
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_opencl_seed_is_right_on_every_checked_case(name: str, bench: Bench) -> None:
    problem = registry.problem(name)
    wrong = []
    for case in check_plan(problem, 20_26):
        if not set(problem.dtypes(case.workload).values()) <= bench.device.dtypes:
            continue
        inputs = make_inputs(case)
        expected = expect(case, inputs)
        for output, got in bench.run(problem, case.workload, inputs).items():
            comparison = compare(got, expected, output)
            if not comparison.ok:
                wrong.append((case.label, comparison))
    assert wrong == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_seed_file_survives_parsing_and_rendering(name: str) -> None:
    kernel = parse_kernel(registry.problem(name).seeds["opencl"])

    assert kernel.language == "opencl"
    assert kernel.tunables == {}
    assert parse_kernel(render_kernel(kernel)) == kernel
