# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256, 512]
# [[launch]]
# entry = "layer_norm_rows"
# grid = ["rows"]
# block = ["THREADS"]
# ///
# One block per row, in three passes: the mean, the mean squared deviation from it, the scaled values.
import math

from numba import cuda, float32


@cuda.jit
def layer_norm_rows(x, weight, bias, y, cols, eps):
    partial = cuda.shared.array(THREADS, float32)
    lane = cuda.threadIdx.x
    row = cuda.blockIdx.x

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
    mean = partial[0] / float32(cols)
    cuda.syncthreads()

    squares = float32(0.0)
    for col in range(lane, cols, THREADS):
        deviation = float32(x[row, col]) - mean
        squares += deviation * deviation
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
        y[row, col] = (float32(x[row, col]) - mean) / root * float32(weight[col]) + float32(bias[col])
