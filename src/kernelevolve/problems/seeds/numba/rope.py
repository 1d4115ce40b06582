# /// kernel
# language = "numba"
# [tune]
# THREADS = [64, 32, 128]
# [[launch]]
# entry = "rope_rows"
# grid = ["batch * heads * length"]
# block = ["THREADS"]
# ///
# One block per vector: its threads turn pairs of elements that lie half a vector apart.
from numba import cuda, float32


@cuda.jit
def rope_rows(x, cos, sin, y, heads, length, half):
    row = cuda.blockIdx.x
    position = row % length
    head = row // length % heads
    batch = row // length // heads
    for pair in range(cuda.threadIdx.x, half, THREADS):
        first = float32(x[batch, head, position, pair])
        second = float32(x[batch, head, position, half + pair])
        c = float32(cos[position, pair])
        s = float32(sin[position, pair])
        y[batch, head, position, pair] = first * c - second * s
        y[batch, head, position, half + pair] = second * c + first * s
