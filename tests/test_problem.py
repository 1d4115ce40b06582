"""Problems and workloads: what can be declared, and the sentence for what cannot."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.errors import ProblemError
from kernelevolve.problem import DEVICE_FACTS, DTYPES, Problem, ScalarSpec, TensorSpec, Tolerance, Workload, itemsize


def problem(**changes):
    declared = {
        "name": "norm",
        "axes": ["rows", "cols"],
        "inputs": [TensorSpec("x", "rows, cols"), TensorSpec("w", ["cols"], "float16")],
        "outputs": [TensorSpec("y", ("rows", 2))],
        "reference": lambda x, w: x * w,
        "workloads": ["rows=6,cols=10"],
    }
    return Problem(**{**declared, **changes})


axis_names = st.from_regex(r"[a-z]{1,6}", fullmatch=True)


@given(
    st.dictionaries(axis_names, st.integers(0, 10**9), min_size=1),
    st.dictionaries(axis_names, st.sampled_from(list(DTYPES))),
)
def test_a_workloads_label_reads_back_as_the_workload(axes, dtypes):
    workload = Workload(axes=axes, dtypes=dtypes)
    assert Workload.parse(workload.label) == workload
    assert str(workload) == workload.label


@given(st.text(alphabet="rows=,:4096 float\n\0é-"))
def test_no_workload_text_raises_anything_but_a_problem_error(text):
    try:
        workload = Workload.parse(text)
    except ProblemError as error:
        assert str(error)  # noqa: PT017
    else:
        assert all(value >= 0 for value in workload.axes.values())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rows=x", "workload 'rows=x': cannot read 'rows=x'; write rows=4096,cols=1024,x:float16"),
        ("rows=1,,cols=2", "cannot read ''"),
        ("rows", "cannot read 'rows'"),
        ("rows=-1", "cannot read 'rows=-1'"),
        ("x:float17", "unknown dtype 'float17'; there is float64, "),
    ],
)
def test_a_workload_that_cannot_be_read_names_the_part(text, says):
    with pytest.raises(ProblemError) as caught:
        Workload.parse(text)
    assert says in str(caught.value)


def test_itemsizes_and_their_error():
    assert [itemsize(name) for name in ("float64", "float16", "bfloat16", "float8_e5m2", "bool")] == [8, 2, 2, 1, 1]
    with pytest.raises(ProblemError, match="Did you mean 'float32'"):
        itemsize("float23")


def test_a_declared_problem_knows_its_sizes():
    made = problem(operations="2 * rows * cols")
    workload = Workload.parse("rows=6,cols=10,x:float64")
    assert made.dtypes(workload) == {"x": "float64", "w": "float16", "y": "float32"}
    assert [made.nbytes(spec, workload) for spec in made.tensors] == [480, 20, 48]
    assert made.compulsory_bytes(workload) == 548
    assert made.operation_count(workload) == 120
    assert problem().operation_count(workload) is None
    assert problem(traffic="rows").compulsory_bytes(workload) == 6
    assert TensorSpec("s", "").sizes({}) == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"outputs": []}, "problem 'norm': no outputs; declare at least one TensorSpec"),
        ({"workloads": []}, "problem 'norm': no workloads; declare at least one, such as 'rows=512,cols=512'"),
        ({"axes": ["rows", "cols", "rows"]}, "the name 'rows' is used twice"),
        ({"axes": ["rows", "cols", "x"]}, "the name 'x' is used twice"),
        ({"scalars": [ScalarSpec("y", 1)]}, "the name 'y' is used twice"),
        ({"axes": ["rows", "cols", "a b"]}, "'a b' cannot be a name; use a plain, unreserved identifier"),
        ({"axes": ["rows", "cols", "for"]}, "'for' cannot be a name"),
        ({"axes": ["rows", "cols", "cdiv"]}, "'cdiv' cannot be a name"),
        ({"inputs": [TensorSpec("x", "row")]}, "shape of 'x' uses 'row', which is no axis; there is rows, cols"),
        ({"inputs": [TensorSpec("x", "rows", "float12")]}, "unknown dtype 'float12'"),
        ({"workloads": ["rows=1"]}, "problem 'norm', workload 'rows=1': axis 'cols' is not bound; the axes are rows, "),
        ({"workloads": ["rows=1,cols=1,deep=1"]}, "'deep' is no axis; the axes are rows, cols"),
        ({"workloads": ["rows=0,cols=1"]}, "rows=0; an axis is at least 1"),
        ({"hidden": ["rows=0,cols=1"]}, "rows=0; an axis is at least 1"),
        ({"workloads": ["rows=1,cols=1,z:int8"]}, "'z' is no tensor; there is w, x, y"),
        ({"workloads": [Workload({"rows": 1, "cols": 1}, {"x": "int9"})]}, "unknown dtype 'int9'"),
        ({"requires": "cols % 4 == 0"}, "the problem requires cols % 4 == 0"),
        ({"requires": "depth > 1"}, "unknown name 'depth'"),
        ({"inputs": [TensorSpec("x", "rows - 6")]}, "'x' would have shape (0,); every size must be at least 1"),
        (
            {"inputs": [TensorSpec("x", "rows // (cols - 10)")]},
            "shape of 'x': expression 'rows // (cols - 10)' divides",
        ),
    ],
)
def test_a_wrong_declaration_says_what_is_wrong(changes, says):
    with pytest.raises(ProblemError) as caught:
        problem(**changes)
    assert says in str(caught.value)


@pytest.mark.parametrize("fact", DEVICE_FACTS)
def test_an_axis_cannot_shadow_a_device_fact(fact):
    with pytest.raises(ProblemError, match=f"'{fact}' cannot be a name"):
        problem(axes=["rows", "cols", fact])


def test_tags_choose_workloads_and_seeds_are_added_by_language():
    smoke = Workload.parse("rows=1,cols=1", tags=["smoke"])
    made = problem(workloads=["rows=6,cols=10", smoke])
    assert made.tagged("smoke") == (smoke,)
    assert made.tagged("gpu") == ()
    assert dict(made.with_seed("c", "text").seeds) == {"c": "text"}
    assert dict(made.seeds) == {}


def test_the_fingerprint_follows_the_contract_and_not_the_description():
    made = problem()
    assert attrs.evolve(made, description="other").fingerprint == made.fingerprint
    changed = [{"name": "n"}, {"workloads": ["rows=1,cols=1"]}, {"outputs": [TensorSpec("y", "rows", "float64")]}]
    changed += [{"tolerance": Tolerance(ceiling=0.5)}, {"hidden": ["rows=3,cols=5"]}, {"distributions": ["normal"]}]
    changed += [{"requires": "rows <= 4096"}]
    assert made.fingerprint not in {problem(**one).fingerprint for one in changed}
