"""Entries, tunables and the normal form of Triton sources."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.language import Language, Parameter, ParameterKind
from kernelevolve.languages.triton_lang import LAUNCH_OPTIONS, TritonLanguage
from kernelevolve.outcome import Rejected

from .honest import HONEST

LANGUAGE = TritonLanguage()
HEAD = "import triton\nimport triton.language as tl\n"


def test_it_is_a_language() -> None:
    assert isinstance(LANGUAGE, Language)
    assert (LANGUAGE.name, LANGUAGE.comment, LANGUAGE.suffix) == ("triton", "#", ".py")


def test_entries_are_jit_functions_that_return_nothing_with_their_parameters_in_order() -> None:
    body = HEAD + (
        "@triton.jit\ndef helper(a):\n    return a\n"
        "@triton.jit\ndef second(y, x, n: tl.int32, BLOCK: tl.constexpr, FAST: triton.language.constexpr = True):\n"
        "    if n == 0:\n        return\n"
        "@triton.jit(noinline=True)\ndef first():\n    pass\n"
        "def plain(x):\n    pass\n"
    )
    assert LANGUAGE.entries(body) == {
        "second": (
            Parameter("y", ParameterKind.ANY),
            Parameter("x", ParameterKind.ANY),
            Parameter("n", ParameterKind.ANY, "tl.int32"),
            Parameter("BLOCK", ParameterKind.CONSTEXPR, "tl.constexpr"),
            Parameter("FAST", ParameterKind.CONSTEXPR, "triton.language.constexpr"),
        ),
        "first": (),
    }
    assert list(LANGUAGE.entries(body)) == ["second", "first"]


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_has_its_entry(name: str) -> None:
    assert HONEST[name].entry in LANGUAGE.entries(HONEST[name].source)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (HEAD + "@triton.jit\ndef k(*args):\n    pass\n", "parameter"),
        (HEAD + "@triton.jit\ndef k(**args):\n    pass\n", "parameter"),
        (HEAD + "@triton.jit\ndef k(x, *, y):\n    pass\n", "parameter"),
        (HEAD + "@triton.jit\ndef k(x):\n    pass\n@triton.jit\ndef k(x):\n    pass\n", "redefined"),
        ("def k(:\n", "syntax"),
        ("x" * 70_000, "size"),
    ],
)
def test_entries_of_what_cannot_be_launched_are_refused(body: str, rule: str) -> None:
    with pytest.raises(Rejected) as caught:
        LANGUAGE.entries(body)
    assert caught.value.details["rule"] == rule


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BLOCK", 1024),
        ("FAST", True),
        ("OFFSET", -1),
        ("POLICY", "evict_first"),
        ("CACHE", ".cg"),
        ("MODE", ""),
        ("num_warps", 8),
        ("num_stages", 0),
        ("num_ctas", 2),
        ("maxnreg", 128),
        ("waves_per_eu", 0),
        ("matrix_instr_nonkdim", 16),
        ("kpack", 2),
    ],
)
def test_sane_tunables_pass(name: str, value: int | bool | str) -> None:
    LANGUAGE.check_tunable(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tl", 1),
        ("triton", 1),
        ("math", 1),
        ("libdevice", 1),
        ("print", 1),
        ("range", 1),
        ("min", 1),
        ("if", 1),
        ("None", 1),
        ("_semantic", 1),
        ("__builtins__", 1),
        ("a-b", 1),
        ("ｔｌ", 1),
        ("", 1),
        ("BLOCK", 2**31),
        ("BLOCK", -(2**40)),
        ("BLOCK", 10**100),
        ("POLICY", "a b"),
        ("POLICY", "__import__('os')"),
        ("POLICY", "a" * 33),
        ("POLICY", "a\nb"),
        ("POLICY", "é"),
        ("num_warps", 3),
        ("num_warps", 64),
        ("num_warps", 0),
        ("num_warps", True),
        ("num_warps", "4"),
        ("num_stages", -1),
        ("num_stages", 100),
        ("num_ctas", 3),
        ("maxnreg", 8),
        ("maxnreg", 256),
        ("kpack", 3),
    ],
)
def test_code_and_names_of_the_language_are_no_tunables(name: str, value: int | bool | str) -> None:
    with pytest.raises(Rejected, match="tunable") as caught:
        LANGUAGE.check_tunable(name, value)
    assert caught.value.details == {"rule": "tunable", "line": 1}


@given(st.sampled_from(sorted(LAUNCH_OPTIONS)), st.integers(-10, 300))
def test_a_launch_option_outside_its_range_is_refused(name: str, value: int) -> None:
    try:
        LANGUAGE.check_tunable(name, value)
        passed = True
    except Rejected:
        passed = False
    assert passed == (value in LAUNCH_OPTIONS[name])


def test_layout_comments_and_docstrings_do_not_change_the_normal_form() -> None:
    one = f"{HEAD}@triton.jit\ndef k(x):\n    tl.store( x,(1) )  # one\n"
    two = (
        f'"""A kernel."""\n# header\n{HEAD}\n\n@triton.jit\ndef k(\n    x,\n):\n    """Stores one."""\n'
        '    "here"\n    tl.store(x, 0x1)\n'
    )
    assert LANGUAGE.normalize(one) == LANGUAGE.normalize(two)


def test_the_normal_form_keeps_its_meaning() -> None:
    for sample in HONEST.values():
        normal = LANGUAGE.normalize(sample.source)
        assert LANGUAGE.normalize(normal) == normal
        LANGUAGE.gate(normal)
        assert LANGUAGE.entries(normal) == LANGUAGE.entries(sample.source)
        assert ast.unparse(ast.parse(normal)) == normal


def test_a_different_number_has_a_different_normal_form() -> None:
    body = f"{HEAD}@triton.jit\ndef k(x):\n    tl.store(x, 1)\n"
    assert LANGUAGE.normalize(body) != LANGUAGE.normalize(body.replace("1", "2"))
