"""Rows C1 to C5: tasks on which no kernel could fail, found when a problem is loaded."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve

from kernelevolve.evaluation.lint import lint
from kernelevolve.problem import Problem, TensorSpec, Workload

from .conftest import affine


def slow(x: torch.Tensor) -> torch.Tensor:
    rows = [torch.stack([2 * value + 1 for value in row]) for row in x]
    return torch.stack(rows)


BIG = (Workload.parse("rows=1024,cols=1024", ["smoke"]), Workload.parse("rows=2048,cols=1024"))
BAD: dict[str, Problem] = {
    "C1-constant-output": evolve(affine(), reference=lambda x: 0 * x + 3),
    "C2-constant-input": evolve(affine(), generate=lambda request: {"x": torch.ones(*request.axes.values())}),
    "C3-launch-overhead": evolve(affine(), workloads=("rows=4,cols=4", "rows=8,cols=8")),
    "C4-slow-reference": evolve(affine(), reference=slow, workloads=("rows=128,cols=128", "rows=256,cols=64")),
    "C5-one-workload": evolve(affine(), workloads=BIG[:1]),
}


@pytest.mark.parametrize("rule", BAD)
def test_a_bad_task_is_named_with_what_to_change(rule: str) -> None:
    found = {finding.rule: finding for finding in lint(BAD[rule])}
    assert rule in found, sorted(found)
    assert found[rule].severity == ("error" if rule[:2] in ("C1", "C2") else "warning")
    assert len(found[rule].message) > 40


def test_c1_weights_that_cancel_the_inputs_are_found() -> None:
    cancelled = Problem(
        name="cancelled",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", "rows, cols"), TensorSpec("w", "cols")),
        outputs=(TensorSpec("y", "rows"),),
        reference=lambda x, w: (x * (w - w)).sum(-1),
        workloads=BIG,
    )
    assert {"C1-constant-output"} <= {finding.rule for finding in lint(cancelled)}


def test_a_good_task_is_not_called_one_of_these() -> None:
    good = evolve(affine(), workloads=BIG)
    assert not [finding for finding in lint(good) if finding.rule.startswith("C")]
