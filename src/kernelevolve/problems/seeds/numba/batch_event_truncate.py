# /// kernel
# language = "numba"
# [tune]
# CHUNK = [256, 128, 512, 1024]
# THREADS = [64, 32, 128]
# [scratch.chunk_total]
# shape = ["cdiv(rows, CHUNK)"]
# dtype = "int32"
# [[launch]]
# entry = "chunk_totals"
# grid = ["cdiv(rows, CHUNK)"]
# block = ["CHUNK"]
# [[launch]]
# entry = "scan"
# grid = ["cdiv(rows, CHUNK)"]
# block = ["CHUNK"]
# [[launch]]
# entry = "move"
# grid = ["rows"]
# block = ["THREADS"]
# ///
# A scan over chunks of rows finds where each row goes: the totals of the chunks, then the offsets inside each, after
# what the chunks before it hold. Then one block per row copies the events that stay, and fills as many places of the
# tail with zeros as the row loses: so each row writes as many places as it has events, and all are written.
from numba import cuda, int32


@cuda.jit(device=True)
def inclusive_sum(value, partial):
    # The sum over the threads up to this one, in log2(CHUNK) steps (Hillis and Steele, 1986).
    lane = cuda.threadIdx.x
    partial[lane] = value
    cuda.syncthreads()
    step = 1
    while step < CHUNK:
        before = int32(0)
        if lane >= step:
            before = partial[lane - step]
        cuda.syncthreads()
        partial[lane] += before
        cuda.syncthreads()
        step *= 2
    return partial[lane]


@cuda.jit(device=True)
def stays(offsets, row, rows, limit):
    if row < rows:
        return int32(min(offsets[row + 1] - offsets[row], limit))
    return int32(0)


@cuda.jit
def chunk_totals(offsets, chunk_total, rows, limit):
    partial = cuda.shared.array(CHUNK, int32)
    sums = inclusive_sum(stays(offsets, cuda.grid(1), rows, limit), partial)
    if cuda.threadIdx.x == CHUNK - 1:
        chunk_total[cuda.blockIdx.x] = sums


@cuda.jit
def scan(offsets, chunk_total, kept_offsets, rows, limit):
    partial = cuda.shared.array(CHUNK, int32)
    lane = cuda.threadIdx.x
    row = cuda.grid(1)
    before = int32(0)
    for chunk in range(lane, cuda.blockIdx.x, CHUNK):
        before += chunk_total[chunk]
    inclusive_sum(before, partial)
    before = partial[CHUNK - 1]
    cuda.syncthreads()
    sums = inclusive_sum(stays(offsets, row, rows, limit), partial)
    if row < rows:
        kept_offsets[row + 1] = before + sums
    if row == 0:
        kept_offsets[0] = 0


@cuda.jit
def move(values, offsets, kept_offsets, kept, rows):
    row = cuda.blockIdx.x
    target = kept_offsets[row]
    count = kept_offsets[row + 1] - target
    source = offsets[row + 1] - count
    for place in range(cuda.threadIdx.x, count, THREADS):
        kept[target + place] = values[source + place]
    lost = source - offsets[row]
    tail = kept_offsets[rows] + offsets[row] - target
    for place in range(cuda.threadIdx.x, lost, THREADS):
        kept[tail + place] = 0
