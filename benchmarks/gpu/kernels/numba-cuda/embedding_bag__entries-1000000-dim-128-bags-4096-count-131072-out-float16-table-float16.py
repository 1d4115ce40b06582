# /// kernel
# language = "numba"
# constraints = ["THREADS * BAGS <= 1024"]
# [tune]
# THREADS = [128, 64, 32]
# BAGS = [2, 1, 4, 8]
# AHEAD = [8, 4, 16]
# [[launch]]
# entry = "embedding_bag"
# grid = ["cdiv(bags, BAGS)", "1"]
# block = ["THREADS", "BAGS"]
# ///
#: note several rows of the table on their way at once, a thread for each column, several bags a block
#: rank 10
# Rows of the table lie anywhere, so what counts is how many are asked for at once. No barrier: bags do not wait for
# each other.
from numba import cuda, float32, uint64


@cuda.jit
def embedding_bag(table, indices, offsets, out, dim, bags):
    rows = cuda.local.array(AHEAD, uint64)
    values = cuda.local.array(AHEAD, float32)
    bag = uint64(cuda.blockIdx.x * BAGS + cuda.threadIdx.y)
    if bag >= uint64(bags):
        return
    first = offsets[bag]
    last = offsets[bag + uint64(1)]
    for index in range(cuda.threadIdx.x, dim, THREADS):
        col = uint64(index)
        total = float32(0.0)
        item = first
        while item + AHEAD <= last:
            for step in range(AHEAD):
                rows[step] = uint64(indices[uint64(item + step)])
            for step in range(AHEAD):
                values[step] = float32(table[rows[step], col])
            for step in range(AHEAD):
                total += values[step]
            item += AHEAD
        while item < last:
            total += float32(table[uint64(indices[uint64(item)]), col])
            item += 1
        out[bag, col] = total
