"""Triton's backend ``mtia``, and the reader from MLIR to programs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget

from kernelevolve.backends.mtia.executor.pointers import stored_parameters
from kernelevolve.backends.mtia.mlir_types import read_type
from kernelevolve.backends.mtia.printed import constant
from kernelevolve.backends.mtia.program import Kind, Type, from_json, to_json
from kernelevolve.backends.mtia.triton_backend.compiler import MTIABackend, MTIAOptions
from kernelevolve.backends.mtia.triton_backend.driver import SWITCH, MTIADriver

Compile = Callable[..., Any]


@triton.jit
def early(x_ptr, y_ptr, count, BLOCK: tl.constexpr):
    start = tl.program_id(1) * BLOCK
    if start >= count:
        return
    at = start + tl.arange(0, BLOCK)
    total = tl.full((BLOCK,), -1.5, tl.float32)
    for i in range(count):
        for j in range(i):
            total += tl.load(x_ptr + at + j, mask=at < count, other=float("-inf"))
        if i == 3:
            tl.store(y_ptr + i, 1.0)
    while tl.atomic_cas(y_ptr.to(tl.pointer_type(tl.int32)), 0, 1) == 1:
        pass
    tl.store(y_ptr + at, total, mask=at < count)


TYPES = {"x_ptr": "*fp32", "y_ptr": "*fp32", "count": "i32"}


def test_triton_compiles_for_the_target(compile_for_mtia: Compile) -> None:
    made = compile_for_mtia(early, TYPES, {"BLOCK": 16})

    assert set(made.asm) == {"source", "ttir", "mtia"}
    assert made.metadata.name == "early"
    assert made.metadata.target == GPUTarget("mtia", "mtia2i", 1)
    assert "tt.func public @early" in made.asm["ttir"]
    assert from_json(made.kernel).entry == "early"


def test_a_program_has_the_kernels_structure(compile_for_mtia: Compile) -> None:
    program = from_json(compile_for_mtia(early, TYPES, {"BLOCK": 16}).asm["mtia"])
    ops = list(program.walk())
    first = early.fn.__code__.co_firstlineno

    def only(name: str) -> Any:
        (op,) = [op for op in ops if op.name == name]
        return op

    assert program.parameters == ("x_ptr", "y_ptr", "count")
    assert [program.types[value] for value in program.kernel.arguments] == [
        Type(Kind.POINTER, "fp32"), Type(Kind.POINTER, "fp32"), Type(Kind.INTEGER, "i32"),
    ]  # fmt: skip
    assert len(program.kernel.body.blocks) == 3
    assert only("cf.cond_br").attributes["successors"] == [1, 2]
    assert only("tt.get_program_id").attributes["axis"] == 1
    assert only("tt.load").line == first + 9
    assert {op.line for op in ops if op.name == "tt.store"} == {first + 11, first + 14}
    outer, inner = [op for op in ops if op.name == "scf.for"]
    assert inner in list(outer.regions[0].blocks[0].ops)
    assert len(inner.operands) == 4
    assert program.types[inner.results[0]] == Type(Kind.FLOAT, "fp32", (16,))
    assert len(only("scf.while").regions) == 2
    assert only("tt.make_range").attributes == {"start": 0, "end": 16}
    values = [op.attributes["value"] for op in ops if op.name == "arith.constant"]
    assert {-1.5, float("-inf"), 1.0} <= {value for value in values if isinstance(value, float)}


def test_json_keeps_everything(compile_for_mtia: Compile) -> None:
    data = compile_for_mtia(early, TYPES, {"BLOCK": 16}).asm["mtia"]

    program = from_json(data)

    assert to_json(program) == data
    with pytest.raises(ValueError, match="format"):
        from_json(b"[]")


@triton.jit
def alternating(x, y, z, n):
    p = x
    for i in range(n):
        tl.store(p + i, tl.sum(tl.load(z + tl.arange(0, 8)), axis=0))
        p = y if i % 2 == 0 else x


def test_operations_of_triton_s_library_have_the_line_that_calls_it(compile_for_mtia: Compile) -> None:
    types = {"x": "*fp32", "y": "*fp32", "z": "*fp32", "n": "i32"}
    program = from_json(compile_for_mtia(alternating, types, {}).asm["mtia"])
    first = alternating.fn.__code__.co_firstlineno
    lines = {op.line for op in program.walk() if op.name in ("tt.reduce", "arith.addf")}
    assert lines == {first + 4}


def test_parameters_that_may_be_stored_through(compile_for_mtia: Compile) -> None:
    types = {"x": "*fp32", "y": "*fp32", "z": "*fp32", "n": "i32"}
    program = from_json(compile_for_mtia(alternating, types, {}).asm["mtia"])
    assert program.parameters == ("x", "y", "z", "n")  # although x is called p as well
    assert stored_parameters(program) & {"x", "y", "z"} == {"x", "y"}


@triton.jit
def refused(x):
    tl.store(x, tl.inline_asm_elementwise("nop", "=r,r", [tl.load(x)], dtype=tl.int32, is_pure=True, pack=1))


def test_what_the_emulator_cannot_do_fails_to_compile(compile_for_mtia: Compile) -> None:
    from kernelevolve.outcome import CompileError

    with pytest.raises(CompileError, match=r"line \d+: .* tt\.elementwise_inline_asm"):
        compile_for_mtia(refused, {"x": "*i32"}, {})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("i1", Type(Kind.INTEGER, "i1")),
        ("bf16", Type(Kind.FLOAT, "bf16")),
        ("f8E4M3FN", Type(Kind.FLOAT, "fp8e4nv")),
        ("tensor<8x4xf8E5M2>", Type(Kind.FLOAT, "fp8e5", (8, 4))),
        ("!tt.ptr<f16, 1>", Type(Kind.POINTER, "fp16")),
        ("tensor<64x!tt.ptr<i64>>", Type(Kind.POINTER, "i64", (64,))),
        ("!tt.tensordesc<8x16xf32>", Type(Kind.DESCRIPTOR, "fp32", (), (8, 16))),
        ("!tt.tensordesc<tensor<8x16xui8>>", Type(Kind.DESCRIPTOR, "i8", (), (8, 16))),
        ("!tt.ptr<tensor<4x4xf32>>", Type(Kind.BLOCK_POINTER, "fp32", (), (4, 4))),
    ],
)
def test_types(text: str, wanted: Type) -> None:
    assert read_type(text) == wanted


@pytest.mark.parametrize("text", ["f128", "tensor<4xcomplex<f32>>", "memref<4xf32>"])
def test_other_types_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not supported"):
        read_type(text)


@pytest.mark.parametrize(
    ("text", "dtype", "wanted"),
    [
        ("%c = arith.constant 16 : i32", "i32", 16),
        ("%c = arith.constant -9223372036854775808 : i64", "i64", -(2**63)),
        ("%c = arith.constant true", "i1", True),
        ("%c = arith.constant 0xFF800000 : f32", "fp32", float("-inf")),
        ("%c = arith.constant dense<1.500000e+00> : tensor<4xf32>", "fp32", 1.5),
        ("%c = arith.constant dense<0x7C00> : tensor<4xf16>", "fp16", float("inf")),
        ("%c = arith.constant dense<[[1, -2], [3, 4]]> : tensor<2x2xi8>", "i8", [1, -2, 3, 4]),
        ('%c = arith.constant dense<"0x0000803F00000040"> : tensor<2xf32>', "fp32", [1.0, 2.0]),
        ("%c = arith.constant {tt.x = 1 : i32} dense<false> : tensor<4xi1>", "i1", False),
        ("%c = arith.constant dense<0x3FC0> : tensor<4xbf16>", "bf16", 1.5),
    ],
)
def test_constants(text: str, dtype: str, wanted: Any) -> None:
    assert constant(text, dtype, dtype[0] in "fb") == wanted


def test_options_that_other_vendors_have_are_left_out() -> None:
    backend = MTIABackend(GPUTarget("mtia", "mtia300", 1))

    options = backend.parse_options({"num_warps": 8, "waves_per_eu": 2, "cb_multiplier": 4, "use_dual_core": True})

    assert (options.num_warps, options.cb_multiplier, options.use_dual_core, options.arch) == (8, 4, True, "mtia300")
    assert options.hash() != MTIAOptions().hash()
    with pytest.raises(ValueError, match="cb_multiplier"):
        backend.parse_options({"cb_multiplier": 0})


def test_unknown_chips_and_targets_are_refused() -> None:
    with pytest.raises(ValueError, match="mtia9"):
        MTIABackend(GPUTarget("mtia", "mtia9", 1))
    assert not MTIABackend.supports_target(GPUTarget("cuda", 90, 32))


def test_the_driver_is_active_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    assert not MTIADriver.is_active()
    monkeypatch.setenv(SWITCH, "1")
    assert MTIADriver.is_active()
    assert MTIADriver().get_current_target() == GPUTarget("mtia", "mtia2i", 1)


PROGRAM = """
import os, sys
import triton, triton.language as tl
from triton.backends import backends
from triton.compiler import ASTSource
from triton.backends.compiler import GPUTarget
from triton.language.extra import libdevice

@triton.jit
def kernel(x, y):
    tl.store(y, libdevice.gelu(tl.load(x)))

assert "mtia" in backends, sorted(backends)
source = ASTSource(kernel, {"x": "*fp32", "y": "*fp32"}, {})
print(triton.compile(source, target=GPUTarget("mtia", "mtia2i", 1)).asm["ttir"])
os.environ["KERNELEVOLVE_MTIA_ACTIVE"] = "1"
print(triton.runtime.driver.active.get_current_target())
"""


def test_triton_finds_the_backend_by_its_entry_point(tmp_path: Path) -> None:
    package = tmp_path / "kernelevolve_mtia_probe-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: kernelevolve-mtia-probe\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[triton.backends]\nmtia = kernelevolve.backends.mtia.triton_backend\n")
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    path = os.pathsep.join([str(tmp_path), str(Path(triton.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "TRITON_CACHE_DIR": str(tmp_path / "cache")}

    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert "__mtia_lookup_gelu" in done.stdout
    assert "GPUTarget(backend='mtia', arch='mtia2i', warp_size=1)" in done.stdout
