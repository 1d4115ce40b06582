# /// kernel
# language = "numba"
# constraints = ["ROWS * COLS <= 1024", "ROWS * COLS >= 64"]
# [tune]
# ROWS = [16, 8]
# COLS = [32, 16, 8]
# DEPTH = [8, 16]
# BAND = [4, 8, 16]
# REGISTERS = [128, 168, 255]
# [[launch]]
# entry = "matmul"
# grid = ["cdiv(m, 8 * ROWS) * cdiv(n, 8 * COLS)", "1"]
# block = ["COLS", "ROWS"]
# args = { tall = "cdiv(m, 8 * ROWS)", wide = "cdiv(n, 8 * COLS)" }
# ///
#: note tiles in shared memory, 8 x 8 elements of the product in a thread's registers, the next tile loaded meanwhile
#: rank 10
# The arithmetic of the CUDA cores, in float32: 67 TFLOP/s is an H100's peak, and Numba has no matrix instructions. A
# thread reads 16 numbers from shared memory for 64 multiply-adds; blocks run in bands, which share tiles in the cache.
from numba import cuda, float32, uint64

TALL = 8 * ROWS
WIDE = 8 * COLS
THREADS = ROWS * COLS
LEFTS = TALL * DEPTH // THREADS
RIGHTS = WIDE * DEPTH // THREADS
# A column of the left factor's tile is written at once: four more elements put its parts into different banks.
PADDED = TALL + 4


@cuda.jit(max_registers=REGISTERS)
def matmul(a, b, c, m, n, k, tall, wide):
    left = cuda.shared.array((DEPTH, PADDED), float32, 16)
    right = cuda.shared.array((DEPTH, WIDE), float32, 16)
    lefts = cuda.local.array(LEFTS, float32)
    rights = cuda.local.array(RIGHTS, float32)
    column = cuda.local.array(8, float32)
    line = cuda.local.array(8, float32)
    totals = cuda.local.array((8, 8), float32)
    x = cuda.threadIdx.x
    y = cuda.threadIdx.y
    thread = y * COLS + x

    first = cuda.blockIdx.x // (BAND * wide) * BAND
    height = min(tall - first, BAND)
    block = cuda.blockIdx.x % (BAND * wide)
    top = (first + block % height) * TALL
    start = block // height * WIDE

    for i in range(8):
        for j in range(8):
            totals[i, j] = float32(0.0)
    for step in range(0, k + DEPTH, DEPTH):
        # What the last turn has loaded goes to shared memory; the next tile is on its way while this one is used.
        if step > 0:
            cuda.syncthreads()
            for item in range(LEFTS):
                at = thread + item * THREADS
                left[at % DEPTH, at // DEPTH] = lefts[item]
            for item in range(RIGHTS):
                at = thread + item * THREADS
                right[at // WIDE, at % WIDE] = rights[item]
            cuda.syncthreads()
        for item in range(LEFTS):
            at = thread + item * THREADS
            row = top + at // DEPTH
            depth = step + at % DEPTH
            lefts[item] = float32(0.0)
            if row < m and depth < k:
                lefts[item] = float32(a[uint64(row), uint64(depth)])
        for item in range(RIGHTS):
            at = thread + item * THREADS
            depth = step + at // WIDE
            col = start + at % WIDE
            rights[item] = float32(0.0)
            if depth < k and col < n:
                rights[item] = float32(b[uint64(depth), uint64(col)])
        if step > 0:
            for depth in range(DEPTH):
                for i in range(4):
                    column[i] = left[depth, uint64(y * 4 + i)]
                    column[i + 4] = left[depth, uint64(4 * ROWS + y * 4 + i)]
                for j in range(4):
                    line[j] = right[depth, uint64(x * 4 + j)]
                    line[j + 4] = right[depth, uint64(4 * COLS + x * 4 + j)]
                for i in range(8):
                    for j in range(8):
                        totals[i, j] += column[i] * line[j]

    for i in range(8):
        row = top + i // 4 * (4 * ROWS) + y * 4 + i % 4
        for j in range(8):
            col = start + j // 4 * (4 * COLS) + x * 4 + j % 4
            if row < m and col < n:
                c[uint64(row), uint64(col)] = totals[i, j]
