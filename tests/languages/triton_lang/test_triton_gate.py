# ruff: noqa: E501  # a sample on one line reads better than Python in pieces
"""Hostile sources, each named after its trick and its row of the catalogue of known cheats, and honest ones."""

from __future__ import annotations

import ast
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.languages.python_kernels import Kind
from kernelevolve.languages.python_kernels.source import read
from kernelevolve.languages.triton_lang import DIALECT, TritonGate, TritonLanguage
from kernelevolve.languages.triton_lang.names import ATTRIBUTES, BUILTINS, LIBDEVICE, MATH, TL
from kernelevolve.outcome import Rejected

from .honest import HONEST
from .hostile import HEAD, HOSTILE, kernel

LANGUAGE = TritonLanguage()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_is_refused_by_its_rule(name: str) -> None:
    rule, source = HOSTILE[name]
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert caught.value.details["rule"] == rule, caught.value.message
    assert 1 <= caught.value.details["line"] <= source.count("\n") + 1
    assert 10 < len(caught.value.message) < 600


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_kernel_passes(name: str) -> None:
    LANGUAGE.gate(HONEST[name].source)


HONEST_LINES = {
    "a docstring with any words": '"""try: import os; exec, open and __class__ (see https://a.b/c)"""',
    "a text as a comment": '"passes over the row: def, class"\n    pass',
    "two passes in a tuple": "a, b = tl.load(x), tl.load(y)",
    "nested tuples": "(a, b), c = (x, y), n",
    "a chained comparison": "a = 0 <= n",
    "an identity": "a = n if BLOCK is not None else 0",
    "libm by tl.math": "a = tl.math.exp2(x) + tl.math.fdiv(x, y)",
    "element types": "a = x.to(tl.bfloat16).to(tl.float32, bitcast=False)",
    "a test of an element type": "a = x if x.dtype == tl.float16 or x.dtype.is_fp8() else y",
    "a pointer's element type": "a = tl.zeros((16,), x.dtype.element_ty)",
    "a shape": "a = x.shape[0] * len(x.shape)",
    "a transpose": "a = tl.dot(x, tl.trans(y)) + x.T + y.trans(1, 0)",
    "methods": "a = x.sum(0).reshape(4, 4).max(axis=0).to(tl.int32)",
    "infinities": "a = tl.full((16,), float('-inf'), tl.float32) + float('nan')",
    "a small power": "a = n ** 2 + x ** -0.5",
    "a shift by a constant": "a = (1 << BLOCK) | (n >> 3) & ~n",
    "a modest unrolled loop": "for a in tl.static_range(0, BLOCK, step=2):\n        x += a",
    "a pipelined loop": "for a in tl.range(0, n, BLOCK, num_stages=4, flatten=True, disallow_acc_multi_buffer=True):\n        x += a",
    "a break": "while n > 0:\n        n -= 1\n        if n == 3:\n            break",
    "an assertion at compile time": "tl.static_assert(BLOCK % 2 == 0, 'BLOCK must be even: 100 % of it; (see above)')",
    "a scaled product": "a = tl.dot_scaled(x, i, 'e5m2', y, i, 'e4m3')",
    "a hint": "tl.assume(n > 0)\n    m = tl.multiple_of(n, 16)",
    "a propagated nan": "a = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)",
    "an annotated constant": "half: tl.constexpr = BLOCK // 2\n    a = tl.arange(0, half)",
    "sizes of the next power": "a = tl.arange(0, triton.next_power_of_2(BLOCK)) + triton.cdiv(BLOCK, 2)",
    "a tensor's constant": "a = tl.TRITON_MAX_TENSOR_NUMEL",
    "a thrown-away value": "_, a = tl.max(x, axis=0, return_indices=True)",
    "an early end": "if n == 0:\n        return",
}


@pytest.mark.parametrize("name", HONEST_LINES)
def test_an_honest_line_passes(name: str) -> None:
    LANGUAGE.gate(kernel(HONEST_LINES[name]))


