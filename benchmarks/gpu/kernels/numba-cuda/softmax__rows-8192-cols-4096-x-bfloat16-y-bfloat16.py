# /// kernel
# language = "numba"
# [tune]
# THREADS = [256, 512, 128, 1024]
# ITEMS = [16, 8, 32, 4]
# [[launch]]
# entry = "softmax_rows"
# grid = ["rows"]
# block = ["THREADS"]
# ///
#: note a row in a block's registers: one read, one write, two barriers; longer rows are read again beyond them
#: rank 10
# 4 bytes an element of bfloat16: 134 MB at 8192 x 4096, 45 us at 3.0 TB/s. Numba has no wide loads, so a warp reads 64
# bytes at once: what hides the latency is that all of a thread's loads are on their way before the first is used.
import math

from numba import cuda, float32, uint64
from numba.cuda import libdevice

WIDTH = ITEMS * THREADS
WARPS = THREADS // 32


@cuda.jit(device=True)
def block_max(value, partial):
    for step in range(5):
        value = max(value, cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> step))
    if cuda.threadIdx.x % 32 == 0:
        partial[cuda.threadIdx.x // 32] = value
    cuda.syncthreads()
    for warp in range(WARPS):
        value = max(value, partial[warp])
    return value


@cuda.jit(device=True)
def block_sum(value, partial):
    for step in range(5):
        value += cuda.shfl_xor_sync(0xFFFFFFFF, value, 16 >> step)
    if cuda.threadIdx.x % 32 == 0:
        partial[cuda.threadIdx.x // 32] = value
    cuda.syncthreads()
    value = float32(0.0)
    for warp in range(WARPS):
        value += partial[warp]
    return value


@cuda.jit
def softmax_rows(x, y, cols):
    peaks = cuda.shared.array(WARPS, float32)
    sums = cuda.shared.array(WARPS, float32)
    kept = cuda.local.array(ITEMS, float32)
    lane = cuda.threadIdx.x
    row = uint64(cuda.blockIdx.x)

    if cols == WIDTH:
        for item in range(ITEMS):
            kept[item] = float32(x[row, uint64(lane + item * THREADS)])
    else:
        for item in range(ITEMS):
            kept[item] = float32(-math.inf)
            if lane + item * THREADS < cols:
                kept[item] = float32(x[row, uint64(lane + item * THREADS)])
    peak = kept[0]
    for item in range(1, ITEMS):
        peak = max(peak, kept[item])
    for col in range(lane + WIDTH, cols, THREADS):
        peak = max(peak, float32(x[row, uint64(col)]))
    peak = block_max(peak, peaks)

    total = float32(0.0)
    for item in range(ITEMS):
        kept[item] = libdevice.fast_expf(kept[item] - peak)
        total += kept[item]
    for col in range(lane + WIDTH, cols, THREADS):
        total += libdevice.fast_expf(float32(x[row, uint64(col)]) - peak)
    scale = float32(1.0) / block_sum(total, sums)

    if cols == WIDTH:
        for item in range(ITEMS):
            y[row, uint64(lane + item * THREADS)] = kept[item] * scale
    else:
        for item in range(ITEMS):
            if lane + item * THREADS < cols:
                y[row, uint64(lane + item * THREADS)] = kept[item] * scale
        for col in range(lane + WIDTH, cols, THREADS):
            y[row, uint64(col)] = libdevice.fast_expf(float32(x[row, uint64(col)]) - peak) * scale
