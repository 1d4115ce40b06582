# /// kernel
# language = "triton"
# [tune]
# BLOCK = [256, 128, 512, 1024]
# [[launch]]
# entry = "map_id"
# grid = ["cdiv(count, BLOCK)"]
# ///
# One value per lane: a binary search for the last entry of the table that is not above it. All lanes take the same
# steps; each halves what is left, whichever half that is.
import triton
import triton.language as tl


@triton.jit
def map_id(values, table, index, count, size, BLOCK: tl.constexpr):
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = item < count
    value = tl.load(values + item, mask=inside, other=0)
    low = tl.zeros((BLOCK,), tl.int32)
    left = size
    while left > 1:
        half = left // 2
        middle = tl.load(table + low + half)
        low = tl.where(middle <= value, low + half, low)
        left -= half
    found = tl.load(table + low) == value
    tl.store(index + item, tl.where(found, low, -1), mask=inside)
