"""Kernels in the interpreted device: the same numbers as NumPy, and every stray access found."""

# ruff: noqa: E501  # kernels in strings read better on one line

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.outcome import LaunchError, Nondeterministic, OutOfBounds, ToolchainError
from kernelevolve.problem import ScalarSpec

from .conftest import VERSION, Interpreting, make

RNG = np.random.default_rng(1)


def to_bytes(values: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """`values` rounded to `dtype`, as an array that has its bytes."""
    tensor = torch.from_numpy(np.ascontiguousarray(values)).to(getattr(torch, dtype)).contiguous()
    return tensor.view(torch.uint8).numpy()


def from_bytes(raw: bytes, dtype: str) -> np.ndarray[Any, Any]:
    tensor = torch.frombuffer(bytearray(raw), dtype=getattr(torch, dtype))
    return tensor.to(torch.float64 if tensor.dtype.is_floating_point else torch.int64).numpy()


SOFTMAX = """@triton.jit
def k(x, y, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    o = tl.arange(0, BLOCK)
    v = tl.load(x + row * cols + o, mask=o < cols, other=-float("inf")).to(tl.float32)
    e = tl.exp(v - tl.max(v, axis=0))
    tl.store(y + row * cols + o, e / tl.sum(e, axis=0), mask=o < cols)
"""


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40),
    cols=st.integers(1, 130),
    dtype=st.sampled_from(["float32", "float16", "bfloat16", "float64", "float8_e5m2", "float8_e4m3fn"]),
)
def test_softmax_for_any_shape_and_type(cuda: Interpreting, rows: int, cols: int, dtype: str) -> None:
    plan = make(
        SOFTMAX,
        tensors="x:rows,cols;y:rows,cols",
        sizes=f"rows={rows},cols={cols},x:{dtype},y:{dtype}",
        grid='"rows"',
        header="[tune]\nBLOCK = [256]",
    )
    x = to_bytes(RNG.standard_normal((rows, cols)), dtype)
    got = from_bytes(cuda.run(plan, x=x)["y"], dtype).reshape(rows, cols)
    exact = from_bytes(x.tobytes(), dtype).reshape(rows, cols)
    e = np.exp(exact - exact.max(axis=1, keepdims=True))
    want = e / e.sum(axis=1, keepdims=True)
    eps = torch.finfo(getattr(torch, dtype)).eps
    np.testing.assert_allclose(got, want, rtol=max(eps, 4e-7), atol=2.0**-9 if "float8" in dtype else 1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_arithmetic_in_the_tensors_own_type_rounds_each_step(cuda: Interpreting, dtype: str) -> None:
    body = """@triton.jit
def k(a, b, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    u = tl.load(a + o, mask=o < n)
    v = tl.load(b + o, mask=o < n)
    tl.store(y + o, tl.where(u > v, u * v, tl.maximum(u, v) - u / v), mask=o < n)
"""
    plan = make(body, tensors="a:n;b:n;y:n", sizes=f"n=100,a:{dtype},b:{dtype},y:{dtype}", header="[tune]\nB = [128]")
    kind = getattr(torch, dtype)
    a, b = (torch.from_numpy(RNG.standard_normal(100)).to(kind) for _ in "ab")
    want = torch.where(a > b, a * b, torch.maximum(a, b) - a / b)
    got = cuda.run(plan, a=a.view(torch.uint8).numpy(), b=b.view(torch.uint8).numpy())["y"]
    # division may keep more digits than the type before the difference is rounded
    np.testing.assert_allclose(
        from_bytes(got, dtype), want.double().numpy(), rtol=2 * torch.finfo(kind).eps, atol=torch.finfo(kind).eps
    )


MATMUL = """@triton.jit
def k(a, b, c, m, n, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    om = tl.program_id(0) * BM + tl.arange(0, BM)
    on = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.{accumulator})
    for k0 in range(0, k, BK):
        ok = k0 + tl.arange(0, BK)
        x = tl.load(a + om[:, None] * k + ok[None, :], mask=(om[:, None] < m) & (ok[None, :] < k), other={zero})
        z = tl.load(b + ok[:, None] * n + on[None, :], mask=(ok[:, None] < k) & (on[None, :] < n), other={zero})
        acc = tl.dot(x, z, acc{precision})
    tl.store(c + om[:, None] * n + on[None, :], acc.to(c.dtype.element_ty), mask=(om[:, None] < m) & (on[None, :] < n))
"""


def matmul(
    dtype: str, out: str, precision: str = "", accumulator: str = "float32", sizes: str = "m=33,n=18,k=70"
) -> Any:
    zero = "0" if dtype == "int8" else "0.0"
    body = MATMUL.replace("{precision}", precision).replace("{accumulator}", accumulator).replace("{zero}", zero)
    return make(
        body,
        tensors="a:m,k;b:k,n;c:m,n",
        out="c",
        sizes=f"{sizes},a:{dtype},b:{dtype},c:{out}",
        grid='"cdiv(m, BM)", "cdiv(n, BN)"',
        header="[tune]\nBM = [32]\nBN = [16]\nBK = [32]",
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e5m2", "float8_e4m3fn"])
def test_dot_of_low_precision(cuda: Interpreting, dtype: str) -> None:
    a, b = (to_bytes(RNG.standard_normal(shape), dtype) for shape in ((33, 70), (70, 18)))
    got = from_bytes(cuda.run(matmul(dtype, "float32"), a=a, b=b)["c"], "float32").reshape(33, 18)
    want = from_bytes(a.tobytes(), dtype).reshape(33, 70) @ from_bytes(b.tobytes(), dtype).reshape(70, 18)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


def test_dot_of_integers(cuda: Interpreting) -> None:
    a, b = RNG.integers(-128, 128, (33, 70), np.int8), RNG.integers(-128, 128, (70, 18), np.int8)
    got = cuda.run(matmul("int8", "int32", ", out_dtype=tl.int32", accumulator="int32"), a=a, b=b)["c"]
    assert np.array_equal(np.frombuffer(got, np.int32).reshape(33, 18), a.astype(np.int32) @ b.astype(np.int32))


@pytest.mark.parametrize("platform", ["cuda", "hip"])
def test_float32_dot_loses_what_a_tensor_core_drops_unless_it_asks_not_to(
    request: pytest.FixtureRequest, platform: str
) -> None:
    """TF32 is what Triton does by default: a kernel that forgets to say so must look as wrong here as on a chip."""
    device: Interpreting = request.getfixturevalue(platform)
    a, b = RNG.standard_normal((33, 70)).astype(np.float32), RNG.standard_normal((70, 18)).astype(np.float32)
    want = a.astype(np.float64) @ b.astype(np.float64)
    errors = {}
    for precision in ("", ', input_precision="tf32"', ', input_precision="ieee"', ', input_precision="tf32x3"'):
        got = device.run(matmul("float32", "float32", precision), a=a, b=b)["c"]
        errors[precision] = np.abs(np.frombuffer(got, np.float32).reshape(33, 18) - want).max()
    assert errors[""] == errors[', input_precision="tf32"'] > 1e-3
    assert errors[', input_precision="ieee"'] == errors[', input_precision="tf32x3"'] < 1e-4


def test_atomics_count_and_add(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(x, count, total, peak, n, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i, mask=i < n, other=0)
    tl.atomic_add(count + v % 8, 1, mask=i < n)
    tl.atomic_add(total, tl.sum(v.to(tl.float32), axis=0))
    tl.atomic_max(peak, tl.max(v, axis=0))

@triton.jit
def clear(count, total, peak):
    tl.store(count + tl.arange(0, 8), tl.zeros((8,), tl.int32))
    tl.store(total, 0.0)
    tl.store(peak, 0)
"""
    header = (
        '[tune]\nB = [32]\n[[launch]]\nentry = "clear"\ngrid = ["1"]\n[[launch]]\nentry = "k"\ngrid = ["cdiv(n, B)"]'
    )
    plan = make(
        body,
        tensors="x:n;count:8;total:1;peak:1",
        out="count,total,peak",
        sizes="n=100,x:int32,count:int32,peak:int32",
        header=header,
    )
    x = RNG.integers(0, 1000, 100, np.int32)
    got = cuda.run(plan, x=x)
    assert np.array_equal(np.frombuffer(got["count"], np.int32), np.bincount(x % 8, minlength=8))
    assert np.frombuffer(got["total"], np.float32)[0] == x.sum()
    assert np.frombuffer(got["peak"], np.int32)[0] == x.max()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_atomic_add_of_half_precision(cuda: Interpreting, dtype: str) -> None:
    body = """@triton.jit
def k(x, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    tl.store(y + o % 4, tl.zeros((B,), tl.float32).to(y.dtype.element_ty))
    tl.atomic_add(y + o % 4, tl.load(x + o, mask=o < n), mask=o < n)
"""
    plan = make(body, tensors="x:n;y:4", sizes=f"n=12,x:{dtype},y:{dtype}", header="[tune]\nB = [16]")
    x = np.arange(12) / 4.0
    got = from_bytes(cuda.run(plan, x=to_bytes(x, dtype))["y"], dtype)
    assert np.array_equal(got, x.reshape(3, 4).sum(axis=0))


def test_compare_and_swap_takes_a_lock(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(x, lock, y):
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(y, tl.load(y) + tl.load(x + tl.program_id(0)))
    tl.atomic_xchg(lock, 0)

@triton.jit
def clear(lock, y):
    tl.store(lock, 0)
    tl.store(y, 0)
"""
    header = '[scratch.lock]\nshape = ["1"]\ndtype = "int32"\n[[launch]]\nentry = "clear"\ngrid = ["1"]\n[[launch]]\nentry = "k"\ngrid = ["n"]'
    plan = make(body, tensors="x:n;y:1", sizes="n=9,x:int32,y:int32", header=header)
    x = RNG.integers(0, 99, 9, np.int32)
    assert np.frombuffer(cuda.run(plan, x=x)["y"], np.int32)[0] == x.sum()


def test_scans_and_reductions_with_a_function_of_the_kernel(cuda: Interpreting) -> None:
    body = """@triton.jit
def decay(a, x, b, y):
    return a * b, x * b + y

@triton.jit
def larger(a, b):
    return tl.maximum(a, b)

@triton.jit
def k(x, running, last, peaks, R: tl.constexpr, C: tl.constexpr):
    o = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    v = tl.load(x + o)
    tl.store(running + o, tl.cumsum(v, axis=1))
    _, s = tl.associative_scan((tl.full((R, C), 0.5, tl.float32), v), 1, decay)
    tl.store(last + o, s)
    tl.store(peaks + tl.arange(0, R), tl.reduce(v, 1, larger))
"""
    plan = make(
        body,
        tensors="x:r,c;running:r,c;last:r,c;peaks:r",
        out="running,last,peaks",
        sizes="r=4,c=16",
        header="[tune]\nR = [4]\nC = [16]",
    )
    x = RNG.standard_normal((4, 16)).astype(np.float32)
    got = {name: np.frombuffer(raw, np.float32) for name, raw in cuda.run(plan, x=x).items()}
    want = np.zeros_like(x)
    for column in range(16):
        want[:, column] = x[:, column] + (0.5 * want[:, column - 1] if column else 0)
    np.testing.assert_allclose(got["running"].reshape(4, 16), np.cumsum(x, axis=1), rtol=1e-6)
    np.testing.assert_allclose(got["last"].reshape(4, 16), want, rtol=1e-5, atol=1e-6)
    assert np.array_equal(got["peaks"], x.max(axis=1))


def test_sorting_searching_and_shapes(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(x, ordered, where, turned, bins, N: tl.constexpr):
    o = tl.arange(0, N)
    v = tl.load(x + o)
    tl.store(ordered + o, tl.sort(v))
    tl.store(where, tl.argmax(v, axis=0))
    m = tl.reshape(v, (4, N // 4))
    p = tl.arange(0, N // 4)[:, None] * 4 + tl.arange(0, 4)[None, :]
    tl.store(turned + p, tl.trans(m))
    tl.store(bins + tl.arange(0, 8), tl.histogram(v.to(tl.int32) % 8, 8))
"""
    plan = make(
        body,
        tensors="x:n;ordered:n;where:1;turned:n;bins:8",
        out="ordered,where,turned,bins",
        sizes="n=32,where:int32,bins:int32",
        header="[tune]\nN = [32]",
    )
    x = RNG.permutation(32).astype(np.float32)
    got = cuda.run(plan, x=x)
    assert np.array_equal(np.frombuffer(got["ordered"], np.float32), np.sort(x))
    assert np.frombuffer(got["where"], np.int32)[0] == x.argmax()
    assert np.array_equal(np.frombuffer(got["turned"], np.float32).reshape(8, 4), x.reshape(4, 8).T)
    assert np.array_equal(np.frombuffer(got["bins"], np.int32), np.bincount(x.astype(int) % 8, minlength=8))


def test_three_dimensional_grids_and_number_of_programs(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(y):
    i, j, l = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    at = (i * tl.num_programs(1) + j) * tl.num_programs(2) + l
    tl.store(y + at, i * 100 + j * 10 + l)
"""
    plan = make(body, tensors="x:1;y:a,b,c", sizes="a=2,b=3,c=4,y:int32", grid='"a", "b", "c"')
    got = np.frombuffer(cuda.run(plan, x=np.zeros(1, np.float32))["y"], np.int32).reshape(2, 3, 4)
    i, j, m = np.indices((2, 3, 4))
    assert np.array_equal(got, i * 100 + j * 10 + m)


DESCRIPTOR = """@triton.jit
def k(x, y, rows, cols, B: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [rows, cols], [cols, 1], [B, B])
    sink = tl.make_tensor_descriptor(y, [rows, cols], [cols, 1], [B, B])
    i, j = tl.program_id(0) * B, tl.program_id(1) * B
    sink.store([i, j], source.load([i, j]) * 2)
"""


def test_tensor_descriptors_stay_inside(cuda: Interpreting) -> None:
    plan = make(
        DESCRIPTOR,
        tensors="x:rows,cols;y:rows,cols",
        sizes="rows=13,cols=20",
        grid='"cdiv(rows, B)", "cdiv(cols, B)"',
        header="[tune]\nB = [8]",
    )
    x = RNG.standard_normal((13, 20)).astype(np.float32)
    assert np.array_equal(np.frombuffer(cuda.run(plan, x=x)["y"], np.float32).reshape(13, 20), 2 * x)


@pytest.mark.skipif(VERSION >= (3, 9), reason="Triton 3.9 has no block pointers any more")
def test_block_pointers_stay_inside(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(x, y, rows, cols, B: tl.constexpr):
    p = tl.make_block_ptr(x, (rows, cols), (cols, 1), (tl.program_id(0) * B, 0), (B, B), (1, 0))
    q = tl.make_block_ptr(y, (rows, cols), (cols, 1), (tl.program_id(0) * B, 0), (B, B), (1, 0))
    for _ in range(0, cols, B):
        tl.store(q, tl.load(p, boundary_check=(0, 1), padding_option="zero") + 1, boundary_check=(0, 1))
        p = tl.advance(p, (0, B))
        q = tl.advance(q, (0, B))
"""
    plan = make(
        body,
        tensors="x:rows,cols;y:rows,cols",
        sizes="rows=13,cols=19",
        grid='"cdiv(rows, B)"',
        header="[tune]\nB = [8]",
    )
    x = RNG.standard_normal((13, 19)).astype(np.float32)
    assert np.array_equal(np.frombuffer(cuda.run(plan, x=x)["y"], np.float32).reshape(13, 19), x + 1)


@pytest.mark.parametrize("platform", ["cuda", "hip"])
def test_library_functions(request: pytest.FixtureRequest, platform: str) -> None:
    body = """from triton.language.extra import libdevice

@triton.jit
def k(x, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    v = tl.load(x + o)
    tl.store(y + o, libdevice.tanh(v) + libdevice.pow(libdevice.expm1(v * v), 0.5) + libdevice.erf(v) + libdevice.rsqrt(v * v + 1))
"""
    plan = make(body, tensors="x:n;y:n", sizes="n=32", header="[tune]\nB = [32]")
    device: Interpreting = request.getfixturevalue(platform)
    x = RNG.standard_normal(32).astype(np.float32)
    t = torch.from_numpy(x)
    want = torch.tanh(t) + torch.expm1(t * t) ** 0.5 + torch.erf(t) + torch.rsqrt(t * t + 1)
    np.testing.assert_allclose(
        np.frombuffer(device.run(plan, x=x)["y"], np.float32), want.numpy(), rtol=2e-6, atol=1e-6
    )


def test_scalars_constants_and_helpers(cuda: Interpreting) -> None:
    body = """SCALE: tl.constexpr = 3

@triton.jit
def affine(v, bias, FACTOR: tl.constexpr):
    if FACTOR > 2:
        return v * FACTOR + bias
    return v

@triton.jit
def k(x, y, big, eps, flag, N: tl.constexpr, W: tl.constexpr):
    o = tl.arange(0, N)
    v = tl.load(x + o)
    for _ in tl.static_range(W):
        v = affine(v, eps, SCALE)
    i = (big // 1000003).to(tl.int32)
    if flag > 0 and i > 1:
        v = -v
    tl.store(y + o, v)
"""
    scalars = (ScalarSpec("eps", 0.1), ScalarSpec("flag", 1, "int32"))
    header = '[tune]\nN = [16]\nW = [2]\n[[launch]]\nentry = "k"\ngrid = ["1"]\nargs = { big = "3000000000 * n" }'
    plan = make(body, tensors="x:n;y:n", sizes="n=16", header=header, scalars=scalars)
    x = RNG.standard_normal(16).astype(np.float32)
    eps = np.float32(0.1)
    assert np.array_equal(np.frombuffer(cuda.run(plan, x=x)["y"], np.float32), -((x * 3 + eps) * 3 + eps))


def test_scratch_carries_from_one_launch_to_the_next(cuda: Interpreting) -> None:
    body = """@triton.jit
def part(x, partial, n, B: tl.constexpr):
    o = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(partial + tl.program_id(0), tl.sum(tl.load(x + o, mask=o < n, other=0.0), axis=0))

@triton.jit
def whole(partial, y, parts, P: tl.constexpr):
    o = tl.arange(0, P)
    tl.store(y, tl.sum(tl.load(partial + o, mask=o < parts, other=0.0), axis=0))
"""
    header = (
        '[tune]\nB = [32]\nP = [16]\n[scratch.partial]\nshape = ["cdiv(n, B)"]\n[[launch]]\nentry = "part"\ngrid = ["cdiv(n, B)"]\n'
        '[[launch]]\nentry = "whole"\ngrid = ["1"]\nargs = { parts = "cdiv(n, B)" }'
    )
    plan = make(body, tensors="x:n;y:1", sizes="n=301", header=header)
    x = RNG.integers(-9, 9, 301).astype(np.float32)
    assert np.frombuffer(cuda.run(plan, x=x)["y"], np.float32)[0] == x.sum()


RACES = {
    "two programs write": (
        "tl.store(y, p)",
        8,
        "overwrites what another program of the same launch wrote: byte 0 of buffer 'y'",
    ),
    "one changes what another read": (
        "tl.store(y + p, tl.load(y + (p + 1) % 4))",
        8,
        "another program of the same launch",
    ),
    "one reads what another wrote": (
        "tl.store(y + p, p)\ntl.store(y + p, tl.load(y + p // 2))",
        9,
        "another program of the same launch",
    ),
    "lanes of one store": (
        "o = tl.arange(0, 8)\ntl.store(y + o % 2, o)",
        9,
        "stores different values to one place at once",
    ),
}


@pytest.mark.parametrize("case", RACES)
def test_races_are_found_with_their_line(cuda: Interpreting, case: str) -> None:
    statements, line, message = RACES[case]
    lines = "".join(f"    {line}\n" for line in statements.splitlines())
    body = f"@triton.jit\ndef k(x, y):\n    p = tl.program_id(0)\n{lines}"
    plan = make(body, tensors="x:n;y:n", sizes="n=4,x:int32,y:int32", grid='"n"')
    with pytest.raises(Nondeterministic, match=rf"^line {line}, program .*{message}") as caught:
        cuda.run(plan, x=np.arange(4, dtype=np.int32))
    assert caught.value.details["output"] == "y"


def test_what_changes_nothing_is_no_race(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(x, y, n, B: tl.constexpr):
    o = (tl.program_id(0) * 4 + tl.arange(0, B)) % n
    tl.store(y + o, tl.load(x + o) * 2)
"""
    plan = make(body, tensors="x:n;y:n", sizes="n=7", grid='"n"', header="[tune]\nB = [8]")
    x = RNG.integers(-9, 9, 7).astype(np.float32)
    assert np.array_equal(np.frombuffer(cuda.run(plan, x=x)["y"], np.float32), 2 * x)


def test_programs_that_may_wait_for_each_other_run_in_order(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(x, y):
    p = tl.program_id(0)
    if p > 0:
        while tl.atomic_add(y + p - 1, 0) == 0:
            pass
    tl.atomic_xchg(y + p, p + 1)

@triton.jit
def clear(y, N: tl.constexpr):
    tl.store(y + tl.arange(0, N), tl.zeros((N,), tl.int32))
"""
    header = '[tune]\nN = [8]\n[[launch]]\nentry = "clear"\ngrid = ["1"]\n[[launch]]\nentry = "k"\ngrid = ["n"]'
    plan = make(body, tensors="x:1;y:n", sizes="n=8,y:int32", header=header)
    assert np.array_equal(np.frombuffer(cuda.run(plan, x=np.zeros(1, np.float32))["y"], np.int32), np.arange(1, 9))


STRAYS = {
    "load behind": ("tl.store(y + o, tl.load(x + o + 1))", "x", "back", 64),
    "load before": ("tl.store(y + o, tl.load(x + o - 3))", "x", "front", -12),
    "store behind": ("tl.store(y + o * 2, tl.load(x + o))", "y", "back", 64),
    "atomic far away": ("tl.atomic_add(y + o.to(tl.int64) * 4294967296, 1.0)", "y", "back", 4 * 4294967296),
    "half of an element": ("tl.store((y + 15).to(tl.pointer_type(tl.int64), bitcast=True), 1)", "y", "back", 60),
    "nowhere": ("tl.store(o.to(tl.int64).to(tl.pointer_type(tl.float32)), 1.0)", None, "unknown", None),
}


@pytest.mark.parametrize("case", STRAYS)
def test_stray_accesses_are_found_with_their_line(cuda: Interpreting, case: str) -> None:
    statement, buffer, side, offset = STRAYS[case]
    body = f"""@triton.jit
def inner(x, y, o):
    {statement}

@triton.jit
def k(x, y, N: tl.constexpr):
    o = tl.arange(0, N)
    inner(x, y, o)
"""
    plan = make(body, tensors="x:n;y:n", sizes="n=16", header="[tune]\nN = [16]")
    with pytest.raises(OutOfBounds, match=r"^line 7, program") as caught:
        cuda.run(plan, x=np.zeros(16, np.float32))
    assert (caught.value.details["buffer"], caught.value.details["side"], caught.value.details["offset"]) == (
        buffer,
        side,
        offset,
    )


def test_masked_lanes_may_point_anywhere(cuda: Interpreting) -> None:
    body = """@triton.jit
def k(x, y, n, B: tl.constexpr):
    o = tl.arange(0, B)
    v = tl.load(x + o * 1000003, mask=o < 1, other=7.0)
    tl.store(y + o * n * n, v, mask=o < 1)
"""
    plan = make(body, tensors="x:n;y:n", sizes="n=3", header="[tune]\nB = [8]")
    got = cuda.ask(plan, {"x": np.array([5, 6, 7], np.float32)}, runs=1)
    assert np.frombuffer(got[0][0]["y"], np.float32)[0] == 5


def test_the_process_survives_and_says_what_it_cannot_run(cuda: Interpreting) -> None:
    wrong = {
        'tl.static_assert(N > 99, "too small")': (LaunchError, "what the kernel asserts does not hold: too small"),
        "tl.assume(N > 99)": (LaunchError, "Assume failed"),
        'o = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [o], dtype=tl.int32, is_pure=True, pack=1)': (
            ToolchainError,
            "inline_asm",
        ),
        "o = o + tl.arange(0, 32)": (ToolchainError, "incompatible dimensions"),
    }
    for statement, (kind, message) in [*wrong.items(), ("", (None, ""))]:
        body = f"@triton.jit\ndef k(x, y, N: tl.constexpr):\n    o = tl.arange(0, N)\n    {statement}\n    tl.store(y + o, o)\n"
        plan = make(body, tensors="x:n;y:n", sizes="n=16,y:int32", header="[tune]\nN = [16]")
        x = np.zeros(16, np.float32)
        if kind is None:
            assert np.array_equal(np.frombuffer(cuda.run(plan, x=x)["y"], np.int32), np.arange(16))
            continue
        with pytest.raises(kind, match=rf"line 8, program .*: .*{message}"):
            cuda.run(plan, x=x)
