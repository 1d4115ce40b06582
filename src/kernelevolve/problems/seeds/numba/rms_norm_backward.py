# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256]
# ROWS = [8, 4, 16]
# [scratch.partial]
# shape = ["cdiv(rows, ROWS)", "cols"]
# dtype = "float32"
# [[launch]]
# entry = "rms_norm_backward_rows"
# grid = ["cdiv(rows, ROWS)"]
# block = ["THREADS"]
# [[launch]]
# entry = "sum_partial"
# grid = ["cdiv(cols, THREADS)"]
# block = ["THREADS"]
# args = { parts = "cdiv(rows, ROWS)" }
# ///
# A block takes ROWS rows. It first reduces each to two numbers, then writes their dx and adds up what they give to
# dweight, column by column. The second launch adds up what the blocks found, always in the same order.
import math

from numba import cuda, float32


@cuda.jit
def rms_norm_backward_rows(x, weight, dy, dx, partial, rows, cols, eps):
    squares = cuda.shared.array(THREADS, float32)
    products = cuda.shared.array(THREADS, float32)
    scales = cuda.shared.array(ROWS, float32)
    means = cuda.shared.array(ROWS, float32)
    lane = cuda.threadIdx.x
    part = cuda.blockIdx.x
    first = part * ROWS
    count = min(ROWS, rows - first)

    for row in range(count):
        square = float32(0.0)
        product = float32(0.0)
        for col in range(lane, cols, THREADS):
            value = float32(x[first + row, col])
            square += value * value
            product += float32(dy[first + row, col]) * float32(weight[col]) * value
        squares[lane] = square
        products[lane] = product
        cuda.syncthreads()
        half = THREADS // 2
        while half > 0:
            if lane < half:
                squares[lane] += squares[lane + half]
                products[lane] += products[lane + half]
            cuda.syncthreads()
            half //= 2
        if lane == 0:
            scale = float32(1.0) / math.sqrt(squares[0] / float32(cols) + eps)
            scales[row] = scale
            means[row] = products[0] * scale / float32(cols)
        cuda.syncthreads()

    for col in range(lane, cols, THREADS):
        total = float32(0.0)
        for row in range(count):
            gradient = float32(dy[first + row, col])
            normal = float32(x[first + row, col]) * scales[row]
            dx[first + row, col] = scales[row] * (gradient * float32(weight[col]) - normal * means[row])
            total += gradient * normal
        partial[part, col] = total


@cuda.jit
def sum_partial(partial, dweight, parts, cols):
    col = cuda.grid(1)
    if col < cols:
        total = float32(0.0)
        for part in range(parts):
            total += partial[part, col]
        dweight[col] = total
