"""The task linter: each kind of bad task is found, named, and told how to mend."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from kernelevolve import registry
from kernelevolve.evaluation.lint import Finding, lint
from kernelevolve.problem import InputRequest, Problem, TensorSpec, Workload

MATRIX = TensorSpec("x", "rows, cols")
SMOKE = Workload.parse("rows=16,cols=32", ["smoke"])
LARGE = Workload.parse("rows=1024,cols=1024")


def task(**changes: object) -> Problem:
    """A task with nothing wrong, changed in one place."""
    declared: dict[str, object] = {
        "name": "task",
        "axes": ("rows", "cols"),
        "inputs": (MATRIX,),
        "outputs": (TensorSpec("y", "rows, cols"),),
        "reference": lambda x: x.tanh(),
        "workloads": (SMOKE, LARGE),
    }
    return Problem(**{**declared, **changes})  # type: ignore[arg-type]


def found(problem: Problem) -> dict[str, Finding]:
    return {finding.rule: finding for finding in lint(problem)}


def test_a_good_task_gives_no_finding() -> None:
    assert lint(task()) == ()


@pytest.mark.parametrize("name", ["softmax", "rms_norm", "matmul", "map_id"])
def test_the_built_in_problems_give_no_finding(name: str) -> None:
    assert lint(registry.problem(name)) == ()


def test_c1_an_output_that_its_inputs_cannot_change_is_an_error() -> None:
    findings = found(task(reference=lambda x: torch.sigmoid(x * 0 + 40)))

    assert findings["C1-constant-output"].severity == "error"
    assert "output 'y' is the same for different inputs" in findings["C1-constant-output"].message


def test_c2_a_generator_that_always_draws_the_same_is_an_error() -> None:
    def generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
        return {"x": torch.ones(request.axes["rows"], request.axes["cols"])}

    assert found(task(generate=generate))["C2-constant-input"].severity == "error"


def test_c3_workloads_that_are_all_tiny_are_warned_of() -> None:
    finding = found(task(workloads=(SMOKE, "rows=32,cols=32")))["C3-launch-overhead"]

    assert finding.severity == "warning"
    assert "even rows=32,cols=32 moves 8192 bytes only" in finding.message


def test_c3_little_data_with_much_arithmetic_is_not_tiny() -> None:
    workloads = (SMOKE, "rows=128,cols=128")

    assert "C3-launch-overhead" not in found(task(workloads=workloads, operations="rows**2 * cols"))


def test_c4_a_python_loop_over_elements_is_warned_of() -> None:
    def loop(x: torch.Tensor) -> torch.Tensor:
        y = torch.empty_like(x)
        for row in range(x.shape[0]):
            for col in range(x.shape[1]):
                y[row, col] = torch.tanh(x[row, col])
        return y

    workloads = (Workload.parse("rows=64,cols=256", ["smoke"]), LARGE)

    assert found(task(reference=loop, workloads=workloads))["C4-slow-reference"].severity == "warning"


def test_c4_a_reference_with_much_declared_arithmetic_is_not_slow() -> None:
    problem = Problem(
        name="product",
        axes=("n",),
        inputs=(TensorSpec("a", "n, n"), TensorSpec("b", "n, n")),
        outputs=(TensorSpec("c", "n, n"),),
        reference=lambda a, b: a @ b,
        workloads=(Workload.parse("n=512", ["smoke"]), "n=1024"),
        operations="2*n**3",
    )

    assert lint(problem) == ()


def test_c5_a_single_workload_is_warned_of() -> None:
    assert set(found(task(workloads=(Workload.parse("rows=1024,cols=1024", ["smoke"]),)))) == {"C5-one-workload"}


def test_an_input_without_effect_is_an_error() -> None:
    problem = task(inputs=(MATRIX, TensorSpec("bias", "cols")), reference=lambda x, bias: torch.tanh(x) + 0 * bias)

    assert "no output changes with input 'bias'" in found(problem)["ignored-input"].message


def test_one_idle_output_among_several_is_an_error() -> None:
    outputs = (TensorSpec("y", "rows, cols"), TensorSpec("z", "rows"))

    finding = found(task(outputs=outputs, reference=lambda x: (torch.tanh(x), torch.ones(x.shape[0]))))

    assert "output 'z'" in finding["C1-constant-output"].message


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (lambda x: x.nope(), "AttributeError"),
        (lambda x: (x, x), "returned 2 values"),
        (lambda x: x[:1], "declares (16, 32)"),
        (lambda y: y, "a parameter 'y' that nothing binds"),
    ],
)
def test_a_reference_that_does_not_run_is_the_only_error(reference: object, words: str) -> None:
    (finding,) = lint(task(reference=reference))

    assert (finding.severity, finding.rule) == ("error", "reference")
    assert words in finding.message


def test_a_reference_with_chance_in_it_is_an_error() -> None:
    assert found(task(reference=lambda x: x + torch.rand_like(x)))["nondeterministic"].severity == "error"


def test_a_reference_that_writes_to_its_input_is_an_error() -> None:
    assert "writes to its input 'x'" in found(task(reference=lambda x: x.tanh_()))["input-changed"].message


def test_an_output_that_equals_an_input_is_warned_of() -> None:
    assert found(task(reference=lambda x: x.clone()))["copied-input"].severity == "warning"


def test_nan_for_normal_inputs_is_an_error() -> None:
    assert found(task(reference=lambda x: x.sqrt()))["nan"].severity == "error"


def test_an_overflow_for_normal_inputs_is_warned_of() -> None:
    workloads = (Workload.parse("rows=16,cols=32,x:float16,y:float16", ["smoke"]), LARGE)

    findings = found(task(reference=lambda x: x * 60000, workloads=workloads))

    assert "overflows float16" in findings["overflow"].message


def test_a_distribution_that_cannot_be_drawn_is_an_error() -> None:
    def generate(request: InputRequest) -> Mapping[str, torch.Tensor]:
        if request.distribution == "large":
            raise NotImplementedError("only normal")
        return {}

    assert "leave 'large' out of distributions" in found(task(generate=generate))["distribution"].message


def test_adversarial_inputs_need_a_generator() -> None:
    assert "no generate makes them" in found(task(distributions=("normal", "adversarial")))["distribution"].message


def test_a_task_without_a_smoke_workload_is_warned_of() -> None:
    assert set(found(task(workloads=("rows=16,cols=32", LARGE)))) == {"no-smoke"}


def test_a_requirement_that_no_derived_size_meets_asks_for_hidden_ones() -> None:
    workloads = (Workload.parse("rows=20,cols=1000", ["smoke"]), "rows=2000,cols=1000")

    findings = found(task(requires="cols == 1000", workloads=workloads))
    mended = found(task(requires="cols == 1000", workloads=workloads, hidden=("rows=37,cols=1000",)))

    assert "cols == 1000" in findings["no-hidden"].message
    assert mended == {}


def test_errors_come_before_warnings() -> None:
    severities = [finding.severity for finding in lint(task(reference=lambda x: x.clone().sqrt(), workloads=(LARGE,)))]

    assert severities == sorted(severities)
    assert set(severities) == {"error", "warning"}
