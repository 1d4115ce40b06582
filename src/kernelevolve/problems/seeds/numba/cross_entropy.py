# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256, 512]
# [[launch]]
# entry = "cross_entropy_rows"
# grid = ["rows"]
# block = ["THREADS"]
# ///
# One block per row, in two passes: the maximum, then the sum of exponentials.
import math

from numba import cuda, float32


@cuda.jit
def cross_entropy_rows(logits, target, loss, classes):
    partial = cuda.shared.array(THREADS, float32)
    lane = cuda.threadIdx.x
    row = cuda.blockIdx.x

    peak = float32(-math.inf)
    for index in range(lane, classes, THREADS):
        peak = max(peak, float32(logits[row, index]))
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
    for index in range(lane, classes, THREADS):
        total += math.exp(float32(logits[row, index]) - peak)
    partial[lane] = total
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if lane < half:
            partial[lane] += partial[lane + half]
        cuda.syncthreads()
        half //= 2

    if lane == 0:
        loss[row] = math.log(partial[0]) - (float32(logits[row, target[row]]) - peak)
