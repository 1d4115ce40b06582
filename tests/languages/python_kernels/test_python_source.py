"""Reading kernels written in Python: texts that two tools would read differently, and the normal form."""

from __future__ import annotations

import ast
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelevolve.language import Language
from kernelevolve.languages.numba_lang import NumbaLanguage
from kernelevolve.languages.python_kernels import normal_form, read
from kernelevolve.languages.python_kernels.source import MAX_MESSAGE
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import Rejected

PLAIN = "import math\n\n\n@mark\ndef k(x):\n    return x\n"


@pytest.mark.parametrize(
    ("line", "rule", "where"),
    [
        ("# a\x0bb", "characters", 7),
        ("# a\x0cb", "characters", 7),
        ("# a\x1cb", "characters", 7),
        ("# a\x1db", "characters", 7),
        ("# a\x1eb", "characters", 7),
        ("# a\x85b", "characters", 7),
        ("# a\u2028b", "characters", 7),
        ("# a\u2029b", "characters", 7),
        ("# a\rb", "characters", 7),
        ("# a\x00b", "characters", 7),
        ("# a\u202eb", "characters", 7),
        ("# a\ufeffb", "characters", 7),
        ("# a\udc80b", "characters", 7),
        ("x = 'a\x1bb'", "characters", 7),
        ("é = 1", "characters", 7),
        ("x.ｓ = 1", "characters", 7),
        ("if 1:\n\tx = 1", "layout", 8),
        ("if 1:\n  \tx = 1", "layout", 8),
        ("if 1:\n    def f():\n        pass", "layout", 8),
        ("class C:\n    def f(self):\n        pass", "layout", 8),
        ("x = '''\ndef f():\n'''", "layout", 8),
        ("x = '''\n    async  def f():\n'''", "layout", 8),
        ("'''\ndef\n'''", "layout", 8),
        ("def  f():\n    pass", "layout", 7),
        ("def f ():\n    pass", "layout", 7),
        ("def \\\nf():\n    pass", "layout", 7),
        ("def f\\\n():\n    pass", "layout", 7),
        ("x = (", "syntax", 7),
        ("  x = 1", "syntax", 7),
        ("x = 1 +", "syntax", 7),
        ("x = 01", "syntax", 7),
    ],
)
def test_a_text_that_tools_could_split_differently_is_refused_by_its_line(line: str, rule: str, where: int) -> None:
    with pytest.raises(Rejected) as caught:
        read(f"{PLAIN}{line}\n")
    assert caught.value.details == {"rule": rule, "line": where}


@pytest.mark.parametrize(
    "line",
    [
        "# × – 日本語 ﬁ\tß",
        "x = 'é'",
        "'''\n  define this\n  default: that\n'''",
        "x = 1  # def f():",
        "x = 'def f():'",
        "x = (1 +\n     2)",
        "x = 1 + \\\n    2",
        "x = 1\t+ 2",
        "def f(): pass",
        "def f(\n    x,\n):\n    pass",
        "# coding of the symbols: Huffman",
    ],
)
def test_what_every_tool_reads_alike_passes(line: str) -> None:
    assert isinstance(read(f"{PLAIN}{line}\n").tree, ast.Module)