def test_comments_may_hold_letters_of_any_script() -> None:
    LANGUAGE.gate(kernel("a = x  # × – ﬁ 日本語\n    # ｏｓ\tend"))


def test_a_rejection_says_where_and_what_would_be_right() -> None:
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(kernel("tl.lode(x)"))
    assert caught.value.details == {"rule": "attribute", "line": 8}
    assert caught.value.message == "line 8: tl.lode is nothing that a kernel may use. Did you mean 'load'?"


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (kernel("print(x)"), "do not print"),
        (kernel("tl.device_assert(x)"), "tl.static_assert"),
        (kernel("x[0] = 1"), "tl.store(pointer, value)"),
        (HEAD + "N = 4\n", "N = tl.constexpr(…)"),
        (HEAD + "@triton.autotune([], [])\n@triton.jit\ndef k(x):\n    pass\n", "[tune] in the header"),
        (kernel("math.sqrt(2)"), "import math"),
        (kernel("a = block_", "BLOCK: tl.constexpr, block_a"), "Did you mean 'block_a'?"),
    ],
)
def test_what_is_asked_for_often_gets_advice(source: str, advice: str) -> None:
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert advice in caught.value.message


PUBLIC = sorted({*TL, *ATTRIBUTES, "core", "__class__", "os", "handle", "value", "builtins", "semantic", "data"})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PUBLIC) | st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_a_chain_from_tl_passes_only_where_the_tables_have_it(names: list[str]) -> None:
    try:
        LANGUAGE.gate(kernel(f"a = tl.{'.'.join(names)}"))
    except Rejected:
        return
    found, path = TL, list(names)
    while not isinstance(found, Kind):
        found = found[path.pop(0)]
    assert found in (Kind.VALUE, Kind.TYPE)
    assert ATTRIBUTES.issuperset(path)


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True).filter(str.isidentifier))
def test_an_attribute_that_is_not_in_the_table_is_refused_on_every_value(name: str) -> None:
    if name in ATTRIBUTES:
        return
    for value in ("x", "BLOCK", "tl.load(x)", "(x + y)", "x[0]", "x.shape", "tl.float32"):
        with pytest.raises(Rejected) as caught:
            LANGUAGE.gate(kernel(f"a = {value}.{name}"))
        assert caught.value.details["rule"] in ("attribute", "syntax")


_WORDS = [
    *HEAD.splitlines(keepends=True),
    *(
        "@triton.jit\n",
        "def k(",
        "x",
        "):\n",
        "    ",
        "tl.",
        "load",
        "(",
        ")",
        "[",
        "]",
        ", ",
        "= ",
        "\n",
        "for ",
        "in ",
    ),
    *("range", "'", '"""', "#", "\\", ": ", "tl.constexpr", "é", "\f", "\x85", "{", "}", "lambda ", "if ", "else "),
]


@settings(max_examples=400, deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(_WORDS), max_size=40).map("".join)
    | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))
)
def test_no_text_makes_the_language_fail_in_another_way_than_rejecting(text: str) -> None:
    for question in (LANGUAGE.gate, LANGUAGE.entries, LANGUAGE.normalize):
        try:
            question(text)
        except Rejected as refused:
            assert refused.details["line"] >= 1  # noqa: PT017  # the exception is optional, its shape is not


NODES = (
    *(ast.Import, ast.ImportFrom, ast.alias, ast.FunctionDef, ast.arguments, ast.arg, ast.keyword),
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.If, ast.For, ast.While, ast.Return, ast.Pass),
    *(ast.Break, ast.Continue, ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.BinOp, ast.UnaryOp, ast.BoolOp),
    *(ast.Compare, ast.IfExp, ast.Tuple, ast.List, ast.Subscript, ast.Slice),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
