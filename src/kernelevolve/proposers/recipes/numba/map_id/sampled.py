#: note the first steps of the search in a sample of the table that lies in shared memory, several values a thread
#: rank 10
# /// kernel
# language = "numba"
# [tune]
# THREADS = [256, 512, 128]
# SAMPLES = [2048, 1024, 4096, 512]
# ITEMS = [4, 2, 8]
# WAVES = [4, 2, 8]
# [[launch]]
# entry = "map_id"
# grid = ["min(cdiv(count, THREADS * ITEMS), num_units * WAVES)"]
# block = ["THREADS"]
# ///
# The last entry of each of at most SAMPLES pieces of the table is kept in shared memory: log2(SAMPLES) steps of a
# search do without the cache. All values of a thread take each step together, so that their loads overlap.
from numba import cuda, int32, int64, uint64


@cuda.jit
def map_id(values, table, index, count, size):
    last = cuda.shared.array(SAMPLES, table.dtype)
    wanted = cuda.local.array(ITEMS, values.dtype)
    low = cuda.local.array(ITEMS, int64)
    lane = cuda.threadIdx.x
    piece = (size + SAMPLES - 1) // SAMPLES
    pieces = (size + piece - 1) // piece
    for i in range(lane, pieces, THREADS):
        last[i] = table[uint64(min(size, (i + 1) * piece) - 1)]
    cuda.syncthreads()

    for first in range(cuda.blockIdx.x * (THREADS * ITEMS), count, cuda.gridDim.x * (THREADS * ITEMS)):
        for item in range(ITEMS):
            wanted[item] = values[uint64(min(count - 1, first + item * THREADS + lane))]
            low[item] = 0
        # How many pieces lie below the value altogether.
        length = pieces
        while length > 0:
            half = (length + 1) // 2
            for item in range(ITEMS):
                at = low[item] + half - 1
                if at < pieces and last[uint64(at)] < wanted[item]:
                    low[item] = at + 1
            length -= half
        for item in range(ITEMS):
            low[item] *= piece
        length = piece
        while length > 0:
            half = (length + 1) // 2
            for item in range(ITEMS):
                at = low[item] + half - 1
                if at < size and table[uint64(at)] < wanted[item]:
                    low[item] = at + 1
            length -= half
        for item in range(ITEMS):
            place = first + item * THREADS + lane
            if place < count:
                found = int32(-1)
                if low[item] < size and table[uint64(low[item])] == wanted[item]:
                    found = int32(low[item])
                index[uint64(place)] = found
