# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256]
# [[launch]]
# entry = "embedding_bag"
# grid = ["bags"]
# block = ["THREADS"]
# ///
# One block per bag; its threads stride over the columns and add up the rows that the bag names.
from numba import cuda, float32


@cuda.jit
def embedding_bag(table, indices, offsets, out, dim):
    bag = cuda.blockIdx.x
    first = offsets[bag]
    last = offsets[bag + 1]
    for col in range(cuda.threadIdx.x, dim, THREADS):
        total = float32(0.0)
        for item in range(first, last):
            total += float32(table[indices[item], col])
        out[bag, col] = total
