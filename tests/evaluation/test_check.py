"""What a checked run may leave behind, on the reference device, and what a timed one may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernelevolve import parse_kernel
from kernelevolve.evaluation.check import check_case, verify
from kernelevolve.evaluation.pipeline import Evaluator
from kernelevolve.outcome import InputModified, Nondeterministic, OutOfBounds, WrongResult
from kernelevolve.testing import samples

from .conftest import WORKLOAD


@pytest.fixture
def evaluator(rogue_evaluator: Callable[..., Evaluator]) -> Evaluator:
    return rogue_evaluator()


def checked(evaluator: Evaluator, line: str, *, repeat: bool = True) -> bool:
    kernel = parse_kernel(samples._with(line))
    case = next(case for case in evaluator.book.checks() if case.workload.label == "rows=3,cols=5")
    plan = evaluator.gate.plan(kernel, {}, case.workload)
    return check_case(evaluator.runner, plan, case, repeat=repeat)


def test_a_right_kernel_gives_the_same_bytes_twice(evaluator: Evaluator) -> None:
    assert checked(evaluator, "pass") is True


@pytest.mark.parametrize(
    ("line", "failure", "details"),
    [
        ("store(y, rows * cols, 0.0)", OutOfBounds, {"buffer": "y", "side": "behind", "offset": 1}),
        ("store(y, -1, 0.0)", OutOfBounds, {"buffer": "y", "side": "before"}),
        ("store(x, rows * cols + 9, 0.0)", OutOfBounds, {"buffer": "x", "side": "behind", "offset": 37}),
        ("x[0] = 0.0", InputModified, {"input": "x"}),
        ("y[0] = 9.0", WrongResult, {"output": "y", "count": 1}),
        ("y[0] = y[0] + unstable()", Nondeterministic, {"output": "y"}),
        ("y[0] = y[0] + (1.0 if load(x, -1) == 0.0 else 0.0)", OutOfBounds, {"buffer": "y", "side": "unknown"}),
    ],
)
def test_each_offence_has_its_name_and_place(
    evaluator: Evaluator, line: str, failure: type[Exception], details: dict[str, object]
) -> None:
    with pytest.raises(failure) as caught:
        checked(evaluator, line)
    found = caught.value.details  # type: ignore[attr-defined]
    assert {name: found[name] for name in details} == details
    assert "rows=3,cols=5" in str(found["workload"])


def test_an_offence_of_the_second_run_only_is_seen_too(evaluator: Evaluator) -> None:
    late = "x[0] = 0.0 if unstable() == 1 else x[0]"
    assert checked(evaluator, late, repeat=False) is True
    with pytest.raises(InputModified):
        checked(evaluator, late)


def test_rounding_that_differs_from_run_to_run_is_right_and_noted(evaluator: Evaluator) -> None:
    assert checked(evaluator, "y[0] = y[0] * (1.0 + 1e-7 * 2 * unstable())") is False


@pytest.mark.parametrize(
    ("line", "failure"),
    [("x[0] = x[0] + 1e-6", InputModified), ("store(y, -1, 0.0)", OutOfBounds), ("y[0] = 9.0", WrongResult)],
)
def test_what_timed_launches_leave_is_judged_by_the_same_rules(
    evaluator: Evaluator, line: str, failure: type[Exception]
) -> None:
    kernel = parse_kernel(samples._with(line))
    contestant = evaluator.contestant(kernel, {}, WORKLOAD)
    evaluator.runner.sample([(contestant, 0), (contestant, 1)], flush=False)
    case = evaluator.book.rotations(WORKLOAD, 1)[0]
    with pytest.raises(failure):
        verify(evaluator.runner, contestant.plan, case, contestant.handle(0))


def test_buffers_are_given_back_after_success_and_failure(evaluator: Evaluator) -> None:
    checked(evaluator, "pass")
    with pytest.raises(WrongResult):
        checked(evaluator, "y[0] = 9.0")
    assert evaluator.runner._prepared == {}
