"""What goes wrong in a compile: the kernel's own line, in words, and nothing of the machine."""

from __future__ import annotations

import re

import pytest
from attrs import evolve

from kernelevolve.accelerator import Target
from kernelevolve.backends._numba.failures import without_paths
from kernelevolve.backends.numba_cuda import NumbaCUDA
from kernelevolve.outcome import CandidateError, CompileError, ToolchainError

from .conftest import LINES, plan_of

ACCELERATOR = NumbaCUDA()
SM_90 = Target("cuda:sm_90")
F32 = ((64,), "float32")


def failure(source: str) -> CandidateError:
    with pytest.raises(CandidateError) as caught:
        ACCELERATOR.compile(plan_of(source, {"x": F32, "y": F32, "n": 64}), SM_90)
    return caught.value


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("y[i] = undefined", "undefined"),
        ("y[i] = x[i].foo", "attribute"),
        ("y[i] = 'text'", "setitem"),
        ("y[i, 1] = 2", "cannot index array"),
        ("y[i] = x[i] + x", "setitem"),
        ("t = cuda.shared.array(n, float32)", "array"),
        ("y[i] = [1, 2, 3][n]", "NRT"),
        ("y[i] = helper(x[i])", "Unknown attribute 'bar' of type float32"),
        ("return 3", "No conversion"),
        ("y[i] = cuda.libdevice.nothing(x[i])", "nothing"),
        ("cuda.atomic.add(y, 0, 'a')", "Cannot cast"),
        ("y[i] = math.exp(x, x)", "exp"),
    ],
)
def test_errors_name_the_kernels_own_line(line: str, words: str) -> None:
    source = f"""@cuda.jit(device=True)
def helper(value):
    return value.bar

@cuda.jit
def k(x, y, n):
    i = cuda.grid(1)
    {line}
"""
    error = failure(source)
    assert isinstance(error, CompileError)
    own = 3 if "helper" in line else 8
    assert error.details["line"] == LINES + own
    assert str(error).startswith(f"line {LINES + own}: ")
    assert words in str(error)
    for text in (str(error), error.details["log"]):
        assert not re.search(r"(?<![\w.])/\w+/", text)
        assert "site-packages" not in text
        assert " at 0x" not in text


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("@cuda.jit\ndef k(x, y, n):\n    y[0] = (\n", 3, "SyntaxError"),
        ("WIDTH = WIDER\n\n@cuda.jit\ndef k(x, y, n):\n    y[0] = 1\n", 1, "NameError: name 'WIDER' is not defined"),
        ("from numba import float16\n\n@cuda.jit\ndef k(x, y, n):\n    y[0] = 1\n", 1, "cannot import name 'float16'"),
    ],
)
def test_errors_of_the_module_have_their_line(source: str, line: int, words: str) -> None:
    error = failure(source)
    assert isinstance(error, CompileError)
    assert error.details["stage"] == "module"
    assert words in str(error)
    assert LINES + line <= error.details["line"] <= LINES + line + 1  # an open bracket shows a line later


def test_what_is_no_kernel_is_said_to_be_none() -> None:
    assert "decorate the function with @cuda.jit" in str(failure("def k(x, y, n):\n    y[0] = 1\n"))
    assert "decorate the function" in str(failure("@cuda.jit(device=True)\ndef k(x, y, n):\n    y[0] = 1\n"))
    error = failure("@cuda.jit\ndef k(x, n, y):\n    y[0] = 1\n")
    assert "k takes x, n, y; the plan binds x, y, n" in str(error)


def test_a_launch_needs_a_block() -> None:
    plan = plan_of("@cuda.jit\ndef k(x):\n    x[0] = 1\n", {"x": F32})
    with pytest.raises(CompileError, match="the launch of k says no block"):
        ACCELERATOR.compile(evolve(plan, launches=(evolve(plan.launches[0], block=()),)), SM_90)


def test_a_linker_that_fails_is_the_toolchains_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from kernelevolve.backends._numba import build

    monkeypatch.setattr(build, "_named", lambda entry, ptx: ("numba_k", ptx.replace("ret;", "nothing;")))
    with pytest.raises(ToolchainError, match="nvJitLink does not link k") as caught:
        NumbaCUDA().compile(plan_of("@cuda.jit\ndef k(x):\n    x[0] = 1\n", {"x": F32}), SM_90)
    assert caught.value.details["log"]


def test_a_failed_compile_leaves_the_next_one_alone() -> None:
    failure("@cuda.jit\ndef k(x, y, n):\n    y[0] = undefined\n")
    good = plan_of("@cuda.jit\ndef k(x):\n    x[0] = 1\n", {"x": F32})
    assert ACCELERATOR.compile(good, SM_90).stages["cubin:k"]


def test_warnings_are_in_the_log() -> None:
    source = "@cuda.jit(launch_bounds=(1024, 32))\ndef k(x):\n    x[0] = 1\n"
    artifact = ACCELERATOR.compile(plan_of(source, {"x": F32}), SM_90)
    assert artifact.log.startswith("ptxas warning")
    assert ".minnctapersm will be ignored" in artifact.log


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("File /a/b/c.py line 3", "File c.py line 3"),
        ("raised from /usr/lib/python3/x/eh.py:60", "raised from eh.py:60"),
        ("half // 2 and a/b", "half // 2 and a/b"),
        ("<function helper at 0x7f57a2513100>", "<function helper>"),
    ],
)
def test_paths_and_addresses_are_cut(text: str, want: str) -> None:
    assert without_paths(text) == want
