# /// kernel
# language = "numba"
# [tune]
# THREADS = [256, 128, 512]
# [[launch]]
# entry = "swiglu_rows"
# grid = ["rows"]
# block = ["THREADS"]
# ///
# One block per row; its threads stride over the columns. The exponential is taken of -|gate|, which cannot overflow.
import math

from numba import cuda, float32


@cuda.jit
def swiglu_rows(gate, up, y, cols):
    row = cuda.blockIdx.x
    for col in range(cuda.threadIdx.x, cols, THREADS):
        value = float32(gate[row, col])
        small = math.exp(-abs(value))
        if value < float32(0.0):
            value *= small
        y[row, col] = value / (float32(1.0) + small) * float32(up[row, col])
