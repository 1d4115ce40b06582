"""What only checking may know is in no context: hidden workloads, seeds, expected values, the generator of inputs."""

from __future__ import annotations

from typing import Any

import pytest
from context_requests import LANGUAGES, device, everything, lesson, relative, request, section

from kernelevolve import parse_kernel, registry
from kernelevolve.evaluation.cases import check_plan
from kernelevolve.evolution.proposal import Parent, ProposalRequest
from kernelevolve.knowledge import Library
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Problem, TensorSpec
from kernelevolve.proposers.context import discreet
from kernelevolve.testing import samples


@pytest.mark.parametrize("name", registry.problem_names())
def test_no_hidden_workload_and_no_case_of_the_checks_is_in_it(name: str, library: Library) -> None:
    """Not even where the pipeline's own words, which name the failing case, are passed on."""
    problem = registry.problem(name)
    language = next(one for one in LANGUAGES if one in problem.seeds)
    timed = problem.workloads[-1]
    hidden = {case.workload.label: case for case in check_plan(problem, 12345)}
    hidden.pop(timed.label, None)
    assert hidden
    messages = [
        f"output 'y' is too far off for {label} (large inputs): 7 of 231 elements are wrong; "
        f"first at [3, 5]: got 0.8131, want 0.4242"
        for label in hidden
    ]
    parent = Parent(
        3,
        parse_kernel(problem.seeds[language]),
        Outcome.WRONG_RESULT,
        0.0,
        message="; ".join(messages),
        profile={
            "checks": {"passed": 3, "planned": 31337},
            "details": {"workload": next(iter(hidden)), "want": 0.4242, "got": 0.8131},
            "rates": {next(iter(hidden)): {"bytes_per_second": 1.0}},
        },
    )
    told = tuple(relative(number, message=message) for number, message in enumerate(messages))
    lessons = tuple(lesson(message) for message in messages[:8])
    made = request(name, language, workloads=(timed,), parents=(parent,), relatives=told, lessons=lessons)
    text = everything(made, library)
    for label, case in hidden.items():
        assert label not in text
        assert str(case.seed) not in text
    for value in ("0.8131", "0.4242", "31337", "231 elements"):
        assert value not in text
    assert timed.label in text


@pytest.mark.parametrize("name", registry.problem_names())
def test_the_visible_workloads_that_are_not_timed_are_not_shown_either(name: str) -> None:
    problem = registry.problem(name)
    language = next(one for one in LANGUAGES if one in problem.seeds)
    text = everything(request(name, language, workloads=problem.workloads[:1], knowledge=False))
    for other in problem.workloads[1:]:
        assert other.label not in text


@pytest.mark.parametrize("name", registry.problem_names())
def test_the_reference_is_shown_and_the_generator_of_inputs_is_not(name: str) -> None:
    problem = registry.problem(name)
    language = next(one for one in LANGUAGES if one in problem.seeds)
    text = section(request(name, language), "problem")
    assert "def _reference(" in text
    assert "generator=" not in text
    assert "def _generate" not in text
    for spec in problem.tensors:
        assert f"`{spec.name}`" in text
    for workload in problem.hidden:
        assert workload.label not in text


SCALE = 3.0


def helper(x: Any) -> Any:
    return x * SCALE


def inputs(request: Any) -> dict[str, Any]:
    raise NotImplementedError


def small(reference: Any) -> Problem:
    return Problem(
        name="small",
        axes=("n",),
        inputs=(TensorSpec("x", "n"),),
        outputs=(TensorSpec("y", "n"),),
        reference=reference,
        generate=inputs,
        workloads=("n=64",),
        hidden=("n=77",),
    )


def of_small(reference: Any) -> str:
    problem = small(reference)
    seed = Parent(0, parse_kernel(samples.GOOD), Outcome.CORRECT, 1.0)
    return section(
        ProposalRequest(problem, device("reference"), "reference", problem.workloads, (seed,), "model", 1), "problem"
    )


def test_constants_and_helpers_of_the_reference_come_with_it() -> None:
    def reference(x: Any) -> Any:
        return helper(x) + 1

    text = of_small(reference)
    assert "SCALE = 3.0" in text
    assert text.index("def helper") < text.index("def reference")


def test_a_lambda_is_shown_without_what_stands_beside_it() -> None:
    text = of_small(reference := lambda x: 2 * x)
    hidden = "n=77"
    assert "lambda x: 2 * x" in text
    assert hidden not in text
    assert "of_small" not in text
    assert reference(2) == 4


def test_a_reference_without_a_source_is_left_out() -> None:
    made = eval("lambda x: 2 * x")
    assert "PyTorch (expected" not in of_small(made)
    assert "PyTorch (expected" not in of_small(abs)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "line 9, block (0, 0, 0), thread (1, 0, 0): a read of x[0, 7], whose shape is (1, 7)",
            "line 9, block (0, 0, 0), thread (1, 0, 0): a read of x, 1 beyond the last of dimension 1",
        ),
        ("a write to y[12], whose shape is (9,)", "a write to y, 4 beyond the last of dimension 0"),
        (
            "a read of x[-2], whose shape is (9,); a negative index wraps in a compiled kernel",
            "a read of x, 2 before the first of dimension 0; a negative index wraps in a compiled kernel",
        ),
        ("a load outside buffer 'x': at byte 12, and it has 8", "a load outside buffer 'x': 4 bytes behind its end"),
    ],
)
def test_how_far_outside_an_access_was_is_told_and_the_extents_are_not(text: str, told: str) -> None:
    problem = registry.problem("softmax")
    assert discreet(text, problem, problem.workloads[:1]) == told


def test_what_interpreters_say_of_an_access_is_what_is_rewritten() -> None:
    """The sentences come from these two places; where one is worded anew, its numbers must not pass."""
    from kernelevolve.backends._numba.interpreter.arrays import OutsideError
    from kernelevolve.backends._triton.memory import StrayAccess

    problem = registry.problem("softmax")
    numba = OutsideError("x", (0, 31), (1, 31), "read").sentence
    triton = StrayAccess("load", "x", "back", 35, 31).sentence
    for sentence in (numba, triton):
        assert "31" in sentence
        assert "31" not in discreet(sentence, problem, problem.workloads[:1])
