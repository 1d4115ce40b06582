"""Kernels as people write them for Numba's CUDA target: the gate must let every one of them through.

Each has the argument types with which it compiles, and the tunables that the header would hold.
"""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """A source, one of its kernels with its argument types in Numba's notation, and its tunables."""

    source: str
    entry: str
    signature: str
    tunables: dict[str, int]


REDUCTION = Sample(
    '''"""Sum of each row; this text may say import, exec or open."""

import math
from numba import cuda, float32

WARPS = THREADS // 32  # a constant made of a tunable
FULL = 0xFFFFFFFF


@cuda.jit(device=True, inline="always")
def warp_sum(value):
    offset = 16
    while offset > 0:
        value += cuda.shfl_down_sync(FULL, value, offset)
        offset //= 2
    return value


@cuda.jit(fastmath=False, max_registers=64, launch_bounds=THREADS)
def row_norms(x, y, rows, cols):
    partial = cuda.shared.array(WARPS, float32)
    lane = cuda.threadIdx.x
    for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
        total = float32(0.0)
        for col in range(lane, cols, THREADS):
            value = x[row, col]
            total = cuda.fma(value, value, total)
        total = warp_sum(total)
        if cuda.laneid == 0:
            partial[lane // cuda.warpsize] = total
        cuda.syncthreads()
        if lane == 0:
            sum = float32(0.0)
            for i in range(WARPS):
                sum += partial[i]
            y[row] = math.sqrt(sum) if not math.isnan(sum) else math.inf
        cuda.syncthreads()
''',
    "row_norms",
    "(float32[:, ::1], float32[::1], int32, int32)",
    {"THREADS": 128},
)

MATMUL = Sample(
    """from numba import cuda, float32

PAD = TILE + 1


@cuda.jit
def matmul(a, b, c, m, n, k):
    left = cuda.shared.array(shape=(TILE, PAD), dtype=float32)
    right = cuda.shared.array((TILE, PAD), float32)
    row, col = cuda.grid(2)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    acc = float32(0)
    for step in range((k + TILE - 1) // TILE):
        at = step * TILE
        left[tx, ty] = a[row, at + ty] if row < m and at + ty < k else float32(0)
        right[tx, ty] = b[at + tx, col] if at + tx < k and col < n else float32(0)
        cuda.syncthreads()
        for i in range(TILE):
            acc += left[tx, i] * right[i, ty]
        cuda.syncthreads()
    if row < m and col < n:
        c[row, col] = acc
""",
    "matmul",
    "(float32[:, ::1], float32[:, ::1], float32[:, ::1], int32, int32, int32)",
    {"TILE": 16},
)

DYNAMIC = Sample(
    """from numba import cuda, float32
from numba.types import float16


@cuda.jit
def softmax_rows(x, y, cols):
    tile = cuda.shared.array(0, float32)
    lane = cuda.threadIdx.x
    row = cuda.blockIdx.x
    peak = float32(-1e30)
    for col in range(lane, cols, cuda.blockDim.x):
        peak = max(peak, float32(x[row, col]))
    tile[lane] = peak
    cuda.syncthreads()
    half = cuda.blockDim.x // 2
    while half > 0:
        if lane < half:
            tile[lane] = max(tile[lane], tile[lane + half])
        cuda.syncthreads()
        half >>= 1
    for col in range(lane, cols, cuda.blockDim.x):
        y[row, col] = float16(float32(x[row, col]) - tile[0])
""",
    "softmax_rows",
    "(float16[:, ::1], float16[:, ::1], int32)",
    {},
)

HISTOGRAM = Sample(
    """from numba import cuda, int32


@cuda.jit
def histogram(x, counts, size):
    bins = cuda.shared.array(BINS, int32)
    for i in range(cuda.threadIdx.x, BINS, cuda.blockDim.x):
        bins[i] = 0
    cuda.syncthreads()
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        bin = min(max(int(x[i]), 0), BINS - 1)
        cuda.atomic.add(bins, bin, 1)
    cuda.syncthreads()
    for i in range(cuda.threadIdx.x, BINS, cuda.blockDim.x):
        if bins[i]:
            cuda.atomic.add(counts, i, bins[i])
""",
    "histogram",
    "(float32[::1], int32[::1], int32)",
    {"BINS": 64},
)

BINARY_SEARCH = Sample(
    """from numba import cuda

TAPS = (0.25, 0.5, 0.25)


@cuda.jit(device=True)
def first_not_below(border, value):
    low, high = 0, border.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if border[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@cuda.jit
def bucketize(x, border, bucket):
    i = cuda.grid(1)
    if i >= x.size:
        return
    smooth = 0.0
    for tap in range(len(TAPS)):
        at = min(max(i + tap - 1, 0), len(x) - 1)
        smooth += TAPS[tap] * x[at]
    bucket[i] = first_not_below(border, smooth)
""",
    "bucketize",
    "(float32[::1], float32[::1], int32[::1])",
    {},
)

GRID_SYNC = Sample(
    """from numba import cuda, float32
from numba.cuda import libdevice


@cuda.jit
def normalised(x, y, total, size):
    grid = cuda.cg.this_grid()
    keep = cuda.local.array(4, float32)
    i = cuda.grid(1)
    for j in range(4):
        keep[j] = libdevice.fast_expf(x[i]) if i < size and j == 0 else float32(0)
    cuda.atomic.add(total, 0, keep[0])
    cuda.threadfence()
    grid.sync()
    if i < size:
        y[i] = keep[0] / cuda.ldcg(total, 0)
""",
    "normalised",
    "(float32[::1], float32[::1], float32[::1], int32)",
    {},
)

HONEST = {
    "warp reduction": REDUCTION,
    "tiled matmul with padding": MATMUL,
    "dynamic shared memory": DYNAMIC,
    "histogram with shared atomics": HISTOGRAM,
    "device function and a tuple of constants": BINARY_SEARCH,
    "grid synchronisation with libdevice": GRID_SYNC,
}
