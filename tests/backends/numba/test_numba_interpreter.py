"""Kernels in the interpreter against NumPy: what they compute, in every element type and shape of launch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelevolve.backends._numba.interpreter.mathematics import LIBRARY
from kernelevolve.plan import LocalArgument

from .conftest import run

RNG = np.random.default_rng(7)

ROW_SUMS = """
@cuda.jit
def k(x, y, cols):
    partial = cuda.shared.array(THREADS, float32)
    lane, row = cuda.threadIdx.x, cuda.blockIdx.x
    total = float32(0.0)
    for col in range(lane, cols, THREADS):
        total += float32(x[row, col])
    partial[lane] = total
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if lane < half:
            partial[lane] += partial[lane + half]
        cuda.syncthreads()
        half //= 2
    if lane == 0:
        y[row] = partial[0]
"""


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 70), st.sampled_from([1, 2, 8, 32, 64]))
def test_a_reduction_in_shared_memory(rows: int, cols: int, threads: int) -> None:
    x = np.random.default_rng(cols).standard_normal((rows, cols)).astype(np.float32)
    got = run(
        ROW_SUMS,
        {"x": x, "y": np.zeros(rows, np.float32), "cols": cols},
        grid=(rows,),
        block=(threads,),
        constants={"THREADS": threads},
    )
    np.testing.assert_allclose(got["y"], x.sum(1, dtype=np.float64), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_every_element_type_is_read_and_written(dtype: str) -> None:
    source = """
@cuda.jit
def k(x, y, n):
    i = cuda.grid(1)
    if i < n:
        y[i] = x[n - 1 - i]
"""
    x = (RNG.standard_normal(37) * 100).astype(dtype)
    got = run(source, {"x": x, "y": np.zeros(37, dtype), "n": 37}, grid=(2,))
    np.testing.assert_array_equal(got["y"], x[::-1])


def test_bfloat16_is_computed_with_as_the_compiler_does() -> None:
    source = """
@cuda.jit
def k(x, y, z, n):
    i = cuda.grid(1)
    if i < n:
        y[i] = x[i] * x[i]
        z[i] = float32(x[i]) * float32(0.1)
"""
    x = torch.randn(32).to(torch.bfloat16)
    bits = x.view(torch.uint16).numpy()
    arrays = {"x": bits, "y": np.zeros(32, np.uint16), "z": np.zeros(32, np.uint16), "n": 32}
    got = run(source, arrays, types=dict.fromkeys("xyz", "bfloat16"))
    np.testing.assert_array_equal(got["y"], (x * x).view(torch.uint16).numpy())
    want = (x.float() * 0.1).to(torch.bfloat16).view(torch.uint16).numpy()
    np.testing.assert_array_equal(got["z"], want)


def test_float16_sums_in_a_double_literal_are_not_rounded_to_float16() -> None:
    source = """
@cuda.jit
def k(x, y, n):
    total = 0.0
    for i in range(n):
        total += x[i]
    y[0] = total
"""
    x = np.full(4096, 0.1, np.float16)
    got = run(source, {"x": x, "y": np.zeros(1, np.float32), "n": 4096}, block=(1,))
    assert got["y"][0] == np.float32(x.astype(np.float64).sum())


def test_a_grid_of_two_dimensions_with_a_partial_tile() -> None:
    source = """
@cuda.jit
def k(a, b, c, m, n, depth):
    left = cuda.shared.array((TILE, TILE), float32)
    right = cuda.shared.array((TILE, TILE), float32)
    col, row = cuda.grid(2)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0.0)
    for start in range(0, depth, TILE):
        left[ty, tx] = a[row, start + tx] if row < m and start + tx < depth else float32(0.0)
        right[ty, tx] = b[start + ty, col] if start + ty < depth and col < n else float32(0.0)
        cuda.syncthreads()
        for i in range(TILE):
            total += left[ty, i] * right[i, tx]
        cuda.syncthreads()
    if row < m and col < n:
        c[row, col] = total
