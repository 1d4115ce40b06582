#: note the matrix as one row, a block of it per program; each value is compared with all borders
#: rank 10
# /// kernel
# language = "triton"
# when = "borders <= 64"
# constraints = ["BLOCK <= 512 * num_warps", "BLOCK >= 128 * num_warps"]
# [tune]
# BLOCK = [1024, 2048, 4096, 512]
# STREAM = [1, 0]
# num_warps = [4, 8, 2]
# [[launch]]
# entry = "count_below"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { total = "rows * cols" }
# ///
# 67 MB at 16384 x 512, 22 us at 3.0 TB/s. Two instructions for each border and value, compare and select: 8 us
# of the arithmetic units for 8 borders, hidden. (With the number of borders known, the loop is unrolled as a whole and
# the compiler packs the outcomes of comparisons into bits, which doubles the instructions.)
import triton
import triton.language as tl


@triton.jit
def count_below(x, border, bucket, total, borders, BLOCK: tl.constexpr, STREAM: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * BLOCK
    index = first + tl.arange(0, BLOCK)
    policy: tl.constexpr = "evict_first" if STREAM else ""
    if first + BLOCK <= total:
        value = tl.load(x + index, eviction_policy=policy)
    else:
        value = tl.load(x + index, mask=index < total, other=0.0)
    below = tl.zeros((BLOCK,), tl.int32)
    for i in range(borders):
        below = tl.where(tl.load(border + i) < value, i + 1, below)  # borders ascend
    if first + BLOCK <= total:
        tl.store(bucket + index, below, eviction_policy=policy)
    else:
        tl.store(bucket + index, below, mask=index < total)
