"""What the reference language lets through, and what it refuses by rule and line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.kernel import parse_kernel
from kernelevolve.language import Language, Parameter, ParameterKind
from kernelevolve.outcome import Outcome, Rejected
from kernelevolve.testing import samples
from kernelevolve.testing.language import ReferenceLanguage

LANGUAGE = ReferenceLanguage()
HEAD = "import numpy as np\nimport math\nTILE = 4\n\ndef f(x, y, n):\n"


def test_it_is_a_language():
    assert isinstance(LANGUAGE, Language)
    assert (LANGUAGE.name, LANGUAGE.comment, LANGUAGE.suffix) == ("reference", "#", ".py")


def test_entries_are_the_top_level_functions_without_underscore_with_their_parameters_in_order():
    found = LANGUAGE.entries("def g(b, a):\n    pass\n\ndef _helper(q):\n    pass\n\ndef f():\n    pass\n")
    assert found == {"g": (Parameter("b", ParameterKind.ANY), Parameter("a", ParameterKind.ANY)), "f": ()}


@pytest.mark.parametrize("outcome", [outcome for outcome in samples.FAILING if outcome is not Outcome.REJECTED])
def test_the_gate_lets_samples_through_that_fail_later(outcome):
    assert LANGUAGE.gate(parse_kernel(samples.FAILING[outcome]).body) is None


@pytest.mark.parametrize(
    "statement",
    [
        "y[program_id(0)] = np.sqrt(x[0]) + math.pi",
        "y[:n] = x[:n].reshape(1, n).sum(axis=0)",
        "while n > 0:\n        n -= 1\n        if n == 3:\n            break",
        "for i in range(min(n, TILE)):\n        y[i] = _helper(x[i]) if i else abs(-1.5)",
        "input = x[0]\n    y[0] = input",  # a name of Python's that the source gives a meaning of its own
        "assert n > 0\n    return",
    ],
)
def test_the_gate_lets_numeric_code_through(statement):
    assert LANGUAGE.gate(f"{HEAD}    {statement}\n\ndef _helper(a):\n    return a\n") is None


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("import os", "import"),
        ("from os import path", "import"),
        ("eval('1')", "builtin"),
        ("y[0] = open", "builtin"),
        ("getattr(x, 'base')", "builtin"),
        ("__import__('os')", "dunder"),
        ("x.__class__", "attribute"),
        ("x.base", "attribute"),
        ("x.ctypes", "attribute"),
        ("x.tofile('f')", "attribute"),
        ("np.load('f')", "attribute"),
        ("np.lib", "attribute"),
        ("np.frombuffer(x)", "attribute"),
        ("math.__loader__", "attribute"),
        ("np.add.__self__", "attribute"),
        ("x.shape = n", "attribute"),
        ("f(np, y, n)", "module value"),
        ("np = n", "shadowing"),
        ("load = n", "shadowing"),
        ("y[0] = (lambda: 1)()", "call"),
        ("y[0] = [f][0]()", "call"),
        ("f(**n)", "call"),
        ("f(*n)", "expression"),
        ("y[0] = [i for i in x]", "expression"),
        ("y[0] = f'{x}'", "expression"),
        ("y[0] = (n := 3)", "expression"),
        ("y[0] = lambda: 1", "expression"),
        ("yield n", "expression"),
        ("try:\n        pass\n    except ValueError:\n        pass", "statement"),
        ("with x:\n        pass", "statement"),
        ("global TILE", "statement"),
        ("def g():\n        pass", "statement"),
        ("raise n", "statement"),
        ("del x", "statement"),
    ],
)
def test_the_gate_refuses_what_could_reach_further_naming_rule_and_line(statement, rule):
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(f"{HEAD}    {statement}\n")
    assert caught.value.details == {"rule": rule, "line": 6}
    assert caught.value.message.startswith("line 6: ")


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import numpy", "import"),
        ("import numpy as np, os", "import"),
        ("from math import sqrt", "import"),
        ("import math as m", "import"),
        ("print(1)", "module"),
        ("class C:\n    pass", "module"),
        ("if 1:\n    pass", "module"),
        ("X = [1]", "constant"),
        ("X = Y", "constant"),
        ("X = {}", "constant"),
        ("np = 4", "shadowing"),
        ("__name__ = 4", "dunder"),
        ("@f\ndef f():\n    pass", "function"),
        ("def f(x=1):\n    pass", "function"),
        ("def f(*x):\n    pass", "function"),
        ("def f(x: int):\n    pass", "function"),
        ("def f() -> int:\n    pass", "function"),
        ("def load(x):\n    pass", "shadowing"),
        ("async def f():\n    pass", "module"),
        ("def f(:\n    pass", "syntax"),
        ("f\0", "syntax"),
        ("#" * 70_000, "size"),
        ("X = " + "(" * 5_000 + ")" * 5_000, "syntax"),
        ("def f(x):\n    x[0] = " + "-" * 20_000 + "1", "syntax"),
    ],
)
def test_the_gate_refuses_module_text_by_its_rule(source, rule):
    with pytest.raises(Rejected) as caught:
        LANGUAGE.gate(source)
    assert caught.value.details["rule"] == rule


@given(
    st.text()
    | st.lists(st.sampled_from([*HEAD.splitlines(True), "    x.sum()\n", "    y[", "]", "**", "@f\n"])).map("".join)
)
def test_no_text_makes_the_language_fail_in_another_way_than_rejecting(body):
    for read in (LANGUAGE.gate, LANGUAGE.entries, LANGUAGE.normalize):
        try:
            read(body)
        except Rejected as refused:
            assert refused.details["line"] >= 1  # noqa: PT017  # the exception is optional, its shape is not


def test_normal_forms_ignore_comments_and_layout_and_nothing_else():
    plain = LANGUAGE.normalize("def f(x):\n    x[0] = 1 + 2\n")
    assert LANGUAGE.normalize("# hello\ndef f( x ):\n\n        x[0] = (1 + 2)  # there\n") == plain
    assert LANGUAGE.normalize("def f(x):\n    x[0] = 1 + 3\n") != plain
