"""Tiles, control flow and memory in the executor, against NumPy; and what it finds wrong with a kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import triton
import triton.language as tl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelevolve.backends.mtia.executor import Options
from kernelevolve.backends.mtia.trace import FindingKind
from kernelevolve.outcome import CompileError, DeviceFault, LaunchError, OutOfBounds

if TYPE_CHECKING:
    from conftest import Emulate

COMMON = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RNG = np.random.default_rng(2026)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


# --- tiles


@triton.jit
def reduce_rows(x, y, rows, cols, MODE: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    r = tl.program_id(0) * R + tl.arange(0, R)
    c = tl.arange(0, C)
    v = tl.load(x + r[:, None] * cols + c[None, :], mask=(r[:, None] < rows) & (c[None, :] < cols), other=0.0)
    if MODE == "sum":
        s = tl.sum(v, axis=1)
    elif MODE == "max":
        s = tl.max(v, axis=1)
    elif MODE == "min":
        s = tl.min(v, axis=1)
    elif MODE == "argmax":
        s = tl.argmax(v, axis=1).to(tl.float32)
    elif MODE == "argmin":
        s = tl.argmin(v, axis=1).to(tl.float32)
    else:
        s = tl.xor_sum(v.to(tl.int32), axis=1).to(tl.float32)
    tl.store(y + r, s, mask=r < rows)


@pytest.mark.parametrize("mode", ["sum", "max", "min", "argmax", "argmin", "xor"])
@given(rows=st.integers(1, 40), cols=st.integers(1, 32), tile=st.sampled_from([1, 4, 16]))
@COMMON
def test_reductions(mode: str, rows: int, cols: int, tile: int, emulate: Emulate) -> None:
    x = np.round(normal(rows, cols) * 5)  # ties are common
    y = np.zeros(rows, np.float32)

    emulate(reduce_rows, (-(-rows // tile),), x=x, y=y, rows=rows, cols=cols, MODE=mode, R=tile, C=32)

    padded = np.zeros((rows, 32), np.float32)
    padded[:, :cols] = x
    functions: dict[str, Any] = {
        "sum": np.sum,
        "max": np.max,
        "min": np.min,
        "argmax": np.argmax,
        "argmin": np.argmin,
        "xor": lambda v, axis: np.bitwise_xor.reduce(v.astype(np.int32), axis=axis),
    }
    np.testing.assert_allclose(y, functions[mode](padded, axis=1), rtol=1e-6)


def test_nan_wins_no_maximum_that_does_not_ask_for_it(emulate: Emulate) -> None:
    x, y = normal(4, 32), np.zeros(4, np.float32)
    x[:, 0] = np.nan  # combined first with its neighbour, against which it loses
    emulate(reduce_rows, (1,), x=x, y=y, rows=4, cols=32, MODE="argmax", R=4, C=32)
    assert y.tolist() == (np.argmax(x[:, 1:], axis=1) + 1).tolist()


@triton.jit
def last_wins(a, a_flag, b, b_flag):
    return tl.where(b_flag, b, a), a_flag | b_flag


@triton.jit
def weighted(a, b):
    return a * 0.5 + b


@triton.jit
def custom(x, flag, y, z, w, n, B: tl.constexpr):
    i = tl.arange(0, B)
    v, f = tl.load(x + i), tl.load(flag + i) != 0
    a, _ = tl.associative_scan((v, f), 0, last_wins)
    tl.store(y + i, a)
    b, _ = tl.reduce((v, f), 0, last_wins)
    tl.store(z, b)
    c, _ = tl.associative_scan((v, f), 0, last_wins, reverse=True)
    tl.store(w + i, c)


@given(flags=st.lists(st.booleans(), min_size=64, max_size=64))
@COMMON
def test_combine_regions_of_any_kind_keep_the_order(flags: list[bool], emulate: Emulate) -> None:
    x, flag = normal(64), np.array(flags, np.int8)
    y, z, w = np.zeros(64, np.float32), np.zeros(1, np.float32), np.zeros(64, np.float32)

    emulate(custom, (1,), x=x, flag=flag, y=y, z=z, w=w, n=64, B=64)

    forward, backward = x.copy(), x.copy()
    for i in range(1, 64):
        if not flag[i]:
            forward[i] = forward[i - 1]
    for i in range(62, -1, -1):
        if not flag[i]:
            backward[i] = backward[i + 1]
    assert y.tolist() == forward.tolist()
    assert z[0] == forward[-1]
    assert w.tolist() == backward.tolist()


@triton.jit
def scans(x, y, z, n, B: tl.constexpr):
    p = tl.program_id(0)
    i = tl.arange(0, B)
    v = tl.load(x + p * n + i, mask=i < n, other=0.0)
    tl.store(y + p * n + i, tl.cumsum(v, axis=0), mask=i < n)
    tl.store(z + p * n + i, tl.cumprod(v, axis=0, reverse=True), mask=i < n)


@pytest.mark.parametrize("n", [1, 7, 32])
def test_cumulative_sums_and_products(n: int, emulate: Emulate) -> None:
    x = np.round(normal(5, n)) + 1
    y, z = np.zeros_like(x), np.zeros_like(x)
    emulate(scans, (5,), x=x, y=y, z=z, n=n, B=32)
    np.testing.assert_allclose(y, np.cumsum(x, axis=1), rtol=1e-5)
    if n == 32:
        np.testing.assert_allclose(z, np.cumprod(x[:, ::-1], axis=1)[:, ::-1], rtol=1e-5)


@triton.jit
def layouts(x, y, A: tl.constexpr, B: tl.constexpr, MODE: tl.constexpr):
    p = tl.program_id(0)
    a, b = tl.arange(0, A), tl.arange(0, B)
    at = p * A * B + a[:, None] * B + b[None, :]
    v = tl.load(x + at)
    flat = p * A * B + tl.arange(0, A * B)
    if MODE == "trans":
        tl.store(y + flat, tl.reshape(tl.trans(v), (A * B,)))
    elif MODE == "reshape":
        tl.store(y + flat, tl.reshape(tl.reshape(v, (B // 2, A * 2)), (A * B,)))
    elif MODE == "permute":
        tl.store(y + flat, tl.reshape(tl.permute(tl.reshape(v, (A, 2, B // 2)), (2, 0, 1)), (A * B,)))
    elif MODE == "join":
        tl.store(
            y + flat,
            tl.reshape(
                tl.join(tl.reshape(v, (A, 2, B // 2)).sum(axis=1), tl.max(tl.reshape(v, (A, 2, B // 2)), axis=1)),
                (A * B,),
            ),
        )
    elif MODE == "split":
        left, right = tl.split(tl.reshape(v, (A, B // 2, 2)))
        tl.store(y + flat, tl.reshape(tl.join(right, left), (A * B,)))
    elif MODE == "cat":
        row = tl.sum(v, axis=0)
        tl.store(y + p * A * B + tl.arange(0, 2 * B), tl.cat(row, row * 2, can_reorder=True))
    elif MODE == "gather":
        tl.store(y + at, tl.gather(v, (a[:, None] * 3 + b[None, :]) % A, axis=0))
    elif MODE == "flip":
        tl.store(y + at, tl.flip(v, 1))
    elif MODE == "sort":
        tl.store(y + at, tl.sort(v))
    else:
        tl.store(y + at, tl.broadcast_to(v.sum(axis=1)[:, None], (A, B)) + tl.expand_dims(v.sum(axis=0), 0))


def expected_layout(v: np.ndarray, mode: str) -> np.ndarray:
    p, a, b = v.shape
    if mode == "trans":
        return v.transpose(0, 2, 1)
    if mode == "permute":
        return v.reshape(p, a, 2, b // 2).transpose(0, 3, 1, 2)
    if mode == "join":
        halves = v.reshape(p, a, 2, b // 2)
        return np.stack((halves[:, :, 0] + halves[:, :, 1], halves.max(axis=2)), axis=-1)
    if mode == "split":
        return v.reshape(p, a, b // 2, 2)[..., ::-1]
    if mode == "cat":
        row = v.sum(axis=1)
        result = np.zeros((p, a * b), np.float32)
        result[:, : 2 * b] = np.concatenate((row, row * 2), axis=1)
        return result
    if mode == "gather":
        index = (np.arange(a)[:, None] * 3 + np.arange(b)) % a
        return np.take_along_axis(v, np.broadcast_to(index, v.shape), axis=1)
    if mode == "flip":
        return v[:, :, ::-1]
    if mode == "sort":
        return np.sort(v, axis=2)
    if mode == "sums":
        return v.sum(axis=2)[:, :, None] + v.sum(axis=1)[:, None, :]
    return v


MODES = ["trans", "reshape", "permute", "join", "split", "cat", "gather", "flip", "sort", "sums"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("a", "b"), [(4, 8), (16, 2), (8, 8)])
def test_layout_operations(mode: str, a: int, b: int, emulate: Emulate) -> None:
    x = normal(3, a, b)
    y = np.zeros((3, a * b), np.float32)

    emulate(layouts, (3,), x=x, y=y, A=a, B=b, MODE=mode)

    np.testing.assert_allclose(y, expected_layout(x, mode).reshape(3, a * b), rtol=1e-5, atol=1e-6)


@triton.jit
def histogram(x, y, n, B: tl.constexpr, BINS: tl.constexpr):
    p = tl.program_id(0)
    v = tl.load(x + p * B + tl.arange(0, B))
    tl.store(y + p * BINS + tl.arange(0, BINS), tl.histogram(v, BINS))


def test_histogram(emulate: Emulate) -> None:
    x = RNG.integers(0, 16, (4, 128)).astype(np.int32)
    y = np.zeros((4, 16), np.int32)
    emulate(histogram, (4,), x=x, y=y, n=1, B=128, BINS=16)
    assert y.tolist() == [np.bincount(row, minlength=16).tolist() for row in x]


# --- dots


@triton.jit
def product(a, b, c, m, n, k, PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    i = tl.program_id(0) * M + tl.arange(0, M)
    j = tl.program_id(1) * N + tl.arange(0, N)
    d = tl.arange(0, K)
    total = tl.zeros((M, N), c.dtype.element_ty)
    for start in range(0, k, K):
        left = tl.load(
            a + i[:, None] * k + start + d[None, :], mask=(i[:, None] < m) & (start + d[None, :] < k), other=0
        )
        right = tl.load(
            b + (start + d[:, None]) * n + j[None, :], mask=(start + d[:, None] < k) & (j[None, :] < n), other=0
        )
        total = tl.dot(left, right, total, input_precision=PRECISION, out_dtype=c.dtype.element_ty)
    tl.store(c + i[:, None] * n + j[None, :], total, mask=(i[:, None] < m) & (j[None, :] < n))


@given(
    m=st.integers(1, 40),
    n=st.integers(1, 40),
    k=st.integers(1, 50),
    precision=st.sampled_from(["ieee", "tf32", "tf32x3", "bf16x3", "bf16x6"]),
)
@COMMON
def test_float_dots_have_the_precision_asked_for(m: int, n: int, k: int, precision: str, emulate: Emulate) -> None:
    a, b, c = normal(m, k), normal(k, n), np.zeros((m, n), np.float32)
    emulate(
        product, (-(-m // 16), -(-n // 16)), a=a, b=b, c=c, m=m, n=n, k=k, PRECISION=precision, M=16, N=16, K=16
    )  # fmt: skip
    error = np.abs(c - a.astype(np.float64) @ b) / (np.abs(a) @ np.abs(b) + 1e-30)
    assert error.max() < {"ieee": 1e-6, "tf32": 2e-3, "tf32x3": 3e-6, "bf16x3": 2e-4, "bf16x6": 3e-6}[precision]


def test_tf32_cuts_what_it_should(emulate: Emulate) -> None:
    a = np.full((16, 16), 1 + 2.0**-12, np.float32)
    b, c = np.eye(16, dtype=np.float32), np.zeros((16, 16), np.float32)
    for precision, wanted in (("tf32", 1.0), ("ieee", 1 + 2.0**-12)):
        emulate(product, (1, 1), a=a, b=b, c=c, m=16, n=16, k=16, PRECISION=precision, M=16, N=16, K=16)
        assert np.unique(c).tolist() == [wanted]


@pytest.mark.parametrize("k", [16, 1500])
def test_integer_dots_are_exact(k: int, emulate: Emulate) -> None:
    a = RNG.integers(-128, 128, (20, k)).astype(np.int8)
    b = RNG.integers(-128, 128, (k, 24)).astype(np.int8)
    c = np.zeros((20, 24), np.int32)
    emulate(product, (2, 1), a=a, b=b, c=c, m=20, n=24, k=k, PRECISION="ieee", M=16, N=32, K=2048 if k > 16 else 16)
    assert np.array_equal(c, a.astype(np.int32) @ b.astype(np.int32))


def test_half_dots_accumulate_in_float32(emulate: Emulate) -> None:
    a = np.full((16, 512), 1.0, np.float16)
    a[:, 0] = 4096
    b, c = np.ones((512, 16), np.float16), np.zeros((16, 16), np.float32)
    emulate(product, (1, 1), a=a, b=b, c=c, m=16, n=16, k=512, PRECISION="ieee", M=16, N=16, K=32)
    assert np.unique(c).tolist() == [4096 + 511]  # beyond what float16 can count to


# --- control flow


@triton.jit(noinline=True)
def twice(x):
    if x < 0:
        return x * 3
    return x * 2


@triton.jit
def ragged(x, begin, end, y, B: tl.constexpr):
    p = tl.program_id(0)
    first, last = tl.load(begin + p), tl.load(end + p)
    if last < 0:
        return
    total = tl.zeros((B,), tl.float32)
    biggest = -1.0
    for i in range(first, last, B):
        at = i + tl.arange(0, B)
        v = tl.load(x + at, mask=at < last, other=0.0)
        if tl.sum(v, axis=0) > 0:
            total += v
        else:
            total -= v * twice(1.0)
            biggest = tl.maximum(biggest, tl.max(v, axis=0))
    steps = 0
    left = last - first
    while left > 0:
        left = left // 2
        steps += 1
    tl.store(y + p * 3, tl.sum(total, axis=0))
    tl.store(y + p * 3 + 1, biggest)
    tl.store(y + p * 3 + 2, steps.to(tl.float32))


@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12), batch=st.sampled_from([1, 64, 1 << 18]))
@COMMON
def test_programs_go_their_own_ways(lengths: list[int], batch: int, emulate: Emulate) -> None:
    ends = np.cumsum(lengths).astype(np.int32)
    begins = (ends - np.array(lengths)).astype(np.int32)
    skip = np.array([i % 5 == 4 for i in range(len(lengths))])
    x = np.round(normal(max(int(ends[-1]), 1)) * 4)
    y = np.full((len(lengths), 3), 99, np.float32)

    trace = emulate(
        ragged, (len(lengths),), x=x, begin=begins, end=np.where(skip, -1, ends).astype(np.int32), y=y, B=8,
        options=Options(batch_elements=batch),
    )  # fmt: skip

    for p, (first, last) in enumerate(zip(begins, ends, strict=True)):
        if skip[p]:
            assert y[p].tolist() == [99, 99, 99]
            continue
        total, biggest = 0.0, -1.0
        for i in range(first, last, 8):
            v = np.zeros(8, np.float32)
            v[: min(8, last - i)] = x[i : min(i + 8, last)]
            if v.sum() > 0:
                total += v.sum()
            else:
                total -= 2 * v.sum()
                biggest = max(biggest, v.max())
        assert y[p].tolist() == [total, biggest, int(last - first).bit_length()]
    loop = next(i for i, op in enumerate(trace.index.ops) if op.name == "scf.for")
    body = next(b for b, place in enumerate(trace.index.places) if place.parent == loop)
    trips = np.where(skip, 0, -(-np.array(lengths) // 8))
    assert trace.counts[body].tolist() == trips.tolist()
    assert sum(len(one.members) for one in trace.classes) == len(lengths)


@triton.jit
def grid3(y, X: tl.constexpr, Y: tl.constexpr):
    x, r, z = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    at = x + X * (r + Y * z)
    tl.store(y + at, x + 10 * r + 100 * z + 1000 * tl.num_programs(2))


def test_grids_have_three_dimensions(emulate: Emulate) -> None:
    y = np.zeros((3, 4, 5), np.int32)
    emulate(grid3, (5, 4, 3), y=y, X=5, Y=4)
    z, r, x = np.indices(y.shape)
    assert np.array_equal(y, x + 10 * r + 100 * z + 3000)


@triton.jit
def locked(lock, total, count):
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(total, tl.load(total) * 2 + tl.program_id(0))
    tl.atomic_xchg(lock, 0)
    tl.atomic_add(count, 1)


def test_programs_may_wait_for_each_other(emulate: Emulate) -> None:
    lock, total, count = np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32)
    emulate(locked, (9,), lock=lock, total=total, count=count, options=Options(races=False))
    wanted = 0
    for p in range(9):
        wanted = wanted * 2 + p
    assert (lock[0], total[0], count[0]) == (0, wanted, 9)


# --- atomics


@triton.jit
def atomics(x, index, y, old, n, MODE: tl.constexpr, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v, at = tl.load(x + i, mask=i < n), tl.load(index + i, mask=i < n, other=0)
    if MODE == "add":
        before = tl.atomic_add(y + at, v, mask=i < n)
    elif MODE == "max":
        before = tl.atomic_max(y + at, v, mask=i < n)
    elif MODE == "min":
        before = tl.atomic_min(y + at, v, mask=i < n)
    elif MODE == "xchg":
        before = tl.atomic_xchg(y + at, v, mask=i < n)
    else:
        before = tl.atomic_or(y + at, v, mask=i < n)
    tl.store(old + i, before, mask=i < n)


@pytest.mark.parametrize("mode", ["add", "max", "min", "xchg", "or"])
@given(n=st.integers(1, 90), seed=st.integers(0, 99))
@COMMON
def test_atomics_happen_in_program_order(mode: str, n: int, seed: int, emulate: Emulate) -> None:
    rng = np.random.default_rng(seed)
    x, index = rng.integers(-50, 50, n).astype(np.int32), rng.integers(0, 6, n).astype(np.int32)
    y, old = np.zeros(6, np.int32), np.zeros(n, np.int32)
    emulate(atomics, (-(-n // 16),), x=x, index=index, y=y, old=old, n=n, MODE=mode, B=16)
    memory, before = [0] * 6, []
    change: dict[str, Any] = {"add": int.__add__, "max": max, "min": min, "xchg": lambda _, b: b, "or": int.__or__}
    for value, at in zip(x.tolist(), index.tolist(), strict=True):
        before.append(memory[at])
        memory[at] = change[mode](memory[at], value)
    assert y.tolist() == memory
    assert old.tolist() == before


@triton.jit
def sum_all(x, y, B: tl.constexpr):
    tl.atomic_add(y, tl.sum(tl.load(x + tl.program_id(0) * B + tl.arange(0, B)), axis=0))


def test_float_atomics_sum(emulate: Emulate) -> None:
    x, y = normal(64, 32), np.zeros(1, np.float32)
    emulate(sum_all, (64,), x=x, y=y, B=32)
    np.testing.assert_allclose(y[0], x.sum(), rtol=1e-4)


# --- tensor descriptors


@triton.jit
def through_descriptors(x, y, rows, cols, A: tl.constexpr, B: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [rows, cols], [cols, 1], [A, B])
    target = tl.make_tensor_descriptor(y, [rows, cols], [cols, 1], [A, B])
    at = [tl.program_id(0) * A - 1, tl.program_id(1) * B - 2]
    target.store(at, source.load(at) * 2)


@given(rows=st.integers(1, 20), cols=st.integers(4, 30))
@COMMON
def test_descriptors_stay_inside_of_their_tensor(rows: int, cols: int, emulate: Emulate) -> None:
    x, y = normal(rows, cols), np.zeros((rows, cols), np.float32)
    emulate(through_descriptors, (-(-(rows + 1) // 4), -(-(cols + 2) // 8)), x=x, y=y, rows=rows, cols=cols, A=4, B=8)
    assert np.array_equal(y, x * 2)


# --- what is wrong with a kernel


@triton.jit
def copy(x, y, n, shift, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i + shift, mask=i < n)
    tl.store(y + i, v, mask=i < n)


@pytest.mark.parametrize(("shift", "side", "offset"), [(1, "back", 400), (-1, "front", -4), (2**28, "back", None)])
def test_accesses_outside_a_buffer_are_found(shift: int, side: str, offset: int | None, emulate: Emulate) -> None:
    x, y = normal(100), np.zeros(100, np.float32)
    with pytest.raises(OutOfBounds) as caught:
        emulate(copy, (4,), x=x, y=y, n=100, shift=shift, B=32)
    details = caught.value.details
    assert (details["buffer"], details["side"]) == ("x", side)
    assert offset is None or details["offset"] == offset
    line = copy.fn.__code__.co_firstlineno + 3
    program = (3 if shift == 1 else 0, 0, 0)
    assert f"line {line}, program {program}" in str(caught.value)


def test_a_store_outside_a_buffer_is_found_and_changes_nothing_there(emulate: Emulate) -> None:
    x, y = normal(100), np.zeros(99, np.float32)
    with pytest.raises(OutOfBounds) as caught:
        emulate(copy, (4,), x=x, y=y, n=100, shift=0, B=32)
    assert caught.value.details["offset"] == 396


@triton.jit
def misaligned(x, y):
    tl.store(y, tl.load((x.to(tl.pointer_type(tl.int8)) + 2).to(tl.pointer_type(tl.float32))))


def test_a_misaligned_address_is_a_fault(emulate: Emulate) -> None:
    with pytest.raises(DeviceFault):
        emulate(misaligned, (1,), x=normal(4), y=np.zeros(1, np.float32))


@triton.jit
def overlapping(y, values, STEP: tl.constexpr, B: tl.constexpr):
    p = tl.program_id(0)
    tl.store(y + p * STEP + tl.arange(0, B), tl.load(values + p) + tl.zeros((B,), tl.float32))


@pytest.mark.parametrize("batch", [16, 1 << 18])
@pytest.mark.parametrize(("step", "races"), [(16, False), (15, True), (0, True)])
def test_races_are_found(step: int, races: bool, batch: int, emulate: Emulate) -> None:
    values, y = np.arange(4, dtype=np.float32), np.zeros(64, np.float32)
    trace = emulate(overlapping, (4,), y=y, values=values, STEP=step, B=16, options=Options(batch_elements=batch))
    assert [one.kind for one in trace.findings] == [FindingKind.RACE] * races
    if races:
        (finding,) = trace.findings
        assert finding.buffer == "y"
        assert finding.program != finding.other
        first = max(finding.program[0], finding.other[0])
        assert finding.offset == step * 4 * first


@pytest.mark.parametrize("batch", [16, 1 << 18])
def test_equal_values_race_with_nobody(batch: int, emulate: Emulate) -> None:
    values, y = np.full(4, 7, np.float32), np.zeros(64, np.float32)
    options = Options(batch_elements=batch)
    assert not emulate(overlapping, (4,), y=y, values=values, STEP=3, B=16, options=options).findings


@triton.jit
def shifted_in_place(x, n, shift, B: tl.constexpr):
    i = tl.program_id(0) * B + tl.arange(0, B)
    v = tl.load(x + i + shift, mask=i + shift < n)
    tl.store(x + i, v + 1, mask=i + shift < n)


@pytest.mark.parametrize("batch", [16, 1 << 18])
@pytest.mark.parametrize("shift", [0, 1, 16])
def test_programs_that_load_what_others_store_are_found(shift: int, batch: int, emulate: Emulate) -> None:
    x = normal(100)
    trace = emulate(shifted_in_place, (7,), x=x, n=100, shift=shift, B=16, options=Options(batch_elements=batch))
    assert [one.kind for one in trace.findings] == [FindingKind.ORDER] * (shift > 0)
    if shift:
        (finding,) = trace.findings
        assert finding.offset == 64
        assert {finding.program, finding.other} == {(0, 0, 0), (1, 0, 0)}


@triton.jit
def read_by_all(x, y):
    p = tl.program_id(0)
    first = tl.load(x)
    tl.store(x + p, first + p + 1)


def test_what_all_load_nobody_may_change(emulate: Emulate) -> None:
    (finding,) = emulate(read_by_all, (4,), x=normal(4), y=normal(1)).findings
    assert (finding.kind, finding.offset, finding.other) == (FindingKind.ORDER, 0, None)
    assert "other programs" in finding.sentence


def test_reads_of_unwritten_scratch_are_reported(emulate: Emulate) -> None:
    x, y = normal(100), np.zeros(100, np.float32)
    (finding,) = emulate(copy, (4,), x=x, y=y, n=90, shift=5, B=32, unwritten=("x",)).findings
    assert (finding.kind, finding.buffer, finding.offset, finding.program) == (FindingKind.POISON, "x", 20, (0, 0, 0))
    assert not emulate(copy, (4,), x=x, y=y, n=90, shift=5, B=32, unwritten=("y",)).findings


@triton.jit
def checked(x, y):
    p = tl.program_id(0)
    v = tl.load(x + p)
    tl.device_print("value", v)
    tl.device_assert(v < 3, "too large")
    tl.store(y + p, v)


def test_prints_are_collected_and_assertions_hold_or_fail(emulate: Emulate) -> None:
    x, y = np.arange(3, dtype=np.int32), np.zeros(3, np.int32)
    trace = emulate(checked, (3,), x=x, y=y, compile_options={"debug": True})
    assert trace.prints == ["(0, 0, 0) value: 0", "(1, 0, 0) value: 1", "(2, 0, 0) value: 2"]
    with pytest.raises(LaunchError, match=r"program \(1, 0, 0\).*too large"):
        emulate(checked, (3,), x=x + 2, y=y, compile_options={"debug": True})


@triton.jit
def assembly(x, y):
    v = tl.load(x + tl.arange(0, 8))
    w = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [v], dtype=tl.int32, is_pure=True, pack=1)
    tl.store(y + tl.arange(0, 8), w)


def test_what_is_not_supported_is_named_with_its_line(emulate: Emulate) -> None:
    x = np.zeros(8, np.int32)
    with pytest.raises(CompileError, match=r"tt\.elementwise_inline_asm") as caught:
        emulate(assembly, (1,), x=x, y=x.copy())
    assert caught.value.details["line"] == assembly.fn.__code__.co_firstlineno + 3


# --- traces


def test_a_trace_says_what_was_moved(emulate: Emulate) -> None:
    x, y = normal(70, 40), np.zeros(70, np.float32)

    trace = emulate(reduce_rows, (5,), x=x, y=y, rows=70, cols=40, MODE="sum", R=16, C=64)

    load, store = trace.accesses
    assert trace.buffers[load.buffer[0]] == "x"
    assert load.nbytes.tolist() == [16 * 40 * 4] * 4 + [6 * 40 * 4]
    assert load.low.tolist() == [p * 16 * 40 * 4 for p in range(5)]
    assert load.high.tolist() == [p * 16 * 40 * 4 for p in range(1, 5)] + [70 * 40 * 4]
    assert load.tiles.tolist() == [1] * 5
    assert store.elements.tolist() == [16, 16, 16, 16, 6]
    assert store.runs.tolist() == [1] * 5
    assert len(trace.classes) == 1
    assert [one.members.tolist() for one in trace.traffic_classes] == [[0, 1, 2, 3], [4]]


def test_whole_rows_are_one_piece_of_memory(emulate: Emulate) -> None:
    x, y = normal(70, 64), np.zeros(70, np.float32)
    trace = emulate(reduce_rows, (5,), x=x, y=y, rows=70, cols=64, MODE="sum", R=16, C=64)
    assert trace.accesses[0].runs.tolist() == [1] * 5
    assert trace.accesses[0].elements.tolist() == [1024] * 4 + [6 * 64]


@triton.jit
def picked(x, index, y, B: tl.constexpr, C: tl.constexpr):
    p = tl.program_id(0)
    rows = tl.load(index + p * B + tl.arange(0, B))
    c = tl.arange(0, C)
    tl.store(y + p * C + c, tl.sum(tl.load(x + rows[:, None] * C + c[None, :]), axis=0))


def test_indexed_rows_are_a_tile_each(emulate: Emulate) -> None:
    x, index = normal(50, 16), np.array([3, 9, 1, 40, 0, 1, 2, 3], np.int32)
    y = np.zeros((2, 16), np.float32)

    trace = emulate(picked, (2,), x=x, index=index, y=y, B=4, C=16)

    np.testing.assert_allclose(y, x[index].reshape(2, 4, 16).sum(axis=1), rtol=1e-5, atol=1e-5)
    rows = trace.accesses[1]
    assert rows.runs.tolist() == [4, 1]  # 0, 1, 2, 3 are one piece of memory
    assert rows.tiles.tolist() == [4, 1]


def test_every_half_is_read_as_numpy_reads_it() -> None:
    from kernelevolve.backends.mtia.executor.values import from_storage

    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    for data in (halves, finite, finite[::3], finite[:60000].reshape(300, 200).T, finite[:0], finite[5:6].reshape(())):
        got, want = from_storage(data, "fp16"), data.astype(np.float32)
        assert got.shape == want.shape
        assert np.array_equal(got.view(np.uint32), want.view(np.uint32))


@triton.jit
def step_many_times(x, times, ADD: tl.constexpr, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    for _ in range(times):
        if ADD == "store":
            tl.store(x + lanes, tl.load(x + lanes) + 1.0)
        else:
            tl.atomic_add(x + lanes, tl.load(x + lanes) + 1.0)


@pytest.mark.parametrize("add", ["store", "atomic"])
def test_what_was_loaded_often_is_loaded_anew_once_it_is_stored_to(add: str, emulate: Emulate) -> None:
    x = np.arange(16, dtype=np.float16)
    emulate(step_many_times, (1,), x=x, times=6, ADD=add, BLOCK=16)
    want = np.arange(16)
    for _ in range(6):
        want = want + 1 if add == "store" else 2 * want + 1
    assert x.tolist() == want.tolist()
