"""What a compile that fails says: the outcome, the stage, the line in the kernel's own file, and no machine's paths."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from attrs import evolve

from kernelevolve.accelerator import Target
from kernelevolve.backends._triton.capture import capture
from kernelevolve.backends._triton.failures import explain
from kernelevolve.backends._triton.sources import source_name
from kernelevolve.backends.triton_cuda import TritonCUDA
from kernelevolve.backends.triton_rocm import TritonROCm
from kernelevolve.outcome import CandidateError, CompileError, ResourceExceeded, ToolchainError
from kernelevolve.plan import LaunchPlan
from kernelevolve.problem import ScalarSpec

from .conftest import VERSION, make

H100 = (TritonCUDA(), Target("cuda:sm_90"))
MI300X = (TritonROCm(), Target("hip:gfx942"))
BOTH = pytest.mark.parametrize("where", [H100, MI300X], ids=["cuda", "hip"])


def plan_of(
    statements: str, before: str = "", sizes: str = "n=64", header: str = "[tune]\nB = [16]", **named: Any
) -> LaunchPlan:
    """``k(x, y, n, B)`` with `o = tl.arange(0, B)` on line 7 (after `before`), then `statements`."""
    lines = "".join(f"    {line}\n" for line in statements.splitlines())
    body = f"{before}@triton.jit\ndef k(x, y, n, B: tl.constexpr):\n    o = tl.arange(0, B)\n{lines}"
    return make(body, tensors="x:n;y:n", sizes=sizes, header=header, **named)


def failure(where: tuple[Any, Target], plan: LaunchPlan) -> CandidateError:
    with pytest.raises(CandidateError) as caught:
        where[0].compile(plan, where[1])
    for text in (caught.value.message, str(caught.value.details.get("log"))):
        assert os.sep + "tmp" not in text
        assert "site-packages" not in text
        assert "Traceback" not in text
    return caught.value


FRONT_END = {
    "unknown name": ("tl.store(y + o, tl.load(x + o, mask=o < m))", 8, "m is not defined"),
    "shapes": ("v = tl.load(x + o)\ntl.store(y + o, v + tl.arange(0, 32))", 9, "incompatible dimensions"),
    "not a power of two": ("tl.store(y + tl.arange(0, 24), 0.0)", 8, "power of 2"),
    "inside a library function": ("tl.store(y + o, tl.cumsum(tl.load(x + o), axis=3))", 8, "invalid axis 3"),
    "unsupported Python": ("try:\n    v = 1\nexcept ValueError:\n    v = 2", 8, "Try"),
    "type changes in a loop": (
        "v = 0\nfor i in range(n):\n    v = v + tl.load(x + o)\ntl.store(y + o, v)",
        9,
        "Loop-carried variable v",
    ),
    "static_assert": ('tl.static_assert(B < 8, "B is too large")', 8, "static_assert does not hold: B is too large"),
    "too large": ("tl.store(y + tl.arange(0, 2097152), 0.0)", 8, "exceeds triton maximum tensor numel"),
}


@pytest.mark.parametrize("case", FRONT_END)
def test_front_end_errors_name_the_line(case: str) -> None:
    statements, line, message = FRONT_END[case]
    error = failure(H100, plan_of(statements))
    assert isinstance(error, CompileError)
    assert (error.details["stage"], error.details["line"]) == ("ttir", line)
    assert error.message.startswith(f"line {line}: ")
    assert message in error.message


@BOTH
def test_an_error_in_a_called_function_names_its_line(where: tuple[Any, Target]) -> None:
    before = "@triton.jit\ndef helper(v):\n    w = v + 1\n    return w + tl.arange(0, 3)\n\n\n"
    error = failure(where, plan_of("tl.store(y + o, helper(tl.load(x + o)))", before))
    assert (error.details["stage"], error.details["line"]) == ("ttir", 8)
    assert "arange's range must be a power of 2" in error.message


def test_a_source_that_is_not_python_or_fails_to_load() -> None:
    plan = plan_of("tl.store(y + o, 0.0)")
    error = failure(H100, evolve(plan, source=plan.source.replace("import triton\n", "import triton\nSIZE = 1 // 0\n")))
    assert (error.details["stage"], error.details["line"]) == ("import", 2)
    assert "ZeroDivisionError" in error.message


@BOTH
@pytest.mark.parametrize(("option", "reason"), [("num_warps = [3]", "power of 2"), ("num_ctas = [2]", "num_ctas")])
def test_launch_options_that_triton_refuses(where: tuple[Any, Target], option: str, reason: str) -> None:
    target = Target("cuda:sm_80") if where is H100 else where[1]  # clusters came with Hopper
    error = failure((where[0], target), plan_of("tl.store(y + o, 0.0)", header=f"[tune]\nB = [16]\n{option}"))
    assert isinstance(error, CompileError)
    assert error.details["stage"] == "options"
    assert reason in error.message


@BOTH
def test_more_shared_memory_than_a_block_has(where: tuple[Any, Target]) -> None:
    loop = """p = tl.arange(0, 128)[:, None] * 128 + tl.arange(0, 128)[None, :]
acc = tl.zeros((128, 128), tl.float32)
for i in range(0, n):
    acc = tl.dot(tl.load(x + i * 16384 + p), tl.load(y + i * 16384 + p), acc)
