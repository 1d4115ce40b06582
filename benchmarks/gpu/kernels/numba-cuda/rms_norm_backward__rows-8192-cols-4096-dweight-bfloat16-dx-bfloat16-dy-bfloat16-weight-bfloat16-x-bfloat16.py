# /// kernel
# language = "numba"
# [tune]
# THREADS = [512, 256, 1024]
# ITEMS = [8, 16, 4]
# WAVES = [2, 1, 4]
# [scratch.partial]
# shape = ["min(rows, num_units * WAVES)", "cols"]
# dtype = "float32"
# [[launch]]
# entry = "rms_norm_backward_rows"
# grid = ["min(rows, num_units * WAVES)"]
# block = ["THREADS"]
# [[launch]]
# entry = "sum_partial"
# grid = ["cdiv(cols, 32)", "1"]
# block = ["32", "16"]
# args = { parts = "min(rows, num_units * WAVES)" }
# ///
#: note rows in registers; a block's share of dweight stays in registers over its rows, then columns are added up
#: rank 10
# 201 MB at 8192 x 4096 of bfloat16: 67 us at 3.0 TB/s; the partial sums are 4 MB more. Both sums of a row take one
# barrier; two rows of shared memory take turns, so that who writes one again has passed the other's.
import math

from numba import cuda, float32, uint64

WIDTH = ITEMS * THREADS
WARPS = THREADS // 32


@cuda.jit
def rms_norm_backward_rows(x, weight, dy, dx, partial, rows, cols, eps):
    sums = cuda.shared.array((4, WARPS), float32)
    values = cuda.local.array(ITEMS, float32)
    slopes = cuda.local.array(ITEMS, float32)
    scales = cuda.local.array(ITEMS, float32)
    totals = cuda.local.array(ITEMS, float32)
    lane = cuda.threadIdx.x
    part = uint64(cuda.blockIdx.x)
    count = float32(cols)
    for item in range(ITEMS):
        totals[item] = float32(0.0)
        scales[item] = float32(0.0)
        if lane + item * THREADS < cols:
            scales[item] = float32(weight[uint64(lane + item * THREADS)])
    for col in range(lane + WIDTH, cols, THREADS):
        partial[part, uint64(col)] = float32(0.0)

    turn = 0
    for number in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
        row = uint64(number)
        for item in range(ITEMS):
            values[item] = float32(0.0)
            slopes[item] = float32(0.0)
            if lane + item * THREADS < cols:
                values[item] = float32(x[row, uint64(lane + item * THREADS)])
                slopes[item] = float32(dy[row, uint64(lane + item * THREADS)])
        square = float32(0.0)
        product = float32(0.0)
        for item in range(ITEMS):
            square += values[item] * values[item]
            product += slopes[item] * scales[item] * values[item]
        for index in range(lane + WIDTH, cols, THREADS):
            col = uint64(index)
            value = float32(x[row, col])
            square += value * value
            product += float32(dy[row, col]) * float32(weight[col]) * value

        for step in range(5):
            square += cuda.shfl_xor_sync(0xFFFFFFFF, square, 16 >> step)
            product += cuda.shfl_xor_sync(0xFFFFFFFF, product, 16 >> step)
        if lane % 32 == 0:
            sums[turn, lane // 32] = square
            sums[turn + 1, lane // 32] = product
        cuda.syncthreads()
        square = float32(0.0)
        product = float32(0.0)
        for warp in range(WARPS):
            square += sums[turn, warp]
            product += sums[turn + 1, warp]
        turn = 2 - turn
        scale = float32(1.0) / math.sqrt(square / count + eps)
        mean = product * scale / count

        for item in range(ITEMS):
            normal = values[item] * scale
            totals[item] += slopes[item] * normal
            if lane + item * THREADS < cols:
                dx[row, uint64(lane + item * THREADS)] = scale * (slopes[item] * scales[item] - normal * mean)
        for index in range(lane + WIDTH, cols, THREADS):
            col = uint64(index)
            slope = float32(dy[row, col])
            normal = float32(x[row, col]) * scale
            partial[part, col] += slope * normal
            dx[row, col] = scale * (slope * float32(weight[col]) - normal * mean)

    for item in range(ITEMS):
        if lane + item * THREADS < cols:
            partial[part, uint64(lane + item * THREADS)] = totals[item]


@cuda.jit
def sum_partial(partial, dweight, parts, cols):
    sums = cuda.shared.array((16, 32), float32)
    x = cuda.threadIdx.x
    y = cuda.threadIdx.y
    col = cuda.blockIdx.x * 32 + x
    total = float32(0.0)
    if col < cols:
        for part in range(y, parts, 16):
            total += partial[uint64(part), uint64(col)]
    sums[y, x] = total
    cuda.syncthreads()
    if y == 0 and col < cols:
        total = float32(0.0)
        for line in range(16):
            total += sums[line, x]
        dweight[uint64(col)] = total
