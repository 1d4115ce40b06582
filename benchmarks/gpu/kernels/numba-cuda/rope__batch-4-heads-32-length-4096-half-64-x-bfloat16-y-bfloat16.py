# /// kernel
# language = "numba"
# [tune]
# THREADS = [256, 128, 512]
# HEADS = [8, 4, 16]
# [[launch]]
# entry = "rope_heads"
# grid = ["cdiv(length * half, THREADS) * cdiv(batch * heads, HEADS)"]
# block = ["THREADS"]
# args = { parts = "cdiv(length * half, THREADS)" }
# ///
#: note an angle is read once for many heads; all loads of a thread are on their way at once
#: rank 10
# A thread has one pair of a position and turns it in HEADS heads of the batch. Blocks next to each other are next to
# each other in memory.
from numba import cuda, float32, uint32, uint64


@cuda.jit
def rope_heads(x, cos, sin, y, batch, heads, length, half, parts):
    firsts = cuda.local.array(HEADS, float32)
    seconds = cuda.local.array(HEADS, float32)
    block = uint32(cuda.blockIdx.x)
    place = block % uint32(parts) * THREADS + cuda.threadIdx.x
    if place >= length * half:
        return
    position = uint64(uint32(place) // uint32(half))
    pair = uint64(place) - position * uint64(half)
    other = uint64(half) + pair
    c = float32(cos[position, pair])
    s = float32(sin[position, pair])

    start = block // uint32(parts) * HEADS
    count = min(HEADS, batch * heads - start)
    sample = uint64(uint32(start) // uint32(heads))
    head = uint64(start) - sample * uint64(heads)
    for item in range(HEADS):
        if item < count:
            firsts[item] = float32(x[sample, head, position, pair])
            seconds[item] = float32(x[sample, head, position, other])
            head += uint64(1)
            if head == uint64(heads):
                head = uint64(0)
                sample += uint64(1)
    sample = uint64(uint32(start) // uint32(heads))
    head = uint64(start) - sample * uint64(heads)
    for item in range(HEADS):
        if item < count:
            y[sample, head, position, pair] = firsts[item] * c - seconds[item] * s
            y[sample, head, position, other] = seconds[item] * c + firsts[item] * s
            head += uint64(1)
            if head == uint64(heads):
                head = uint64(0)
                sample += uint64(1)
