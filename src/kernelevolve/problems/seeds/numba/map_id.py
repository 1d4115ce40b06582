# /// kernel
# language = "numba"
# [tune]
# THREADS = [128, 64, 256, 512]
# [[launch]]
# entry = "map_id"
# grid = ["cdiv(count, THREADS)"]
# block = ["THREADS"]
# ///
# One thread per value: a binary search for the first entry of the table that is not below it.
from numba import cuda


@cuda.jit
def map_id(values, table, index, count, size):
    item = cuda.grid(1)
    if item >= count:
        return
    value = values[item]
    low = 0
    high = size
    while low < high:
        middle = (low + high) // 2
        if table[middle] < value:
            low = middle + 1
        else:
            high = middle
    if low < size and table[low] == value:
        index[item] = low
    else:
        index[item] = -1
