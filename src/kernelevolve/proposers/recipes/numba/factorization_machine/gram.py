#: note (x x^T) y: the small matrix once per sample, then a column of the result in each thread's registers
#: rank 10
# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 256, 64]
# ROWS = [24, 40, 16, 8]
# [scratch.gram]
# shape = ["batch", "n", "n"]
# dtype = "float32"
# [[launch]]
# entry = "products"
# grid = ["batch"]
# block = ["256"]
# [[launch]]
# entry = "combine"
# grid = ["batch * cdiv(k, THREADS)"]
# block = ["THREADS"]
# args = { parts = "cdiv(k, THREADS)" }
# ///
# For n far below d and k, 2 n n (d + k) operations a sample in place of 4 n d k. What is left is to read y and write
# the result: 227 MB at 1024 x 24 x 224 x 2198 of float16, 76 us at 3.0 TB/s.
from numba import cuda, float32, uint32, uint64

DEPTH = 32
PADDED = DEPTH + 1
TILE = 24


@cuda.jit
def products(x, gram, n, d):
    # A tile of the matrix at a time, from two strips of x in shared memory.
    left = cuda.shared.array((TILE, PADDED), float32)
    right = cuda.shared.array((TILE, PADDED), float32)
    totals = cuda.local.array(3, float32)
    thread = cuda.threadIdx.x
    sample = uint64(cuda.blockIdx.x)
    for top in range(0, n, TILE):
        for start in range(0, n, TILE):
            for item in range(3):
                totals[item] = float32(0.0)
            for depth in range(0, d, DEPTH):
                cuda.syncthreads()
                for item in range(3):
                    at = thread + item * 256
                    line = at // DEPTH
                    place = at % DEPTH
                    left[line, place] = float32(0.0)
                    right[line, place] = float32(0.0)
                    if depth + place < d:
                        if top + line < n:
                            left[line, place] = float32(x[sample, uint64(top + line), uint64(depth + place)])
                        if start + line < n:
                            right[line, place] = float32(x[sample, uint64(start + line), uint64(depth + place)])
                cuda.syncthreads()
                for item in range(3):
                    at = thread + item * 256
                    if at < TILE * TILE:
                        for place in range(DEPTH):
                            totals[item] += left[at // TILE, place] * right[at % TILE, place]
            for item in range(3):
                at = thread + item * 256
                row = top + at // TILE
                col = start + at % TILE
                if at < TILE * TILE and row < n and col < n:
                    gram[sample, uint64(row), uint64(col)] = totals[item]


@cuda.jit
def combine(gram, y, out, n, k, parts):
    # Columns of the matrix, which equal its rows, so that a thread reads neighbouring numbers.
    factors = cuda.shared.array((DEPTH, ROWS), float32, 16)
    totals = cuda.local.array(ROWS, float32)
    lane = cuda.threadIdx.x
    block = uint32(cuda.blockIdx.x)
    sample = uint64(block // uint32(parts))
    col = block % uint32(parts) * THREADS + lane
    for top in range(0, n, ROWS):
        for row in range(ROWS):
            totals[row] = float32(0.0)
        for start in range(0, n, DEPTH):
            cuda.syncthreads()
            for at in range(lane, DEPTH * ROWS, THREADS):
                factor = float32(0.0)
                if start + at // ROWS < n and top + at % ROWS < n:
                    factor = gram[sample, uint64(start + at // ROWS), uint64(top + at % ROWS)]
                factors[at // ROWS, at % ROWS] = factor
            cuda.syncthreads()
            if col < k:
                for i in range(min(DEPTH, n - start)):
                    value = float32(y[sample, uint64(start + i), uint64(col)])
                    for row in range(ROWS):
                        totals[row] += factors[uint64(i), row] * value
        if col < k:
            for row in range(ROWS):
                if top + row < n:
                    out[sample, uint64(top + row), uint64(col)] = totals[row]
