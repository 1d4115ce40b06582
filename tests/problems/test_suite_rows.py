"""The suite's row-wise and elementwise problems: seeds that are right, inputs that are valid, checks that tell."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.evaluation.cases import InputCase, check_plan, expect, make_inputs, run_reference, tensor_bytes
from kernelevolve.evaluation.correctness import compare
from kernelevolve.evaluation.lint import lint
from kernelevolve.kernel import parse_kernel, render_kernel
from kernelevolve.language import Language
from kernelevolve.languages.numba_lang import NumbaLanguage
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.plan import make_plan, violated
from kernelevolve.problem import Problem, Workload

if TYPE_CHECKING:
    from conftest import Bench

NAMES = ("softmax", "rms_norm", "layer_norm", "rms_norm_backward", "cross_entropy", "swiglu", "rope", "mbdt")
PROBLEMS: dict[str, Problem] = {
    name: importlib.import_module(f"kernelevolve.problems.{name}").problem for name in NAMES
}
NARROW = ("float16", "bfloat16")
FACTS = {"num_units": 132, "warp_size": 32, "max_group_size": 1024}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Short operations on several threads wait for cores that other work keeps busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def element_type(problem: Problem, workload: Workload) -> str:
    """The narrowest float type among the tensors: what a workload is there to check."""
    dtypes = problem.dtypes(workload).values()
    return next((dtype for dtype in NARROW if dtype in dtypes), "float32")


def nbytes(problem: Problem, workload: Workload) -> int:
    return sum(problem.nbytes(spec, workload) for spec in problem.tensors)


def is_right(case: InputCase, outputs: Sequence[torch.Tensor]) -> bool:
    expected, dtypes = expect(case), case.problem.dtypes(case.workload)
    stored = {
        spec.name: tensor_bytes(output.to(getattr(torch, dtypes[spec.name])))
        for spec, output in zip(case.problem.outputs, outputs, strict=True)
    }
    return all(compare(got, expected, name).ok for name, got in stored.items())


@pytest.mark.opencl
@pytest.mark.parametrize("name", NAMES)
def test_the_opencl_seed_is_right_on_every_case_whose_types_the_device_has(name: str, bench: Bench) -> None:
    problem, wrong, runs = PROBLEMS[name], [], 0
    for case in check_plan(problem, 20_26):
        if not set(problem.dtypes(case.workload).values()) <= bench.device.dtypes:
            continue
        inputs = make_inputs(case)
        expected = expect(case, inputs)
        runs += 1
        for output, got in bench.run(problem, case.workload, inputs).items():
            comparison = compare(got, expected, output)
            if not comparison.ok:
                wrong.append((case.label, comparison))
    assert wrong == []
    assert runs >= 9


@pytest.mark.parametrize("name", NAMES)
def test_the_linter_has_nothing_against_it(name: str) -> None:
    assert lint(PROBLEMS[name]) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_workload_for_a_gpu_is_the_headline_one_in_its_low_precision(name: str) -> None:
    problem = PROBLEMS[name]
    headline, *others = problem.tagged("gpu")

    assert element_type(problem, headline) == ("float32" if name == "mbdt" else "bfloat16")
    assert all(element_type(problem, other) == "float32" for other in others)
    assert all(element_type(problem, one) == "float32" for tag in ("smoke", "cpu") for one in problem.tagged(tag))
    assert problem.compulsory_bytes(headline) > 30 * 2**20


@pytest.mark.parametrize(
    ("name", "sizes", "operations", "traffic"),
    [
        ("layer_norm", "rows=10,cols=20", 7 * 200, 4 * (2 * 200 + 2 * 20)),
        ("rms_norm_backward", "rows=10,cols=20", 11 * 200, 4 * (3 * 200 + 2 * 20)),
        ("cross_entropy", "rows=10,classes=20", 4 * 200, 4 * (200 + 2 * 10)),
        ("swiglu", "rows=10,cols=20", 5 * 200, 4 * 3 * 200),
        ("rope", "batch=2,heads=3,length=5,half=7", 6 * 210, 4 * (2 * 420 + 2 * 35)),
        ("mbdt", "rows=10,cols=20,borders=8", 4 * 200, 4 * (2 * 200 + 8)),
        ("mbdt", "rows=10,cols=20,borders=7", 3 * 200, 4 * (2 * 200 + 7)),
        ("mbdt", "rows=10,cols=20,borders=1", 200, 4 * (2 * 200 + 1)),
    ],
)
def test_rooflines_count_operations_and_compulsory_bytes(name: str, sizes: str, operations: int, traffic: int) -> None:
    problem, workload = PROBLEMS[name], Workload.parse(sizes)

    assert problem.operation_count(workload) == operations
    assert problem.compulsory_bytes(workload) == traffic


@pytest.mark.parametrize("name", NAMES)
def test_every_element_type_is_checked_on_hostile_inputs_and_on_plain_ones(name: str) -> None:
    problem = PROBLEMS[name]
    seen: dict[str, set[str]] = {}
    for case in check_plan(problem, 3):
        seen.setdefault(element_type(problem, case.workload), set()).add(case.distribution)

    assert set(seen) == ({"float32"} if name == "mbdt" else {"float32", *NARROW})
    for kinds in seen.values():
        assert "adversarial" in kinds
        assert kinds & {"normal", "large"}
    assert seen["float32"] == set(problem.distributions)


@pytest.mark.parametrize("name", NAMES)
def test_interpreters_find_tiny_cases_of_every_kind(name: str) -> None:
    problem = PROBLEMS[name]
    rows = "length" if name == "rope" else "rows"
    tiny = [
        case
        for case in check_plan(problem, 3)
        if nbytes(problem, case.workload) < 16 * 2**10 and case.workload.axes[rows] < 40
    ]

    assert len({case.workload.label for case in tiny}) >= 4
    assert {case.distribution for case in tiny} == set(problem.distributions)
    assert any(case.distribution == "adversarial" for case in tiny if "bfloat16" not in case.workload.dtypes.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_distribution_gives_valid_inputs_on_every_unseen_workload(name: str) -> None:
    problem = PROBLEMS[name]
    for workload in (*problem.tagged("smoke"), *problem.hidden):
        for kind in problem.distributions:
            assert_valid(InputCase(problem, workload, kind, 11))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_sizes_give_valid_inputs(name: str, data: st.DataObject) -> None:
    problem = PROBLEMS[name]
    axes = {axis: data.draw(st.integers(2 if axis == "classes" else 1, 40), axis) for axis in problem.axes}
    dtypes = data.draw(st.sampled_from([one.dtypes for one in problem.hidden]), "dtypes")
    if name == "rms_norm_backward" and axes["cols"] == 1:
        dtypes = {}  # dx grows with 1 / sqrt(eps) there, too far for float16
    kind = data.draw(st.sampled_from(problem.distributions), "distribution")

    assert_valid(InputCase(problem, Workload(axes, dtypes), kind, data.draw(st.integers(0, 2**32), "seed")))


def assert_valid(case: InputCase) -> None:
    """Finite inputs inside the problem's contract, and an oracle that its output's type can hold."""
    inputs = make_inputs(case)
    for name, tensor in inputs.items():
        assert not tensor.dtype.is_floating_point or bool(torch.isfinite(tensor).all()), (case.label, name)
    for output in expect(case, inputs).outputs.values():
        assert output.slack is None or bool(torch.isfinite(output.slack).all()), (case.label, output.name)
    if "target" in inputs:
        assert 0 <= int(inputs["target"].min()) <= int(inputs["target"].max()) < case.workload.axes["classes"]
    if "border" in inputs:
        assert bool((inputs["border"].diff() >= 0).all())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_the_reference_works_in_every_float_type_and_agrees_with_float64(name: str, dtype: str) -> None:
    problem, kind = PROBLEMS[name], getattr(torch, dtype)
    workload = problem.tagged("smoke")[0]
    plain = make_inputs(InputCase(problem, workload, "normal", 5))
    narrow = {key: value.to(kind) if value.dtype.is_floating_point else value for key, value in plain.items()}
    wide = {key: value.double() if value.dtype.is_floating_point else value for key, value in narrow.items()}

    for got, want in zip(run_reference(problem, workload, narrow), run_reference(problem, workload, wide), strict=True):
        if not got.dtype.is_floating_point:
            assert torch.equal(got, want)
            continue
        assert got.dtype == kind
        scale = want.abs().maximum(want.square().mean(-1, keepdim=True).sqrt())
        tolerance = 4 * max(torch.finfo(kind).eps, 1e-14 if dtype == "float64" else 2e-6)
        assert float(((got.double() - want).abs() / scale).max()) < tolerance


@pytest.mark.parametrize("language", [TritonLanguage(), NumbaLanguage()], ids=["triton", "numba"])
@pytest.mark.parametrize("name", NAMES)
def test_a_seed_passes_its_gate_and_binds_every_configuration(name: str, language: Language) -> None:
    problem = PROBLEMS[name]
    kernel = parse_kernel(problem.seeds[language.name], name=name)
    language.gate(kernel.body)
    entries = language.entries(kernel.body)

    assert kernel.language == language.name
    assert parse_kernel(render_kernel(kernel)) == kernel
    for workload in (*problem.workloads, *problem.hidden):
        for configuration in kernel.configurations():
            if violated(kernel, workload.axes, configuration, FACTS):
                continue
            plan = make_plan(kernel, problem, workload, configuration, entries, FACTS)
            assert all(max(launch.grid[1:], default=1) <= 65535 for launch in plan.launches)


def serial(values: np.ndarray) -> np.ndarray:
    """A plain float32 loop over the last axis."""
    return np.cumsum(values, axis=-1, dtype=np.float32)[..., -1]


def in_type(values: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """A sum over the first axis that is rounded to `kind` at every step."""
    total = torch.zeros_like(values[0], dtype=kind)
    for row in values:
        total = (total + row.to(kind)).to(kind)
    return total.float()


def softmax_serial(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers * (np.float32(1) / serial(powers))[:, None]


def rms_norm_serial(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x * (np.float32(1) / np.sqrt(serial(x * x) / x.shape[1] + np.float32(1e-6)))[:, None] * weight


def layer_norm_serial(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    count = np.float32(x.shape[1])
    mean = (serial(x) / count)[:, None]
    scale = (np.float32(1) / np.sqrt(serial((x - mean) ** 2) / count + np.float32(1e-5)))[:, None]
    return (x * scale - mean * scale) * weight + bias


def rms_norm_backward_serial(x: np.ndarray, weight: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = np.float32(x.shape[1])
    scale = (np.float32(1) / np.sqrt(serial(x * x) / count + np.float32(1e-6)))[:, None]
    mean = (serial(dy * weight * x) / count)[:, None] * scale
    return scale * (dy * weight - x * scale * mean), serial(np.ascontiguousarray((dy * (x * scale)).T))


def cross_entropy_serial(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    peak = logits.max(-1)
    chosen = np.take_along_axis(logits, target[:, None].astype(np.int64), 1)[:, 0]
    return (peak + np.log(serial(np.exp(logits - peak[:, None])))) - chosen


def swiglu_tanh(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    return gate * (np.float32(0.5) * np.tanh(np.float32(0.5) * gate) + np.float32(0.5)) * up


HONEST: dict[str, Callable[..., Any]] = {
    "softmax": softmax_serial,
    "rms_norm": rms_norm_serial,
    "layer_norm": layer_norm_serial,
    "rms_norm_backward": rms_norm_backward_serial,
    "cross_entropy": cross_entropy_serial,
    "swiglu": swiglu_tanh,
}


@pytest.mark.parametrize("name", HONEST)
def test_another_order_of_summation_in_float32_passes(name: str) -> None:
    problem, refused = PROBLEMS[name], []
    for case in (*check_plan(problem, 5), *check_plan(problem, 6)):
        inputs = make_inputs(case)
        outputs = HONEST[name](
            **{
                key: (value.float() if value.dtype.is_floating_point else value).numpy()
                for key, value in inputs.items()
            }
        )
        arrays = outputs if isinstance(outputs, tuple) else (outputs,)
        assert all(array.dtype == np.float32 for array in arrays)
        if not is_right(case, [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]):
            refused.append(case.label)
    assert refused == []


def chosen(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return logits.gather(1, target.long().unsqueeze(1)).squeeze(1)


def interleaved(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)


def backward(
    x: torch.Tensor, weight: torch.Tensor, dy: torch.Tensor, *, eps: float = 1e-6, rows: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    dx, dweight = run_reference(
        PROBLEMS["rms_norm_backward"],
        Workload({"rows": x.shape[0], "cols": x.shape[1]}),
        {"x": x, "weight": weight, "dy": dy},
    )
    if eps != 1e-6 or rows is not None:
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        dweight = (dy * x * scale)[:rows].sum(0)
    return dx, dweight


def one_pass(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = x.square().mean(-1, keepdim=True) - mean.square()
    return (x - mean) * torch.rsqrt(variance + 1e-5) * weight + bias


def narrow_sum(x: torch.Tensor, weight: torch.Tensor, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    dx, _ = backward(x, weight, dy)
    normal = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    return dx, in_type(dy * normal, torch.bfloat16)


#: Mistakes that kernels make, on inputs in float32.
WRONG: dict[str, Callable[..., Any]] = {
    "softmax: no maximum": lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
    "softmax: last column left out of the sum": lambda x: (
        (x - x.amax(-1, keepdim=True)).exp() / (x - x.amax(-1, keepdim=True)).exp()[:, :-1].sum(-1, keepdim=True)
    ),
    "rms_norm: no eps": lambda x, weight: x / x.square().mean(-1, keepdim=True).sqrt() * weight,
    "rms_norm: squares in float16": lambda x, weight: (
        x * torch.rsqrt(x.square().half().float().mean(-1, keepdim=True) + 1e-6) * weight
    ),
    "layer_norm: variance of n - 1": lambda x, weight, bias: (
        (x - x.mean(-1, keepdim=True))
        * torch.rsqrt((x - x.mean(-1, keepdim=True)).square().sum(-1, keepdim=True) / max(x.shape[1] - 1, 1) + 1e-5)
        * weight
        + bias
    ),
    "layer_norm: variance in one pass": one_pass,
    "layer_norm: eps of rms_norm": lambda x, weight, bias: F.layer_norm(x, weight.shape, weight, bias, 1e-6),
    "rms_norm_backward: no eps in dweight": lambda x, weight, dy: backward(x, weight, dy, eps=0.0),
    "rms_norm_backward: last row left out of dweight": lambda x, weight, dy: backward(x, weight, dy, rows=-1),
    "rms_norm_backward: dweight summed in bfloat16": narrow_sum,
    "cross_entropy: no maximum": lambda logits, target: logits.exp().sum(-1).log() - chosen(logits, target),
    "cross_entropy: last class left out": lambda logits, target: logits[:, :-1].logsumexp(-1) - chosen(logits, target),
    "cross_entropy: first class left out": lambda logits, target: logits[:, 1:].logsumexp(-1) - chosen(logits, target),
    "swiglu: exponential that overflows": lambda gate, up: gate * gate.exp() / (1 + gate.exp()) * up,
    "swiglu: GELU": lambda gate, up: F.gelu(gate) * up,
    "swiglu: inputs swapped": lambda gate, up: F.silu(up) * gate,
    "rope: neighbours instead of halves": interleaved,
    "rope: other direction": lambda x, cos, sin: PROBLEMS["rope"].reference(x, cos, -sin),
    "rope: sine from cosine": lambda x, cos, sin: PROBLEMS["rope"].reference(
        x, cos, (1 - cos.square()).clamp(min=0).sqrt() * sin.sign()
    ),
    "mbdt: a border belongs to the upper bucket": lambda x, border: torch.bucketize(
        x, border, right=True, out_int32=True
    ),
    "mbdt: at most eight borders": lambda x, border: torch.bucketize(x, border[:8], out_int32=True),
}


#: Eight bits hold no row so far from zero that the square of the distance, lost in float32, would show.
LOST_IN_BFLOAT16 = {"layer_norm: variance in one pass"}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_found_in_float32_and_in_each_narrow_type(mistake: str) -> None:
    problem = PROBLEMS[mistake.partition(":")[0]]
    found: dict[str, bool] = {}
    for case in check_plan(problem, 8):
        kind = element_type(problem, case.workload)
        if found.get(kind):
            continue
        inputs = make_inputs(case)
        outputs = WRONG[mistake](
            **{key: value.float() if value.dtype.is_floating_point else value for key, value in inputs.items()}
        )
        found[kind] = not is_right(case, outputs if isinstance(outputs, tuple) else (outputs,))
    hidden = {"bfloat16"} if mistake in LOST_IN_BFLOAT16 else set()
    assert {kind for kind, seen in found.items() if not seen} == hidden
    assert set(found) == {element_type(problem, one) for one in (*problem.workloads, *problem.hidden)}


def test_a_row_of_one_element_keeps_its_digits_in_the_backward_pass() -> None:
    problem = PROBLEMS["rms_norm_backward"]
    for kind in problem.distributions:
        case = InputCase(problem, Workload({"rows": 257, "cols": 1}), kind, 4)
        inputs: Mapping[str, torch.Tensor] = make_inputs(case)
        assert is_right(case, backward(**inputs))
