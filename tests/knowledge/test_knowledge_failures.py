"""Diagnoses of kernels that are not right: of real failures, of their fields, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve import registry
from kernelevolve.accelerator import Device
from kernelevolve.evaluation.casebook import CaseBook
from kernelevolve.evaluation.measure import Protocol
from kernelevolve.evaluation.pipeline import Evaluator, Settings
from kernelevolve.evaluation.records import Evaluation
from kernelevolve.evaluation.wire import unstructure
from kernelevolve.kernel import Kernel, parse_kernel
from kernelevolve.knowledge import Bottleneck, Diagnosis, diagnose
from kernelevolve.outcome import Outcome
from kernelevolve.problem import Workload

WORKLOAD = "rows=64,cols=256"

# --- wrong kernels, really evaluated

HEADER = """// /// kernel
// language = "opencl"
// [[launch]]
// entry = "f"
// grid = ["rows"]
// block = ["1"]
// ///
"""
RIGHT = (
    HEADER
    + """
__kernel void f(__global const x_t *x, __global y_t *y, int cols) {
    const long row = (long)get_group_id(0) * cols;
    float top = -INFINITY, total = 0.0f;
    for (int i = 0; i < cols; i++) top = fmax(top, (float)x[row + i]);
    for (int i = 0; i < cols; i++) total += exp((float)x[row + i] - top);
    for (int i = 0; i < cols; i++) y[row + i] = exp((float)x[row + i] - top) / total;
}
"""
)
TAIL = "for (int i = 0; i < cols; i++) y["
WRONG = {
    "right": (RIGHT, None),
    "no maximum": (RIGHT.replace("- top", ""), Bottleneck.WRONG_NAN),
    "wrong formula": (RIGHT.replace("/ total", "/ total + 0.25f"), Bottleneck.WRONG_EVERYWHERE),
    "nothing written": (
        RIGHT.replace(TAIL, "for (int i = cols; i < cols; i++) y["),
        (Bottleneck.WRONG_NAN, Bottleneck.WRONG_EVERYWHERE),
    ),
    "zeros": (RIGHT.replace("y[row + i] = exp", "y[row + i] = 0.0f * exp"), Bottleneck.WRONG_EVERYWHERE),
    "tail left out": (
        RIGHT.replace(TAIL, "for (int i = 0; i < max(1, cols / 4 * 4); i++) y["),
        (Bottleneck.WRONG_EDGES, Bottleneck.WRONG_NAN),
    ),
    "tail not summed": (
        RIGHT.replace("float top = -INFINITY, total = 0.0f;", "float top = -INFINITY, total = 0.0f; int n = cols < 4 ? "
        "cols : cols / 4 * 4;").replace("i < cols; i++) total", "i < n; i++) total"),
        (Bottleneck.WRONG_EDGES, Bottleneck.WRONG_NAN),
    ),
    "written beside": (RIGHT.replace("y[row + i] =", "y[row + i + 1] ="), Bottleneck.OUT_OF_BOUNDS),
    "undeclared": (RIGHT.replace("top = fmax", "high = fmax"), Bottleneck.COMPILE_NAME),
    "no semicolon": (RIGHT.replace("total = 0.0f;", "total = 0.0f"), (Bottleneck.COMPILE_SYNTAX, Bottleneck.REJECTED)),
    "wrong type": (
        RIGHT.replace("float top =", "float3 a = (float3)(1.0f); float4 b = a; float top ="), Bottleneck.COMPILE_TYPE
    ),
    "includes": (RIGHT.replace("__kernel", "#include <stdio.h>\n__kernel"), Bottleneck.REJECTED),
    "endless": (RIGHT.replace("i < cols; i++) total", "i >= 0; i += 0) total"), Bottleneck.TIMEOUT),
    "too large a group": (RIGHT.replace('block = ["1"]', 'block = ["100000"]'), Bottleneck.RESOURCE_EXCEEDED),
    "not served": (
        RIGHT.replace('language = "opencl"', 'language = "opencl"\n// when = "cols < 4"'), Bottleneck.CONSTRAINT
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def evaluate():  # type: ignore[no-untyped-def]
    """Judges an OpenCL kernel for softmax, in one warm worker."""
    from kernelevolve.evaluation.isolation import Limits

    made = registry.accelerator("opencl")
    if made.probe().status != "ok":
        pytest.skip("OpenCL cannot be used here")
    settings = Settings(
        limits=Limits(run_seconds=2.0),
        protocol=Protocol(first_look=1, screen_rounds=1, screen_seconds=0.01, flush=False, unstable=1e9),
        check_bytes=64 << 10,
    )
    problem, device = registry.problem("softmax"), made.devices()[0]
    with Evaluator(
        problem,
        made,
        device,
        workloads=[Workload.parse(WORKLOAD)],
        path=registry.worker_path("opencl"),
        settings=settings,
        secret=7,
    ) as evaluator:

        def judge(text: str) -> tuple[Evaluation, Device]:
            return evaluator.evaluate(parse_kernel(text)), device

        yield judge


@pytest.mark.opencl
@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_kernel_is_wrong_in_its_own_way(name: str, evaluate: Any) -> None:
    text, expected = WRONG[name]
    found, device = evaluate(text)
    stored = {**unstructure(found.profile), "checks": unstructure(found.checks), "resources": {}}
    made = diagnose(outcome=found.outcome, message=found.message, details=found.details, profile=stored, device=device)
    if expected is None:
        assert made.bottleneck.right, made.sentence
        return
    assert made.bottleneck in (expected if isinstance(expected, tuple) else (expected,)), made.sentence
    assert found.message.strip() in made.sentence
    assert made.terms
    # A proposer has the message alone; it must not be led elsewhere by that.
    told = diagnose(outcome=found.outcome, message=found.message, profile=stored, device=device)
    assert told.bottleneck is made.bottleneck


# --- wrong results by their fields


def wrong(**fields: Any) -> dict[str, Any]:
    return {
        "output": "y",
        "kind": "value",
        "count": 5,
        "total": 100,
        "workload": "rows=3,cols=7",
        "distribution": "normal",
        "allowed": 1e-6,
        "max_rel": 1.0,
        "got": 1.0,
        "want": 2.0,
        **fields,
    }


EVEN = "rows=64,cols=256"


@pytest.mark.parametrize(
    ("fields", "passed", "expected"),
    [
        ({"kind": "nonfinite", "got": "nan", "count": 100, "distribution": "large"}, 3, Bottleneck.WRONG_NAN),
        ({"kind": "nonfinite", "got": "inf"}, 0, Bottleneck.WRONG_NAN),
        ({"kind": "nonfinite", "got": "nan"}, 0, Bottleneck.WRONG_EDGES),
        ({"kind": "nonfinite", "got": "nan", "workload": EVEN}, 0, Bottleneck.WRONG_NAN),
        ({"kind": "integer", "got": -1}, 2, Bottleneck.WRONG_EDGES),
        ({"kind": "integer", "got": 5, "count": 100, "workload": EVEN}, 9, Bottleneck.WRONG_EVERYWHERE),
        ({"kind": "zeros"}, 5, Bottleneck.WRONG_EVERYWHERE),
        ({"kind": "size"}, 0, Bottleneck.WRONG_EVERYWHERE),
        ({"max_rel": 5e-6}, 0, Bottleneck.WRONG_MAGNITUDE),
        ({"max_rel": 5e-6, "workload": "rows=3,cols=7,x:float16"}, 6, Bottleneck.WRONG_DTYPE),
        ({"count": 100}, 0, Bottleneck.WRONG_EVERYWHERE),
        ({"count": 100}, 2, Bottleneck.WRONG_EDGES),
        ({"count": 100, "distribution": "large"}, 6, Bottleneck.WRONG_MAGNITUDE),
        ({"count": 100, "workload": "rows=3,cols=7,x:float16"}, 6, Bottleneck.WRONG_DTYPE),
        ({"count": 100}, 6, Bottleneck.WRONG_EDGES),
        ({"count": 5}, 0, Bottleneck.WRONG_EDGES),
        ({"count": 5, "workload": EVEN}, 0, Bottleneck.WRONG_EVERYWHERE),
    ],
)
def test_the_fields_of_a_wrong_result_tell_its_kind(fields: dict[str, Any], passed: int, expected: Bottleneck) -> None:
    profile = {"checks": {"passed": passed}}
    found = diagnose(outcome=Outcome.WRONG_RESULT, message="m", details=wrong(**fields), profile=profile)
    assert found.bottleneck is expected


def test_the_first_checks_are_the_odd_ones_and_those_of_the_problem_s_own_type() -> None:
    """What telling edges from types and magnitudes rests on."""
    for name in ("softmax", "matmul"):
        cases = CaseBook(
            registry.problem(name), 1, limit_bytes=64 << 10, dtypes=frozenset({"float32", "float16"})
        ).checks()
        sizes = [list(case.workload.axes.values()) for case in cases[:4]]
        assert all(any(size % 16 for size in each) for each in sizes)
        assert not cases[0].workload.dtypes


# --- other failures


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("line 3: use of undeclared identifier 'foo'", Bottleneck.COMPILE_NAME),
        ("line 3: implicit declaration of function 'tanhf' is invalid in OpenCL", Bottleneck.COMPILE_NAME),
        ("line 9: expected ';' after expression", Bottleneck.COMPILE_SYNTAX),
        ("line 9: invalid syntax", Bottleneck.COMPILE_SYNTAX),
        ("line 4: NameError('BLOCK is not defined')", Bottleneck.COMPILE_NAME),
        ("line 12: Input shapes should have M >= 1, got incompatible shapes", Bottleneck.COMPILE_TYPE),
        ("line 6: arange's range must be a power of 2", Bottleneck.COMPILE_TYPE),
        ("line 6: no-3d-dot: tl.dot takes matrices, not 3-dimensional tensors", Bottleneck.COMPILE_UNSUPPORTED),
        ("float8 is not supported on this architecture", Bottleneck.COMPILE_UNSUPPORTED),
        ("line 2: something else", Bottleneck.COMPILE_OTHER),
    ],
)
def test_a_compile_error_is_classed_by_the_compiler_s_words(message: str, expected: Bottleneck) -> None:
    assert diagnose(outcome=Outcome.COMPILE_ERROR, message=message).bottleneck is expected
    vague = diagnose(outcome=Outcome.COMPILE_ERROR, message="it failed", details={"log": message, "line": 2})
    assert vague.bottleneck is expected
    assert "log" not in vague.evidence


def test_names_that_a_compiler_quotes_are_searched_for() -> None:
    found = diagnose(outcome=Outcome.COMPILE_ERROR, message="line 1: use of undeclared identifier 'tl.foo'")
    assert "tl.foo" in found.terms


def test_what_a_failure_names_is_searched_for() -> None:
    details = {"resource": "shared memory", "needed": 300_000, "limit": 232_448}
    found = diagnose(outcome=Outcome.RESOURCE_EXCEEDED, message="300000 bytes", details=details)
    assert (found.bottleneck, "shared memory" in found.terms) == (Bottleneck.RESOURCE_EXCEEDED, True)
    assert found.evidence == details


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_diagnosis(outcome: Outcome, h100: Device) -> None:
    found = diagnose(outcome=outcome, message="what happened", device=h100)
    assert found.bottleneck.right is outcome.right
    assert found.sentence
    unknown = {Outcome.DEVICE_LOST, Outcome.PLUGIN_BUG}
    assert (found.bottleneck is Bottleneck.UNKNOWN) is (outcome in unknown)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["kind", "count", "total", "workload", "distribution", "allowed", "max_rel", "got", "log", "line"]
)


@given(
    outcome=st.sampled_from(Outcome),
    message=st.text(max_size=200),
    details=st.dictionaries(FIELDS, JSON, max_size=6),
    passed=st.integers(0, 20),
)
def test_whatever_details_say_there_is_a_diagnosis_and_the_same_twice(
    outcome: Outcome, message: str, details: dict[str, Any], passed: int
) -> None:
    def made() -> Diagnosis:
        return diagnose(outcome=outcome, message=message, details=details, profile={"checks": {"passed": passed}})

    assert made() == made()
    json.dumps(made().evidence)


def test_a_kernel_is_a_kernel() -> None:
    """The texts above are files that parse: what fails in them is what each is about."""
    assert all(isinstance(parse_kernel(text), Kernel) for text, _ in WRONG.values())
