# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 512 * num_warps", "BLOCK >= 32 * num_warps"]
# [tune]
# BLOCK = [512, 256, 1024, 128]
# num_warps = [2, 4, 8]
# [[launch]]
# entry = "search_table"
# grid = ["cdiv(count, BLOCK)"]
# ///
#: note a binary search in all lanes at once, several values for each thread, the table kept in the first-level cache
#: rank 20
# Values and indices are 8 MB at a million of them: 3 us. But each value takes 16 loads that depend on each other, at
# places that differ from lane to lane: the time goes into those. Several values for each thread overlap their waits.
import triton
import triton.language as tl


@triton.jit
def search_table(values, table, index, count, size, BLOCK: tl.constexpr):
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = item < count
    value = tl.load(values + item, mask=inside, other=0, eviction_policy="evict_first")
    low = tl.zeros((BLOCK,), tl.int32)
    left = size
    while left > 1:
        half = left // 2
        middle = tl.load(table + low + half, eviction_policy="evict_last")
        low = tl.where(middle <= value, low + half, low)
        left -= half
    found = tl.load(table + low, eviction_policy="evict_last") == value
    tl.store(index + item, tl.where(found, low, -1), mask=inside, eviction_policy="evict_first")
