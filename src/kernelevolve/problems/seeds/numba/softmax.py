# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256, 512]
# [[launch]]
# entry = "softmax_rows"
# grid = ["rows"]
# block = ["THREADS"]
# ///
# One block per row. Its threads stride over the row and combine what they found in shared memory.
import math

from numba import cuda, float32


@cuda.jit
def softmax_rows(x, y, cols):
    partial = cuda.shared.array(THREADS, float32)
    lane = cuda.threadIdx.x
    row = cuda.blockIdx.x

    peak = float32(-math.inf)
    for col in range(lane, cols, THREADS):
        peak = max(peak, float32(x[row, col]))
    partial[lane] = peak
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if lane < half:
            partial[lane] = max(partial[lane], partial[lane + half])
        cuda.syncthreads()
        half //= 2
    peak = partial[0]
    cuda.syncthreads()

    total = float32(0.0)
    for col in range(lane, cols, THREADS):
        total += math.exp(float32(x[row, col]) - peak)
    partial[lane] = total
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if lane < half:
            partial[lane] += partial[lane + half]
        cuda.syncthreads()
        half //= 2
    total = partial[0]

    for col in range(lane, cols, THREADS):
        y[row, col] = math.exp(float32(x[row, col]) - peak) / total
