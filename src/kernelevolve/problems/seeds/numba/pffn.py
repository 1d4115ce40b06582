# /// kernel
# language = "numba"
# [tune]
# THREADS = [64, 32, 128, 256]
# [scratch.inner]
# shape = ["batch * tokens", "hidden"]
# dtype = "float32"
# [scratch.outer]
# shape = ["batch * tokens", "width"]
# dtype = "float32"
# [[launch]]
# entry = "expand"
# grid = ["cdiv(batch * tokens * hidden, THREADS)"]
# block = ["THREADS"]
# [[launch]]
# entry = "normalise_inner"
# grid = ["batch * tokens"]
# block = ["THREADS"]
# [[launch]]
# entry = "contract"
# grid = ["cdiv(batch * tokens * width, THREADS)"]
# block = ["THREADS"]
# [[launch]]
# entry = "normalise_outer"
# grid = ["batch * tokens"]
# block = ["THREADS"]
# ///
# Four steps: product and GELU, normalisation in place, product, normalisation. The products have one thread per
# element, the normalisations one block per row.
import math

from numba import cuda, float32


@cuda.jit(device=True)
def root_mean_square(values, row, count, eps):
    partial = cuda.shared.array(THREADS, float32)
    lane = cuda.threadIdx.x
    squares = float32(0.0)
    for col in range(lane, count, THREADS):
        squares += values[row, col] * values[row, col]
    partial[lane] = squares
    cuda.syncthreads()
    half = THREADS // 2
    while half > 0:
        if lane < half:
            partial[lane] += partial[lane + half]
        cuda.syncthreads()
        half //= 2
    return math.sqrt(partial[0] / float32(count) + eps)


@cuda.jit
def expand(x, w1, inner, batch, tokens, width, hidden):
    item = cuda.grid(1)
    col = item % hidden
    row = item // hidden
    sample = row // tokens
    if sample >= batch:
        return
    total = float32(0.0)
    for i in range(width):
        total += float32(x[sample, row % tokens, i]) * float32(w1[sample, i, col])
    inner[row, col] = float32(0.5) * total * (float32(1.0) + math.erf(total * float32(0.70710678)))


@cuda.jit
def normalise_inner(inner, g1, hidden, eps):
    row = cuda.blockIdx.x
    root = root_mean_square(inner, row, hidden, eps)
    for col in range(cuda.threadIdx.x, hidden, THREADS):
        inner[row, col] = inner[row, col] / root * float32(g1[col])


@cuda.jit
def contract(inner, w2, outer, batch, tokens, width, hidden):
    item = cuda.grid(1)
    col = item % width
    row = item // width
    sample = row // tokens
    if sample >= batch:
        return
    total = float32(0.0)
    for i in range(hidden):
        total += inner[row, i] * float32(w2[sample, i, col])
    outer[row, col] = total


@cuda.jit
def normalise_outer(outer, g2, y, tokens, width, eps):
    row = cuda.blockIdx.x
    root = root_mean_square(outer, row, width, eps)
    for col in range(cuda.threadIdx.x, width, THREADS):
        y[row // tokens, row % tokens, col] = outer[row, col] / root * float32(g2[col])
