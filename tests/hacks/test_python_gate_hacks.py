"""Row K4 and its kin in the two languages that are Python: the ways out are real, and the gates close them.

Triton does not compile the tree that Python ran. It takes a function's text apart by itself, so a text that two tools
split differently would be judged as one program and run as another. The tests ask the real tools what they would take.
"""

from __future__ import annotations

import ast
import importlib
import linecache
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import pytest

from kernelevolve import problems
from kernelevolve.kernel import parse_kernel
from kernelevolve.languages.numba_lang import NumbaLanguage
from kernelevolve.languages.python_kernels import read
from kernelevolve.languages.triton_lang import TritonLanguage
from kernelevolve.outcome import Rejected

TRITON, NUMBA = TritonLanguage(), NumbaLanguage()
TRITON_HEAD = "import triton\nimport triton.language as tl\n\n"
NUMBA_HEAD = "from numba import cuda\n\n"
SEEDS = Path(problems.__file__).parent / "seeds"


@contextmanager
def loaded(source: str, name: str) -> Iterator[types.ModuleType]:
    """`source` as a module without a file, the way an accelerator loads one."""
    module = types.ModuleType(name)
    module.__file__ = f"{name}.py"
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
    sys.modules[name] = module
    try:
        exec(compile(source, module.__file__, "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[name], linecache.cache[module.__file__]


def same(one: ast.AST, other: ast.AST) -> bool:
    """Whether two functions are the same but for their decorators."""
    bare = [ast.unparse(node).partition("def ")[2] for node in (one, other)]
    return bare[0] == bare[1]


def taken_by_triton(function: object) -> ast.AST:
    """The function that Triton compiles."""
    return function.parse().body[0]


def taken_by_the_interpreter(function: object) -> ast.AST:
    """The function that Triton's interpreter runs."""
    interpreter = importlib.import_module("triton.runtime.interpreter")
    rewriter = interpreter.FunctionRewriter(function.fn)
    lines = function.raw_src
    rewriter.def_lineno = rewriter._find_def(lines)
    return ast.parse(rewriter._prepare_source(lines)).body[0]


SMUGGLED = "    tl.core.os.system('id')\n"
#: Sources of which Triton, or its interpreter, would take another text than Python does.
TORN = {
    "a def broken by a backslash, and another in its docstring": (
        TRITON_HEAD + f'@triton.jit\ndef \\\nk(x):\n    """\ndef k(x):\n{SMUGGLED}    """ # """\n    pass\n',
        taken_by_triton,
    ),
    "a def in a docstring": (
        TRITON_HEAD + f'@triton.jit\ndef k(x):\n    """\n    def k(x):\n    {SMUGGLED}        """ # """\n    pass\n',
        taken_by_the_interpreter,
    ),
    "a comment that some tools see as three lines": (
        TRITON_HEAD + f"# \fdef k(x):\f{SMUGGLED}@triton.jit\ndef k(x):\n    pass\n",
        taken_by_triton,
    ),
}


@pytest.mark.parametrize("name", TORN)
def test_k4_a_text_that_triton_would_split_differently_is_real_and_refused(name: str) -> None:
    pytest.importorskip("triton")
    source, taken = TORN[name]
    with loaded(source, "torn") as module:
        checked = next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        assert [type(node) for node in checked.body][-1] is ast.Pass  # it does nothing, as Python reads it
        assert "system" in {node.attr for node in ast.walk(taken(module.k)) if isinstance(node, ast.Attribute)}
    with pytest.raises(Rejected) as caught:
        TRITON.gate(source)
    assert caught.value.details["rule"] in {"layout", "characters"}


@pytest.mark.parametrize("path", sorted((SEEDS / "triton").glob("*.py")), ids=lambda path: path.stem)
def test_k4_what_the_gate_judged_is_what_triton_and_its_interpreter_take(path: Path) -> None:
    pytest.importorskip("triton")
    source = parse_kernel(path.read_text(encoding="utf-8")).body
    TRITON.gate(source)
    with loaded(source, "judged") as module:
        for node in read(source).tree.body:
            if isinstance(node, ast.FunctionDef):
                function = getattr(module, node.name)
                assert same(node, taken_by_triton(function))
                assert same(node, taken_by_the_interpreter(function))


@pytest.mark.parametrize("language", ["triton", "numba"])
def test_k4_every_seed_passes_its_gate_with_its_tunables(language: str) -> None:
    reader = {"triton": TRITON, "numba": NUMBA}[language]
    files = sorted((SEEDS / language).glob("*.py"))
    assert files
    for file in files:
        kernel = parse_kernel(file.read_text(encoding="utf-8"))
        reader.gate(kernel.body)
        for name, values in kernel.tunables.items():
            for value in values:
                reader.check_tunable(name, value)
        assert {launch.entry for launch in kernel.launches} <= set(reader.entries(kernel.body))


@pytest.mark.parametrize(
    "path",
    [
        "core.inspect.sys",
        "core.builtins.exec",
        "core.builtins.__import__",
        "standard.core.builtins",
        "load.__globals__",
    ],
)
def test_k4_the_ways_out_of_triton_exist_and_are_closed(path: str) -> None:
    tl = pytest.importorskip("triton.language")
    assert reduce(getattr, path.split("."), tl) is not None
    for use in (f"tl.{path}", f"tl.{path}('id')", f"x.{path}", f"tl.load(tl.{path})"):
        with pytest.raises(Rejected) as caught:
            TRITON.gate(f"{TRITON_HEAD}@triton.jit\ndef k(x):\n    a = {use}\n")
        assert caught.value.details["rule"] == "attribute"


@pytest.mark.parametrize("path", ["os.system", "sys.modules", "importlib.import_module", "np.load", "jit.__globals__"])
def test_k4_the_ways_out_of_numba_exist_and_are_closed(path: str) -> None:
    pytest.importorskip("numba_cuda")
    cuda = pytest.importorskip("numba.cuda")
    assert reduce(getattr, path.split("."), cuda) is not None
    for use in (f"cuda.{path}", f"cuda.{path}('id')", f"x.{path}", f"len(cuda.{path})"):
        with pytest.raises(Rejected) as caught:
            NUMBA.gate(f"{NUMBA_HEAD}@cuda.jit\ndef k(x):\n    a = {use}\n")
        assert caught.value.details["rule"] == "attribute"


def test_k4_getattr_is_a_function_of_kernels_in_triton_and_not_here() -> None:
    generator = pytest.importorskip("triton.compiler.code_generator")
    given = generator.CodeGenerator.builtin_namespace
    assert given["getattr"] is getattr
    for use in ("getattr(x, 'handle')", "hasattr(x, 'handle')", "list((1, 2))", "print(x)", "isinstance(x, x)"):
        with pytest.raises(Rejected) as caught:
            TRITON.gate(f"{TRITON_HEAD}@triton.jit\ndef k(x):\n    a = {use}\n")
        assert caught.value.details["rule"] == "builtin"


def test_k4_a_tunable_brings_in_nothing_that_the_gate_forbids() -> None:
    for reader, names in ((TRITON, ("tl", "triton", "print", "__builtins__")), (NUMBA, ("cuda", "open", "float32"))):
        for name in names:
            with pytest.raises(Rejected):
                reader.check_tunable(name, 1)
        with pytest.raises(Rejected):
            reader.check_tunable("MODE", "__import__('os').system('id')")


def test_k4_reading_a_source_imports_and_runs_nothing() -> None:
    loud = "import antigravity\nraise SystemExit(1)\n"
    before = set(sys.modules)
    for reader in (TRITON, NUMBA):
        with pytest.raises(Rejected):
            reader.gate(loud)
        assert reader.entries(loud) == {}
        assert reader.normalize(loud) == loud.rstrip("\n")
    assert "antigravity" not in set(sys.modules) - before