MODULES = {"tl", "triton", "math", "libdevice"}
INNER = {"language", "math", "extra", "libdevice", "PropagateNan", "ALL", "NONE", "jit", "constexpr", "tensor", "range"}
KNOWN = {*TL, *ATTRIBUTES, *LIBDEVICE, *MATH, *INNER, "static_range", "cdiv", "next_power_of_2"}


def assert_harmless(source: str) -> None:
    """What must hold of any source that a gate lets through, found in another way than the gate finds it."""
    tree = ast.parse(source)
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    assert not bound & MODULES
    for node in tree.body:
        if isinstance(node, ast.Assign):
            assert ast.unparse(node.value).startswith("tl.constexpr(")
        assert not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module):
            continue
        assert isinstance(node, NODES), ast.dump(node)[:80]
        match node:
            case ast.Name(id=name):
                assert name in bound | MODULES | BUILTINS, name
                assert not name.startswith("__")
            case ast.Attribute(attr=name):
                assert name in KNOWN, name
                assert isinstance(node.ctx, ast.Load)
            case ast.keyword(arg=name):
                assert name is not None
                assert not name.startswith("_")
            case ast.FunctionDef():
                assert [ast.unparse(mark).partition("(")[0] for mark in node.decorator_list] == ["triton.jit"]


FRAGMENTS = [
    *(
        "",
        "(",
        ")",
        "\n",
        "\n    ",
        ".",
        ", ",
        ": ",
        "__class__",
        " = ",
        "lambda: ",
        "tl",
        "tl.core",
        ".value",
        "getattr",
    ),
    *(
        "print",
        "open",
        "import os",
        ".handle",
        "_semantic=",
        "*",
        "**",
        "[",
        "]",
        "'",
        '"""',
        "if ",
        "else ",
        "for ",
        "in ",
    ),
    *("global x\n    ", "def f():\n", "@", "exec", "{", "}", "f'{x}'", ":= ", "x", "1", "~", "return ", "while ", "#"),
]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(HONEST)), st.data())
def test_a_mutilated_kernel_is_harmless_or_rejected(name: str, data: st.DataObject) -> None:
    source = HONEST[name].source
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(source)))
        end = data.draw(st.integers(start, min(len(source), start + 12)))
        source = source[:start] + data.draw(st.sampled_from(FRAGMENTS)) + source[end:]
    try:
        LANGUAGE.gate(source)
    except Rejected as refused:
        assert refused.details["rule"]  # noqa: PT017
    else:
        assert_harmless(source)
        LANGUAGE.entries(source)
        LANGUAGE.gate(LANGUAGE.normalize(source))


@pytest.mark.parametrize("name", HONEST)
def test_what_is_found_harmless_is_so_in_another_way(name: str) -> None:
    assert_harmless(HONEST[name].source)


def test_the_gate_looks_at_every_kind_of_node_that_python_has() -> None:
    """A statement or expression that a new Python adds is refused until somebody lists it."""
    gate = TritonGate(read(HEAD))
    listed = {*gate._handlers, *gate._statements}
    refused = {kind for base in (ast.stmt, ast.expr) for kind in base.__subclasses__()} - listed
    assert {"Lambda", "NamedExpr", "ListComp", "Try", "With", "ClassDef", "Global", "Import"} <= {
        kind.__name__ for kind in refused
    }


def test_reading_and_judging_two_hundred_lines_takes_milliseconds() -> None:
    source = "".join(sample.source.replace(HEAD, "") for sample in list(HONEST.values())[:6])
    lines = (HEAD + source).splitlines(keepends=True)
    assert len(lines) >= 200
    text = HEAD + source
    times = []
    for number in range(20):
        fresh = f"{text}# {number}\n"
        started = time.perf_counter()
        LANGUAGE.gate(fresh)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.02  # ten times what it takes: a machine under load must not fail this


def test_the_dialect_reserves_the_names_of_its_modules() -> None:
    modules = {"tl", "triton", "math", "libdevice", "gl", "gluon", "async_copy", "mbarrier", "tma"}
    assert DIALECT.reserved == modules
