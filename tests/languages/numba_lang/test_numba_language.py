"""Entries, dynamic shared memory, tunables and the normal form of Numba sources."""

from __future__ import annotations

import pytest

from kernelevolve.kernel import parse_kernel
from kernelevolve.language import Language, Parameter, ParameterKind
from kernelevolve.languages.numba_lang import NumbaLanguage
from kernelevolve.outcome import Rejected
from kernelevolve.plan import LocalArgument, make_plan
from kernelevolve.problem import Problem, TensorSpec, Workload

from .honest import HONEST

LANGUAGE = NumbaLanguage()
HEAD = "import math\nfrom numba import cuda, float32, types\n"


def test_it_is_a_language() -> None:
    assert isinstance(LANGUAGE, Language)
    assert (LANGUAGE.name, LANGUAGE.comment, LANGUAGE.suffix) == ("numba", "#", ".py")


def test_entries_are_kernels_and_not_their_device_functions() -> None:
    body = HEAD + (
        "@cuda.jit(device=True)\ndef f(a):\n    return a\n"
        "@cuda.jit(device=False, fastmath=True)\ndef two(y, x):\n    pass\n"
        "@cuda.jit\ndef one():\n    pass\n"
        "def plain(x):\n    pass\n"
    )
    assert LANGUAGE.entries(body) == {
        "two": (Parameter("y", ParameterKind.ANY), Parameter("x", ParameterKind.ANY)),
        "one": (),
    }
    assert list(LANGUAGE.entries(body)) == ["two", "one"]


@pytest.mark.parametrize(
    ("made", "dtype"),
    [
        ("cuda.shared.array(0, float32)", "float32"),
        ("cuda.shared.array(shape=0, dtype=types.float16)", "float16"),
        ("cuda.shared.array(0, dtype=cuda.int32)", "int32"),
        ("cuda.shared.array(dtype=x.dtype, shape=EMPTY)", "x.dtype"),
    ],
)
def test_dynamic_shared_memory_is_a_last_parameter_of_kind_local(made: str, dtype: str) -> None:
    body = f"{HEAD}EMPTY = 4 - 4\n@cuda.jit\ndef k(x):\n    if 1:\n        tile = {made}\n    x[0] = tile[0]\n"
    LANGUAGE.gate(body)
    assert LANGUAGE.entries(body)["k"] == (
        Parameter("x", ParameterKind.ANY),
        Parameter("tile", ParameterKind.LOCAL, dtype),
    )


def test_shared_memory_of_a_known_size_is_no_parameter() -> None:
    body = f"{HEAD}@cuda.jit\ndef k(x):\n    tile = cuda.shared.array(THREADS, float32)\n    x[0] = tile[0]\n"
    assert [parameter.name for parameter in LANGUAGE.entries(body)["k"]] == ["x"]


def test_the_header_binds_the_dynamic_array() -> None:
    kernel = parse_kernel(
        '# /// kernel\n# language = "numba"\n# [[launch]]\n# entry = "softmax_rows"\n# grid = ["rows"]\n'
        '# block = ["64"]\n# local = { tile = { shape = ["64"], dtype = "float32" } }\n# ///\n'
        + HONEST["dynamic shared memory"].source
    )
    problem = Problem(
        name="p",
        axes=("rows", "cols"),
        inputs=(TensorSpec("x", ("rows", "cols")),),
        outputs=(TensorSpec("y", ("rows", "cols")),),
        reference=lambda x: x,
        workloads=(Workload({"rows": 2, "cols": 3}),),
    )
    plan = make_plan(kernel, problem, problem.workloads[0], {}, LANGUAGE.entries(kernel.body), {})
    assert plan.launches[0].arguments[-1] == LocalArgument("tile", 256)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (HEAD + "@cuda.jit\ndef k(*x):\n    pass\n", "parameter"),
        (HEAD + "@cuda.jit\ndef k(x):\n    pass\n@cuda.jit\ndef k(x):\n    pass\n", "redefined"),
        (
            HEAD
            + "@cuda.jit\ndef k(x):\n    a = cuda.shared.array(0, float32)\n    b = cuda.shared.array(0, float32)\n",
            "shared",
        ),
        ("def k(:\n", "syntax"),
    ],
)
def test_entries_of_what_cannot_be_launched_are_refused(body: str, rule: str) -> None:
    with pytest.raises(Rejected) as caught:
        LANGUAGE.entries(body)
    assert caught.value.details["rule"] == rule


@pytest.mark.parametrize(
    ("name", "value"), [("THREADS", 128), ("FAST", False), ("MODE", "rows"), ("OFFSET", -4), ("sum_by", 2)]
)
def test_sane_tunables_pass(name: str, value: int | bool | str) -> None:
    LANGUAGE.check_tunable(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cuda", 1),
        ("math", 1),
        ("types", 1),
        ("libdevice", 1),
        ("float32", 1),
        ("bfloat16", 1),
        ("range", 1),
        ("print", 1),
        ("int", 1),
        ("for", 1),
        ("_x", 1),
        ("__builtins__", 1),
        ("a.b", 1),
        ("THREADS", 2**31),
        ("MODE", "import os"),
        ("MODE", "a" * 40),
    ],
)
def test_code_and_names_of_the_language_are_no_tunables(name: str, value: int | bool | str) -> None:
    with pytest.raises(Rejected, match="tunable") as caught:
        LANGUAGE.check_tunable(name, value)
    assert caught.value.details == {"rule": "tunable", "line": 1}


def test_layout_comments_and_docstrings_do_not_change_the_normal_form() -> None:
    one = f"{HEAD}@cuda.jit\ndef k(x):\n    x[0]=1\n"
    two = f'"""Says."""\n{HEAD}\n@cuda.jit\ndef k(x):  # k\n    """Says."""\n    x[ 0 ] = (1)\n'
    assert LANGUAGE.normalize(one) == LANGUAGE.normalize(two)


def test_the_normal_form_keeps_its_meaning() -> None:
    for sample in HONEST.values():
        normal = LANGUAGE.normalize(sample.source)
        assert LANGUAGE.normalize(normal) == normal
        LANGUAGE.gate(normal)
        assert LANGUAGE.entries(normal) == LANGUAGE.entries(sample.source)
