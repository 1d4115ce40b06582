# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256, 512]
# [[launch]]
# entry = "rms_norm_rows"
# grid = ["rows"]
# block = ["THREADS"]
# ///
# One block per row. Its threads stride over the row and add up their squares in shared memory.
import math

from numba import cuda, float32


@cuda.jit
def rms_norm_rows(x, weight, y, cols, eps):
    partial = cuda.shared.array(THREADS, float32)
    lane = cuda.threadIdx.x
    row = cuda.blockIdx.x

    squares = float32(0.0)
    for col in range(lane, cols, THREADS):
        value = float32(x[row, col])
        squares += value * value
    partial[lane] = squares
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if lane < half:
            partial[lane] += partial[lane + half]
        cuda.syncthreads()
        half //= 2
    root = math.sqrt(partial[0] / float32(cols) + eps)

    for col in range(lane, cols, THREADS):
        y[row, col] = float32(x[row, col]) / root * float32(weight[col])
