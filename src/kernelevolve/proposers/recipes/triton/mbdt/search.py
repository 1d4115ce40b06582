#: note for many borders: the matrix as one row, a binary search in all lanes at once, the borders in the L1 cache
#: rank 20
# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 512 * num_warps", "BLOCK >= 128 * num_warps"]
# [tune]
# BLOCK = [1024, 2048, 512]
# num_warps = [4, 8, 2]
# [[launch]]
# entry = "search_below"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { total = "rows * cols" }
# ///
# Every lane takes the same steps, log2 of the borders of them, each a load that depends on the one before.
import triton
import triton.language as tl


@triton.jit
def search_below(x, border, bucket, total, borders, BLOCK: tl.constexpr):
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    value = tl.load(x + index, mask=inside, other=0.0, eviction_policy="evict_first")
    # The borders from `below` on, `left` of them, are still open; each step halves them.
    below = tl.zeros((BLOCK,), tl.int32)
    left = borders
    while left > 0:
        half = (left + 1) // 2
        smaller = tl.load(border + below + half - 1) < value
        below = tl.where(smaller, below + half, below)
        left -= half
    tl.store(bucket + index, below, mask=inside, eviction_policy="evict_first")