"""
    a, b = RNG.standard_normal((9, 7)).astype(np.float32), RNG.standard_normal((7, 5)).astype(np.float32)
    arrays = {"a": a, "b": b, "c": np.zeros((9, 5), np.float32), "m": 9, "n": 5, "depth": 7}
    got = run(source, arrays, grid=(2, 3), block=(4, 4), constants={"TILE": 4})
    np.testing.assert_allclose(got["c"], a @ b, rtol=1e-5, atol=1e-6)


def test_three_dimensions_cover_every_element_once() -> None:
    source = """
@cuda.jit
def k(y, depth, height, width):
    x, row, z = cuda.grid(3)
    if x < width and row < height and z < depth:
        y[z, row, x] = cuda.gridsize(3)[0] * 1000 + z * 100 + row * 10 + x
"""
    arrays = {"y": np.zeros((3, 5, 7), np.int32), "depth": 3, "height": 5, "width": 7}
    got = run(source, arrays, grid=(4, 3, 2), block=(2, 2, 2))["y"]
    z, row, x = np.indices((3, 5, 7))
    np.testing.assert_array_equal(got, 8000 + z * 100 + row * 10 + x)


def test_atomics_count_and_keep_extremes() -> None:
    source = """
@cuda.jit
def k(x, counts, largest, smallest, first, n):
    i = cuda.grid(1)
    if i < n:
        cuda.atomic.add(counts, x[i] % 4, 1)
        cuda.atomic.max(largest, 0, x[i])
        cuda.atomic.min(smallest, 0, x[i])
        cuda.atomic.cas(first, 0, -1, x[i])
"""
    x = RNG.integers(0, 1000, 100).astype(np.int32)
    arrays = {
        "x": x,
        "counts": np.zeros(4, np.int32),
        "largest": np.full(1, -1, np.int32),
        "smallest": np.full(1, 10_000, np.int32),
        "first": np.full(1, -1, np.int32),
        "n": 100,
    }
    got = run(source, arrays, grid=(4,))
    np.testing.assert_array_equal(got["counts"], np.bincount(x % 4, minlength=4))
    assert (got["largest"][0], got["smallest"][0]) == (x.max(), x.min())
    assert got["first"][0] == x[0]


def test_a_float_sum_by_atomics_of_an_array_of_two_dimensions() -> None:
    source = """
@cuda.jit
def k(x, y, rows, cols):
    row, col = cuda.grid(2)
    if row < rows and col < cols:
        cuda.atomic.add(y, (0, col), x[row, col])
"""
    x = RNG.standard_normal((6, 5)).astype(np.float32)
    got = run(source, {"x": x, "y": np.zeros((1, 5), np.float32), "rows": 6, "cols": 5}, grid=(2, 2), block=(4, 4))
    np.testing.assert_allclose(got["y"][0], x.sum(0), rtol=1e-5, atol=1e-6)


def test_dynamic_shared_memory_has_the_launchs_size() -> None:
    source = """
@cuda.jit
def k(x, y):
    tile = cuda.shared.array(0, float32)
    i = cuda.threadIdx.x
    tile[i] = x[i]
    cuda.syncthreads()
    y[i] = tile[len(tile) - 1 - i]
"""
    x = RNG.standard_normal(16).astype(np.float32)
    arrays = {"x": x, "y": np.zeros(16, np.float32), "tile": LocalArgument("tile", 64)}
    np.testing.assert_array_equal(run(source, arrays, block=(16,))["y"], x[::-1])


def test_two_shared_arrays_on_one_line_are_two() -> None:
    source = """
@cuda.jit
def k(y):
    a, b = cuda.shared.array(32, int32), cuda.shared.array(32, int32)
    i = cuda.threadIdx.x
    a[i] = i
    b[i] = -i
    cuda.syncthreads()
    y[i] = a[31 - i] * 100 + b[i]
"""
    lanes = np.arange(32)
    np.testing.assert_array_equal(run(source, {"y": np.zeros(32, np.int32)})["y"], (31 - lanes) * 100 - lanes)


WARP_SUM = """
@cuda.jit(device=True)
def warp_sum(value):
    step = 16
    while step > 0:
        value += cuda.shfl_down_sync(0xffffffff, value, step)
        step //= 2
    return value