@pytest.mark.parametrize(
    "text",
    [
        "# coding: latin-1\n",
        "\n#-*- coding=utf-7\n",
        "# vim: set fileencoding=cp1252 :\n",
        "\n\n  # coding:x\n",
        "#coding:utf-8\n",
    ],
)
def test_a_file_that_names_its_encoding_is_refused(text: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(text + PLAIN)
    assert caught.value.details == {"rule": "encoding", "line": text.count("\n")}


def test_an_encoding_may_be_spoken_of_where_no_tool_looks_for_it() -> None:
    read(f"{PLAIN}# coding: latin-1\n")


@given(st.text() | st.text(alphabet="def kx():\n @#'\"\\\t{}[]=.,1\f\r", max_size=60))
def test_reading_any_text_gives_a_tree_or_a_rejection(text: str) -> None:
    try:
        found = read(text)
    except Rejected as refused:
        assert refused.details["rule"] in {"characters", "layout", "encoding", "syntax", "depth", "size"}  # noqa: PT017
    else:
        assert found.text.split("\n") == found.text.splitlines() + [""] * (found.text[-1:] in ("", "\n"))


@pytest.mark.parametrize(
    "text", ["-" * 60_000 + "1", "(" * 60_000, "a" + ".a" * 30_000, "not " * 15_000 + "1", "[" * 199]
)
def test_reading_a_text_that_nests_for_ever_ends_at_once(text: str) -> None:
    with pytest.raises(Rejected) as caught:
        read(text)
    assert caught.value.details["rule"] in {"depth", "syntax"}


#: Written here in full, so that a Python which writes it in another way is noticed: stores keep normal forms.
NORMAL = """import math
TAPS = (1, 2.5, -3)

@triton.jit(noinline=True)
def k(x, y: tl.constexpr=4):
    a, b = (x[0, 1], x[:, None])
    (c, d), e = (f(a), -b)
    for i in range(0, 10, 2):
        while not a < b <= c:
            a += b ** (-2) if i % 2 == 0 else ~c
    else:
        pass
    if a or (b and c):
        tl.store(x + a, 'text', mask=a)
    elif b is None:
        return
    else:
        return (a, b)
"""
WRITTEN = """# before
'''Says what it is.'''
import math
TAPS = 1, 2.50, - 3  # numbers

@triton.jit( noinline = True )
def k(x, y: tl.constexpr = 4):
    '''Says what it does.'''
    a, b = x[0, 1], x[:, None]
    (c, d), e = f(a), -b
    for i in range(0, 10, 2):
        while not a < b <= c:
            a += b**-2 if i % 2 == 0 else ~c
    else:
        'nothing'
        pass
    if (a or b and c):
        tl.store(x + a,
                 'text', mask=a)
    else:
        if b is None:
            return
        else:
            return a, b
"""


def test_the_normal_form_is_the_same_on_every_python() -> None:
    assert normal_form(WRITTEN) == NORMAL.rstrip("\n")
    assert normal_form(NORMAL) == NORMAL.rstrip("\n")


def test_a_body_that_only_explains_does_nothing() -> None:
    assert normal_form("def k(x):\n    'why'\n") == "def k(x):\n    pass"
    assert normal_form("'why'\n") == ""


def test_reading_leaves_the_shared_tree_as_it_was() -> None:
    source = read(WRITTEN)
    before = ast.dump(source.tree)
    normal_form(WRITTEN)
    assert ast.dump(read(WRITTEN).tree) == before


@given(st.text(alphabet="abk=+-*/() \n#'\"1.,:[]", max_size=60))
def test_a_normal_form_is_its_own(text: str) -> None:
    try:
        normal = normal_form(text)
    except Rejected:
        return
    assert normal_form(normal) == normal


DEEP = "-" * 450 + "1"


@pytest.mark.parametrize(
    "text",
    [
        f"x = {DEEP}\n",
        f"@triton.jit\ndef k(x: {DEEP}):\n    pass\n",
        f"@triton.jit\ndef k(x={DEEP}):\n    pass\n",
        f"@cuda.jit(device={DEEP})\ndef k(x):\n    x = {DEEP}\n",
        f"@cuda.jit\ndef k(x):\n    t = cuda.shared.array({DEEP}, float32)\n",
        "@triton.jit\ndef k(x):\n    x" + ".a" * 450 + "()\n",
        "@a" + ".a" * 450 + "\ndef k(x):\n    pass\n",
        "".join(f"@triton.jit\ndef f{n}(x):\n    return f{n + 1}(x)\n" for n in range(1500)),
        "import " + "a." * 450 + "a\n",
    ],
    ids=["constant", "annotation", "default", "decorator", "size", "chain", "mark", "calls", "import"],
)
@pytest.mark.parametrize("language", [TritonLanguage(), NumbaLanguage()], ids=lambda language: language.name)
def test_what_nests_deeper_than_python_follows_is_read_or_rejected(language: Language, text: str) -> None:
    for question in (language.gate, language.entries, language.normalize):
        with contextlib.suppress(Rejected):
            question(text)


@pytest.mark.parametrize("language", [TritonLanguage(), NumbaLanguage()], ids=lambda language: language.name)
def test_a_name_of_pages_does_not_fill_a_page(language: Language) -> None:
    name = "a" * 30_000
    for text in (
        f"import {name}\n",
        f"def {name}():\n    pass\n",
        f"class {name}:\n    pass\n",
        f"from {name} import a\n",
    ):
        with pytest.raises(Rejected) as caught:
            language.gate(text)
        assert len(caught.value.message) < MAX_MESSAGE + 20


def test_reading_tells_nobody_of_odd_escapes(recwarn: pytest.WarningsRecorder) -> None:
    read("'''A text with \\d in it.'''\n")
    assert not recwarn.list
