# /// kernel
# language = "numba"
# [[launch]]
# entry = "attention"
# grid = ["batch * heads * length"]
# block = ["64"]
# ///
# One block per query. It walks over the keys in groups of one key per thread and keeps a running maximum and a running
# sum of the softmax (Milakov and Gimelshein, 2018); each thread adds up every 64th component of the
# result, of which there are at most 128.
import math

from numba import cuda, float32

GROUP = 64
WIDEST = 128
PARTS = 2


@cuda.jit(device=True)
def dot(query, keys, sample, head, key, dim):
    total = float32(0.0)
    for i in range(dim):
        total += query[i] * float32(keys[sample, head, key, i])
    return total


@cuda.jit
def attention(q, k, v, o, heads, length, dim):
    query = cuda.shared.array(WIDEST, float32)
    share = cuda.shared.array(GROUP, float32)
    result = cuda.local.array(PARTS, float32)
    lane = cuda.threadIdx.x
    row = cuda.blockIdx.x % length
    head = cuda.blockIdx.x // length % heads
    sample = cuda.blockIdx.x // length // heads
    scale = float32(1.0) / math.sqrt(float32(dim))
    for part in range(PARTS):
        result[part] = float32(0.0)
    for i in range(lane, dim, GROUP):
        query[i] = float32(q[sample, head, row, i])

    peak = float32(-math.inf)
    total = float32(0.0)
    for start in range(0, row + 1, GROUP):
        cuda.syncthreads()
        key = start + lane
        logit = float32(-math.inf)
        if key <= row:
            logit = dot(query, k, sample, head, key, dim) * scale
        share[lane] = logit
        cuda.syncthreads()
        new_peak = peak
        for i in range(GROUP):
            new_peak = max(new_peak, share[i])
        cuda.syncthreads()
        share[lane] = math.exp(logit - new_peak)
        cuda.syncthreads()

        rescale = math.exp(peak - new_peak)
        peak = new_peak
        keys = min(GROUP, row + 1 - start)
        total *= rescale
        for i in range(keys):
            total += share[i]
        for part in range(PARTS):
            col = part * GROUP + lane
            if col < dim:
                sums = result[part] * rescale
                for i in range(keys):
                    sums += share[i] * float32(v[sample, head, start + i, col])
                result[part] = sums

    for part in range(PARTS):
        col = part * GROUP + lane
        if col < dim:
            o[sample, head, row, col] = result[part] / total