@cuda.jit
def k(x, y):
    i = cuda.grid(1)
    total = warp_sum(x[i])
    if cuda.laneid == 0:
        y[i // 32] = total
"""


def test_shuffles_in_a_device_function_reduce_each_warp() -> None:
    x = RNG.standard_normal(128).astype(np.float32)
    got = run(WARP_SUM, {"x": x, "y": np.zeros(4, np.float32)}, grid=(2,), block=(64,))
    np.testing.assert_allclose(got["y"], x.reshape(4, 32).sum(1), rtol=1e-5)


def test_votes_and_matches_see_the_whole_warp() -> None:
    source = """
@cuda.jit
def k(x, y):
    i = cuda.threadIdx.x
    odd = cuda.ballot_sync(0xffffffff, x[i] % 2 == 1)
    y[i, 0] = cuda.popc(odd)
    y[i, 1] = cuda.all_sync(0xffffffff, x[i] >= 0)
    y[i, 2] = cuda.any_sync(0xffffffff, x[i] > 1000)
    y[i, 3] = cuda.popc(cuda.match_any_sync(0xffffffff, x[i] % 3))
    y[i, 4] = cuda.popc(odd & cuda.lanemask_lt())
    y[i, 5] = cuda.shfl_xor_sync(0xffffffff, x[i], 1)
    y[i, 6] = cuda.shfl_up_sync(0xffffffff, x[i], 1)
    y[i, 7] = cuda.shfl_sync(0xffffffff, x[i], 5)
    y[i, 8] = cuda.syncthreads_count(x[i] % 2)
"""
    x = RNG.integers(0, 100, 32).astype(np.int32)
    got = run(source, {"x": x, "y": np.zeros((32, 9), np.int32)})["y"]
    lanes = np.arange(32)
    want = np.stack(
        [
            np.full(32, (x % 2).sum()),
            np.ones(32),
            np.zeros(32),
            [(x % 3 == one % 3).sum() for one in x],
            [(x[:lane] % 2).sum() for lane in lanes],
            x[lanes ^ 1],
            np.concatenate([x[:1], x[:-1]]),
            np.full(32, x[5]),
            np.full(32, (x % 2).sum()),
        ],
        axis=1,
    )
    np.testing.assert_array_equal(got, want)


def test_a_shuffle_of_part_of_a_warp_waits_for_that_part_alone() -> None:
    source = """
@cuda.jit
def k(y):
    i = cuda.threadIdx.x
    if i < 16:
        y[i] = cuda.shfl_down_sync(0xffff, i, 1)
    else:
        y[i] = -1
"""
    got = run(source, {"y": np.zeros(32, np.int32)})["y"]
    np.testing.assert_array_equal(got[:15], np.arange(1, 16))
    np.testing.assert_array_equal(got[16:], -1)


def test_threads_that_have_ended_are_not_waited_for() -> None:
    source = """
@cuda.jit
def k(y, n):
    i = cuda.threadIdx.x
    if i >= n:
        return
    tile = cuda.shared.array(32, int32)
    tile[i] = i
    cuda.syncthreads()
    y[i] = tile[n - 1 - i]
"""
    got = run(source, {"y": np.full(32, -1, np.int32), "n": 5})["y"]
    np.testing.assert_array_equal(got[:5], [4, 3, 2, 1, 0])


def test_a_lock_that_threads_of_one_block_take_in_turn() -> None:
    source = """
@cuda.jit
def k(lock, y):
    waiting = True
    while waiting:
        if cuda.atomic.cas(lock, 0, 0, 1) == 0:
            cuda.threadfence()
            y[0] += 1
            cuda.threadfence()
            cuda.atomic.exch(lock, 0, 0)
            waiting = False
"""
    got = run(source, {"lock": np.zeros(1, np.int32), "y": np.zeros(1, np.int32)}, grid=(3,), block=(8,))
    assert got["y"][0] == 24


def test_a_barrier_of_the_grid_lets_blocks_read_each_other() -> None:
    source = """
@cuda.jit
def k(x, y):
    i = cuda.grid(1)
    x[i] = i
    grid = cuda.cg.this_grid()
    grid.sync()
    y[i] = x[cuda.gridsize(1) - 1 - i]
"""
    got = run(source, {"x": np.zeros(64, np.int32), "y": np.zeros(64, np.int32)}, grid=(4,), block=(16,))
    np.testing.assert_array_equal(got["y"], np.arange(64)[::-1])


def test_hashing_wraps_as_on_the_device() -> None:
    source = """
@cuda.jit
def k(x, y, z, n):
    i = cuda.grid(1)
    if i < n:
        h = uint32(x[i])
        h = uint32((h ^ (h >> 16)) * uint32(0x45d9f3b))
        h = uint32((h ^ (h >> 16)) * uint32(0x45d9f3b))
        y[i] = int64(h ^ (h >> 16))
        z[i] = (x[i] * 6364136223846793005 + 1442695040888963407) >> 33
"""
    x = RNG.integers(0, 2**31, 50).astype(np.int64)
    got = run(source, {"x": x, "y": np.zeros(50, np.int64), "z": np.zeros(50, np.int64), "n": 50}, grid=(2,))
    h = x.astype(np.uint32)
    for _ in range(2):
        h = ((h ^ (h >> np.uint32(16))).astype(np.uint64) * 0x45D9F3B % 2**32).astype(np.uint32)
    np.testing.assert_array_equal(got["y"], (h ^ (h >> np.uint32(16))).astype(np.int64))
    with np.errstate(over="ignore"):
        want = (x * np.int64(6364136223846793005) + np.int64(1442695040888963407)) >> np.int64(33)
    np.testing.assert_array_equal(got["z"], want)


def test_comparisons_add_up() -> None:
    source = """
@cuda.jit
def k(x, y, n):
    i = cuda.grid(1)
    if i < n:
        y[i] = (x[i] > 1.0) + (x[i] > 2.0) + (x[i] > 3.0)
"""
    x = np.array([0.5, 1.5, 2.5, 3.5], np.float32)
    got = run(source, {"x": x, "y": np.zeros(4, np.int32), "n": 4})
    np.testing.assert_array_equal(got["y"], [0, 1, 2, 3])


def test_local_arrays_views_and_slices() -> None:
    source = """
@cuda.jit(device=True)
def total(row):
    result = float32(0.0)
    for i in range(row.shape[0]):
        result += row[i]
    return result

@cuda.jit
def k(x, y, n):
    i = cuda.grid(1)
    if i < n:
        sums = cuda.local.array(2, float32)
        sums[0] = total(x[i])
        sums[1] = total(x[i, 1:3])
        y[i, 0] = sums[0]
        y[i, -1] = sums[1]
"""
    x = RNG.standard_normal((5, 4)).astype(np.float32)
    got = run(source, {"x": x, "y": np.zeros((5, 2), np.float32), "n": 5})["y"]
    np.testing.assert_allclose(got, np.stack([x.sum(1), x[:, 1:3].sum(1)], 1), rtol=1e-5, atol=1e-6)


def test_mathematics_and_the_device_library() -> None:
    source = """
@cuda.jit
def k(x, y, n):
    i = cuda.grid(1)
    if i < n:
        y[i, 0] = math.exp(x[i]) + math.erf(x[i])
        y[i, 1] = libdevice.rsqrtf(x[i]) + cuda.libdevice.fast_expf(x[i])
        y[i, 2] = cuda.fma(x[i], x[i], float32(1.0))
        y[i, 3] = cuda.fp16.hexp(float16(x[i]))
        y[i, 4] = x[i] ** 2 + abs(-x[i]) + round(x[i] * 10.0)
        y[i, 5] = cuda.selp(x[i] > 1.0, math.floor(x[i]), math.pi)
"""
    x = np.linspace(0.5, 2.0, 8).astype(np.float32)
    got = run(source, {"x": x, "y": np.zeros((8, 6), np.float32), "n": 8})["y"]
    wide = x.astype(np.float64)
    want = np.stack(
        [
            np.exp(wide) + [math.erf(one) for one in wide],
            1 / np.sqrt(wide) + np.exp(wide),
            wide * wide + 1,
            np.exp(wide),
            wide**2 + wide + np.rint(wide * 10),
            np.where(wide > 1, np.floor(wide), np.pi),
        ],
        axis=1,
    )
    np.testing.assert_allclose(got, want, rtol=2e-3)
    np.testing.assert_allclose(got[:, [0, 1, 2, 4, 5]], want[:, [0, 1, 2, 4, 5]], rtol=1e-6)


def test_bits() -> None:
    source = """
@cuda.jit
def k(x, y, n):
    i = cuda.grid(1)
    if i < n:
        y[i, 0] = cuda.popc(x[i])
        y[i, 1] = cuda.clz(x[i])
        y[i, 2] = cuda.ffs(x[i])
        y[i, 3] = cuda.brev(x[i])
        y[i, 4] = ~x[i]
"""
    x = np.array([0, 1, 6, -1, 2**31 - 1], np.int32)
    got = run(source, {"x": x, "y": np.zeros((5, 5), np.int64), "n": 5})["y"]
    for value, row in zip(x, got, strict=True):
        text = f"{int(value) % 2**32:032b}"
        trailing = len(text) - len(text.rstrip("0"))
        want = [text.count("1"), len(text) - len(text.lstrip("0")), 0 if value == 0 else trailing + 1]
        assert list(row[:3]) == want
        assert int(row[3]) % 2**32 == int(text[::-1], 2)
        assert row[4] == ~int(value)


def test_tunables_outrank_the_sources_constants() -> None:
    source = """
WIDTH = 3
SCALE = 0.5

@cuda.jit
def k(y):
    y[cuda.threadIdx.x] = WIDTH * SCALE
"""
    got = run(source, {"y": np.zeros(4, np.float32)}, block=(4,), constants={"WIDTH": 7})
    np.testing.assert_array_equal(got["y"], 3.5)


def test_everything_a_kernel_may_reach_is_there_but_parts_of_two_libraries() -> None:
    from kernelevolve.backends._numba.interpreter.intrinsics import Cuda
    from kernelevolve.backends._numba.interpreter.mathematics import BUILTINS as OWN
    from kernelevolve.backends._numba.interpreter.mathematics import mathematics
    from kernelevolve.backends._numba.interpreter.rewriting import WAITING
    from kernelevolve.backends._numba.interpreter.watching import Position
    from kernelevolve.languages.numba_lang.names import BUILTINS, CUDA, HALF, LIBDEVICE, MATH

    cuda = Cuda((1,), (32,), 0, Position())
    for name in CUDA:
        if name != "jit" and name not in WAITING:
            assert getattr(cuda, name) is not None, name
    for name in HALF:
        assert callable(getattr(cuda.fp16, name)), name
    for name in MATH:
        assert hasattr(mathematics(), name), name
    assert set(BUILTINS) <= set(OWN)
    offered = [name for name in LIBDEVICE if name in LIBRARY]
    assert len(offered) >= 130
    assert set(offered) == set(LIBRARY)  # every name is one of NVIDIA's


def test_an_array_tells_its_shape_and_type() -> None:
    source = """
@cuda.jit
def k(x, y):
    own = cuda.local.array(2, x.dtype)
    own[0] = x[1, 2]
    y[0] = x.shape[1] * 100 + x.ndim * 10 + len(x)
    y[1] = x.size
    y[2] = x.strides[0]
    y[3] = x.itemsize
    y[4] = own[0]
"""
    x = np.arange(12, dtype=np.float16).reshape(3, 4)
    got = run(source, {"x": x, "y": np.zeros(5, np.int64)}, block=(1,))["y"]
    np.testing.assert_array_equal(got, [423, 12, 8, 2, 6])


def test_vector_types_are_numba_cudas() -> None:
    source = """
@cuda.jit
def k(y):
    four = cuda.float32x4(1.0, 2.0, 3.0, 4.0)
    y[0] = four.x + four.w
"""
    assert run(source, {"y": np.zeros(1, np.float32)}, block=(1,))["y"][0] == 5


def test_every_other_launch_runs_backwards() -> None:
    source = """
@cuda.jit
def k(counter, y):
    y[cuda.blockIdx.x] = cuda.atomic.add(counter, 0, 1)
"""
    arrays = {"counter": np.zeros(1, np.int32), "y": np.zeros(4, np.int32)}
    once = run(source, arrays, grid=(4,), block=(1,))["y"]
    twice = run(source, arrays, grid=(4,), block=(1,), launches=2)["y"]
    np.testing.assert_array_equal(once, [0, 1, 2, 3])
    np.testing.assert_array_equal(twice, [7, 6, 5, 4])
