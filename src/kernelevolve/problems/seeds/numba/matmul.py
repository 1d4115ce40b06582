# /// kernel
# language = "numba"
# [[launch]]
# entry = "matmul"
# grid = ["cdiv(m, 16) * cdiv(n, 16)", "1"]
# block = ["16", "16"]
# ///
# One block per tile of the product. Its threads bring a tile of each factor to shared memory, one element each, and add
# up its products.
from numba import cuda, float32

TILE = 16


@cuda.jit
def matmul(a, b, c, m, n, k):
    left = cuda.shared.array((TILE, TILE), float32)
    right = cuda.shared.array((TILE, TILE), float32)
    tiles = (n + TILE - 1) // TILE
    x = cuda.threadIdx.x
    y = cuda.threadIdx.y
    row = cuda.blockIdx.x // tiles * TILE + y
    col = cuda.blockIdx.x % tiles * TILE + x

    total = float32(0.0)
    for start in range(0, k, TILE):
        left[y, x] = float32(0.0)
        right[y, x] = float32(0.0)
        if row < m and start + x < k:
            left[y, x] = float32(a[row, start + x])
        if start + y < k and col < n:
            right[y, x] = float32(b[start + y, col])
        cuda.syncthreads()
        for i in range(TILE):
            total += left[y, i] * right[i, x]
        cuda.syncthreads()
    if row < m and col < n:
        c[row, col] = total