tl.store(y + p, acc.to(tl.float16))"""
    stages = 5 if where is H100 else 3
    header = f"[tune]\nB = [16]\nnum_stages = [{stages}]\nnum_warps = [8]"
    error = failure(where, plan_of(loop, sizes="n=64,x:float16,y:float16", header=header))
    assert isinstance(error, ResourceExceeded)
    assert error.details["resource"] == "shared memory"
    assert error.details["limit"] == (227 * 1024 if where is H100 else 64 * 1024)
    assert error.details["needed"] > error.details["limit"]
    assert str(error.details["needed"]) in error.message


def test_more_threads_than_a_block_may_have() -> None:
    error = failure(MI300X, plan_of("tl.store(y + o, 0.0)", header="[tune]\nB = [16]\nnum_warps = [32]"))
    assert isinstance(error, ResourceExceeded)
    assert (error.details["needed"], error.details["limit"]) == (2048, 1024)


BOGUS = 'v = tl.inline_asm_elementwise("bogus.f32 $0, $1;", "{constraints}", [tl.load(x + o)], dtype=tl.float32, is_pure=True, pack=1)\ntl.store(y + o, v)'


@BOTH
def test_assembly_that_nobody_knows_is_the_kernels_fault(where: tuple[Any, Target]) -> None:
    error = failure(where, plan_of(BOGUS.format(constraints="=f,f" if where is H100 else "=v,v")))
    assert isinstance(error, CompileError)
    assert "bogus" in error.message + error.details["log"]


@pytest.mark.skipif(VERSION < (3, 9), reason="the code generator of older versions ends the process")
def test_a_code_generator_that_prints_an_error_and_goes_on_is_not_believed() -> None:
    error = failure(MI300X, plan_of(BOGUS.format(constraints="=f,f")))
    assert isinstance(error, CompileError)
    assert "register for constraint" in error.message


def test_a_compiler_that_breaks_is_a_toolchain_error() -> None:
    error = failure(
        H100, plan_of("tl.store(y + o, tl.sort(tl.load(x + o)))", header="[tune]\nB = [16]\nnum_ctas = [4]")
    )
    assert isinstance(error, ToolchainError)
    assert "Assertion" in error.message
    assert "while making" in error.message


def test_what_a_pass_prints_about_the_kernel_is_found() -> None:
    source = plan_of("tl.store(y + o, 0.0)").source
    log = f"standard.py:358:12: error: unsupported layout\n{source_name(source)}:8:21: note: called from\nmodule {{"
    error = explain(RuntimeError("PassManager::run failed"), source, log)
    assert isinstance(error, CompileError)
    assert (error.message, error.details["line"]) == ("line 8: unsupported layout (while making ttir)", 8)


def test_what_a_compiler_prints_is_bounded_and_says_nothing_of_the_machine() -> None:
    with capture() as captured:
        os.write(2, b"first words\n" + b"x" * 200_000)
        os.write(1, b"\nlast words in /home/somebody/kernel.py:3\n")
    assert captured.text.startswith("first words")
    assert captured.text.endswith("last words in kernel.py:3")
    assert len(captured.text) < 40_000


def test_tunables_that_would_change_nothing() -> None:
    before = "SIZE: tl.constexpr = 4\n\n\n"
    error = failure(H100, plan_of("tl.store(y + o, SIZE)", before, header="[tune]\nB = [16]\nSIZE = [4, 8]"))
    assert isinstance(error, CompileError)
    assert error.details["line"] == 5
    assert "SIZE: tl.constexpr" in error.message


def test_two_launches_of_one_entry_that_need_two_binaries() -> None:
    body = "@triton.jit\ndef k(x, y, PASS: tl.constexpr):\n    tl.store(y, tl.load(x) + PASS)\n"
    launches = "\n".join(f'[[launch]]\nentry = "k"\ngrid = ["1"]\nargs = {{ PASS = "{value}" }}' for value in (1, 2))
    error = failure(H100, make(body, tensors="x:n;y:n", sizes="n=4", header=launches))
    assert isinstance(error, CompileError)
    assert "PASS = 1 and with 2" in error.message


def test_a_number_must_fit_its_type() -> None:
    body = "@triton.jit\ndef k(x, y, big):\n    tl.store(y, tl.load(x) + big)\n"
    scalars = (ScalarSpec("big", 2**70, "int64"),)
    error = failure(H100, make(body, tensors="x:m;y:m", sizes="m=4", scalars=scalars))
    assert isinstance(error, CompileError)
    assert "no 64-bit integer" in error.message


def test_an_unknown_target_is_named() -> None:
    for made, name in (
        (H100[0], "cuda:gfx942"),
        (H100[0], "opencl:pocl"),
        (MI300X[0], "hip:sm_90"),
        (MI300X[0], "hip:gfx9"),
    ):
        error = failure((made, Target(name)), plan_of("tl.store(y + o, 0.0)"))
        assert isinstance(error, CompileError)
        assert name in error.message


def test_triton_that_does_not_import_is_a_toolchain_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton.compiler.compiler", None)
    error = failure(H100, plan_of("tl.store(y + o, 0.0)"))
    assert isinstance(error, ToolchainError)
    assert "triton does not import" in error.message


def test_a_process_that_interprets_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    error = failure(H100, plan_of("tl.store(y + o, 0.0)"))
    assert isinstance(error, ToolchainError)
