"""Products, convolutions, attention, gathers and jagged rows: their contracts, inputs, references and OpenCL seeds."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.evaluation.cases import InputCase, check_plan, expect, make_inputs, run_reference, tensor_bytes
from kernelevolve.evaluation.correctness import compare
from kernelevolve.evaluation.lint import lint
from kernelevolve.kernel import parse_kernel, render_kernel
from kernelevolve.problem import Problem, Workload
from kernelevolve.problems._jagged import jagged_offsets

if TYPE_CHECKING:
    from conftest import Bench

#: What kernel files and benchmarks bind to: axes, tensors, scalars, and the first workload for GPUs.
CONTRACT = {
    "matmul": ("m n k", "a b c", "", "m=8192,n=8192,k=8192,a:bfloat16,b:bfloat16,c:bfloat16"),
    "conv1d": (
        "batch cin cout length taps",
        "x weight y",
        "",
        "batch=2048,cin=96,cout=96,length=200,taps=3,weight:float16,x:float16,y:float16",
    ),
    "factorization_machine": (
        "batch n d k",
        "x y out",
        "",
        "batch=1024,n=24,d=224,k=2198,out:float16,x:float16,y:float16",
    ),
    "pffn": (
        "batch tokens width hidden",
        "x w1 g1 w2 g2 y",
        "eps",
        "batch=128,tokens=64,width=192,hidden=192,g1:float16,g2:float16,w1:float16,w2:float16,x:float16,y:float16",
    ),
    "attention": (
        "batch heads length dim",
        "q k v o",
        "",
        "batch=4,heads=32,length=4096,dim=128,k:bfloat16,o:bfloat16,q:bfloat16,v:bfloat16",
    ),
    "embedding_bag": (
        "entries dim bags count",
        "table indices offsets out",
        "",
        "entries=1000000,dim=128,bags=4096,count=131072,out:float16,table:float16",
    ),
    "batch_event_truncate": (
        "rows limit total",
        "values offsets kept kept_offsets",
        "",
        "rows=32768,limit=100,total=3276800",
    ),
    "map_id": ("count size", "values table index", "", "count=1000000,size=50000"),
}
FLOATS = ("float16", "bfloat16", "float32", "float64")
PROBLEMS: dict[str, Problem] = {
    name: importlib.import_module(f"kernelevolve.problems.{name}").problem for name in CONTRACT
}
every = pytest.mark.parametrize("name", CONTRACT)


def retyped(problem: Problem, dtype: str) -> Workload:
    """The smoke workload with every float tensor of one type."""
    smoke = problem.tagged("smoke")[0]
    return Workload(smoke.axes, {spec.name: dtype for spec in problem.tensors if spec.dtype == "float32"})


def nbytes(problem: Problem, workload: Workload) -> int:
    return sum(problem.nbytes(spec, workload) for spec in problem.tensors)


@every
def test_names_and_headline_workload_are_what_kernel_files_and_benchmarks_bind_to(name: str) -> None:
    problem = PROBLEMS[name]
    axes, tensors, scalars, headline = CONTRACT[name]

    assert problem.name == name
    assert " ".join(problem.axes) == axes
    assert " ".join(spec.name for spec in problem.tensors) == tensors
    assert " ".join(spec.name for spec in problem.scalars) == scalars
    assert problem.tagged("gpu")[0].label == headline
    assert problem.description
    assert problem.pattern != "generic"


@every
def test_there_is_a_workload_for_every_occasion(name: str) -> None:
    problem = PROBLEMS[name]
    plain = {"float32", "int32"}

    assert problem.workloads[0].tags == {"smoke"}
    assert [set(problem.dtypes(one).values()) <= plain for one in problem.tagged("cpu")] == [True]
    assert any(set(problem.dtypes(one).values()) <= plain for one in problem.tagged("gpu"))


@every
def test_unseen_workloads_are_odd_and_large_and_some_so_tiny_that_an_interpreter_can_run_them(name: str) -> None:
    problem = PROBLEMS[name]
    hidden = [one.axes.values() for one in problem.hidden]
    tiny = [one for one in problem.hidden if nbytes(problem, one) < 2**14 and max(one.axes.values()) < 40]
    kinds = [set(problem.dtypes(one).values()) - {"int32"} for one in problem.hidden]

    assert len(hidden) >= 9
    assert any(set(sizes) == {1} for sizes in hidden)
    assert any(min(sizes) > 1 for sizes in hidden)
    assert len(tiny) >= 4
    assert any(max(sizes) > 2**16 for sizes in hidden)
    for dtype in {dtype for one in problem.workloads for dtype in problem.dtypes(one).values()} - {"int32"}:
        assert kinds.count({dtype}) >= 2


@every
def test_the_linter_has_nothing_to_say(name: str) -> None:
    assert lint(PROBLEMS[name]) == ()


@every
@pytest.mark.parametrize("language", ["opencl", "triton", "numba"])
def test_a_seed_survives_parsing_and_rendering_and_its_defaults_hold(name: str, language: str) -> None:
    kernel = parse_kernel(PROBLEMS[name].seeds[language])

    assert kernel.language == language
    assert parse_kernel(render_kernel(kernel)) == kernel
    assert language != "opencl" or kernel.tunables == {}


@every
@pytest.mark.opencl
def test_the_opencl_seed_is_right_on_every_checked_case(name: str, bench: Bench) -> None:
    problem = PROBLEMS[name]
    small = [one for one in problem.hidden if nbytes(problem, one) < 2**12]
    cases = [
        *check_plan(problem, 20_26),
        *(InputCase(problem, one, kind, 5) for one in small for kind in problem.distributions),
    ]
    wrong = []
    for case in cases:
        if set(problem.dtypes(case.workload).values()) <= bench.device.dtypes:
            inputs = make_inputs(case)
            expected = expect(case, inputs)
            outputs = bench.run(problem, case.workload, inputs)
            wrong += [(case.label, found) for o, got in outputs.items() if not (found := compare(got, expected, o)).ok]

    assert wrong == []


@every
@pytest.mark.parametrize("dtype", FLOATS)
def test_reference_and_baselines_keep_the_type_and_agree_with_the_oracle(name: str, dtype: str) -> None:
    problem = PROBLEMS[name]
    workload = retyped(problem, dtype)
    for kind in problem.distributions:
        case = InputCase(problem, workload, kind, 11)
        inputs = make_inputs(case)
        expected = expect(case, inputs)
        for how in (problem.reference, *problem.baselines.values()):
            outputs = run_reference(attrs.evolve(problem, reference=how), workload, inputs)
            for spec, output in zip(problem.outputs, outputs, strict=True):
                assert str(output.dtype) == f"torch.{problem.dtypes(workload)[spec.name]}"
                assert compare(tensor_bytes(output), expected, spec.name).ok


@every
def test_every_distribution_of_every_unseen_workload_gives_finite_results_that_depend_on_the_seed(name: str) -> None:
    problem = PROBLEMS[name]
    for workload in problem.hidden:
        small = nbytes(problem, workload) < 2**18
        for kind in problem.distributions if small else problem.distributions[-1:]:
            case = InputCase(problem, workload, kind, 17)
            inputs = make_inputs(case)
            for wanted in expect(case, inputs).outputs.values():
                assert wanted.slack is None or bool(torch.isfinite(wanted.slack).all()), case.label
            if nbytes(problem, workload) > 1000:
                others = make_inputs(InputCase(problem, workload, kind, 18))
                assert any(not torch.equal(inputs[spec.name], others[spec.name]) for spec in problem.inputs)


@given(
    rows=st.integers(1, 60),
    total=st.integers(1, 400),
    kind=st.sampled_from(["normal", "large", "constant", "adversarial"]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=200, deadline=None)
def test_jagged_offsets_share_out_everything(rows: int, total: int, kind: str, seed: int) -> None:
    offsets = jagged_offsets(rows, total, kind, torch.Generator().manual_seed(seed))

    assert offsets.shape == (rows + 1,)
    assert (int(offsets[0]), int(offsets[-1])) == (0, total)
    assert bool((offsets.diff() >= 0).all())


@given(
    rows=st.integers(1, 60),
    limit=st.integers(1, 30),
    total=st.integers(1, 400),
    kind=st.sampled_from(["normal", "large", "constant", "adversarial"]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_truncation_keeps_the_last_events_of_each_row_and_moves_what_its_traffic_says(
    rows: int, limit: int, total: int, kind: str, seed: int
) -> None:
    problem = PROBLEMS["batch_event_truncate"]
    workload = Workload({"rows": rows, "limit": limit, "total": total})
    inputs = make_inputs(InputCase(problem, workload, kind, seed))
    offsets, values = inputs["offsets"].tolist(), inputs["values"].tolist()
    lines = [values[first:last][-limit:] for first, last in pairwise(offsets)]
    flat = [event for line in lines for event in line]

    for how in (problem.reference, *problem.baselines.values()):
        kept, kept_offsets = how(inputs["values"], inputs["offsets"], limit)
        assert kept.tolist() == flat + [0.0] * (total - len(flat))
        assert kept_offsets.diff().tolist() == [len(line) for line in lines]
    if kind == "normal":
        moved = total + len(flat)
        assert problem.compulsory_bytes(workload) <= 4 * moved + 8 * (rows + 1)


@given(
    entries=st.integers(1, 50),
    bags=st.integers(1, 20),
    count=st.integers(1, 120),
    kind=st.sampled_from(["normal", "large", "constant", "adversarial"]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_lookups_stay_inside_the_table_and_touch_the_rows_that_traffic_counts(
    entries: int, bags: int, count: int, kind: str, seed: int
) -> None:
    problem = PROBLEMS["embedding_bag"]
    workload = Workload({"entries": entries, "dim": 3, "bags": bags, "count": count})
    inputs = make_inputs(InputCase(problem, workload, kind, seed))
    indices = inputs["indices"]

    assert 0 <= int(indices.min()) <= int(indices.max()) < entries
    if kind == "normal":
        touched = len(indices.unique())
        assert problem.compulsory_bytes(workload) == 4 * count + 4 * (bags + 1) + 4 * 3 * (touched + bags)


@pytest.mark.parametrize(
    ("name", "sizes", "operations", "moved"),
    [
        ("matmul", "m=2,n=3,k=5,a:float16,b:float16,c:float16", 60, 2 * (10 + 15 + 6)),
        # One sample of 4 places: the middle tap meets all, each of the others all but one.
        ("conv1d", "batch=1,cin=2,cout=3,length=4,taps=3", 2 * 6 * 10, 4 * (8 + 18 + 12)),
        ("conv1d", "batch=1,cin=1,cout=1,length=2,taps=9", 4, 4 * (2 + 9 + 2)),
        ("factorization_machine", "batch=2,n=3,d=50,k=70", 2 * (12 * 50 + 18 * 70), 4 * 2 * (150 + 210 + 210)),
        ("factorization_machine", "batch=1,n=50,d=3,k=4", 4 * 50 * 3 * 4, 4 * (150 + 200 + 200)),
        ("pffn", "batch=2,tokens=3,width=4,hidden=5", 4 * 2 * 3 * 4 * 5, 4 * (24 + 40 + 5 + 40 + 4 + 24)),
        ("attention", "batch=2,heads=3,length=4,dim=5", 2 * 6 * 16 * 5, 4 * 4 * 120),
        ("embedding_bag", "entries=9,dim=4,bags=2,count=5", 20, 20 + 12 + 4 * 4 * 7),
        ("embedding_bag", "entries=3,dim=4,bags=2,count=5,table:float16", 20, 20 + 12 + 2 * 4 * 5),
        ("batch_event_truncate", "rows=4,limit=3,total=20", 8, 4 * 20 + 4 * 2 * 3 + 8 * 5),
        ("batch_event_truncate", "rows=4,limit=3,total=20,values:float16", 8, 2 * 20 + 2 * 2 * 3 + 8 * 5),
    ],
)
def test_rooflines_count_what_no_kernel_can_avoid(name: str, sizes: str, operations: int, moved: int) -> None:
    problem, workload = PROBLEMS[name], Workload.parse(sizes)

    assert problem.operation_count(workload) == operations
    assert problem.compulsory_bytes(workload) == moved


def test_a_search_of_headline_size_takes_sixteen_steps() -> None:
    problem = PROBLEMS["map_id"]

    assert problem.operation_count(problem.tagged("gpu")[0]) == 16_000_000
