# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256, 512]
# [scratch.inner]
# shape = ["batch", "d", "k"]
# dtype = "float32"
# [[launch]]
# entry = "transposed_product"
# grid = ["cdiv(batch * d * k, THREADS)"]
# block = ["THREADS"]
# [[launch]]
# entry = "product"
# grid = ["cdiv(batch * n * k, THREADS)"]
# block = ["THREADS"]
# ///
# Two batched products, one thread per element of each: inner = x^T y, then out = x inner.
from numba import cuda, float32


@cuda.jit
def transposed_product(x, y, inner, batch, n, d, k):
    item = cuda.grid(1)
    col = item % k
    row = item // k % d
    sample = item // k // d
    if sample >= batch:
        return
    total = float32(0.0)
    for i in range(n):
        total += float32(x[sample, i, row]) * float32(y[sample, i, col])
    inner[sample, row, col] = total


@cuda.jit
def product(x, inner, out, batch, n, d, k):
    item = cuda.grid(1)
    col = item % k
    row = item // k % n
    sample = item // k // n
    if sample >= batch:
        return
    total = float32(0.0)
    for i in range(d):
        total += float32(x[sample, row, i]) * inner[sample, i, col]
    out[sample, row, col] = total
