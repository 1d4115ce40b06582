# /// kernel
# language = "numba"
# [tune]
# THREADS = [256, 128, 512]
# [[launch]]
# entry = "mbdt_rows"
# grid = ["rows"]
# block = ["THREADS"]
# ///
# One block per row; a thread counts the borders below each of its values.
from numba import cuda, int32


@cuda.jit
def mbdt_rows(x, border, bucket, cols, borders):
    row = cuda.blockIdx.x
    for col in range(cuda.threadIdx.x, cols, THREADS):
        value = x[row, col]
        below = int32(0)
        for i in range(borders):
            if border[i] < value:
                below += int32(1)
        bucket[row, col] = below
