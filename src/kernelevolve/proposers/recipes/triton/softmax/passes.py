#: note for rows of any length: one pass for maximum and sum at once, a second one backwards for the quotients
#: rank 40
# /// kernel
# language = "triton"
# [tune]
# BLOCK = [4096, 8192, 2048]
# num_warps = [8, 4, 16]
# [[launch]]
# entry = "softmax_row"
# grid = ["rows"]
# ///
# The second pass starts where the first one ended, so that it finds what it can of the row in the caches: a third more
# bytes than one pass at worst. Threads keep maxima and sums of their own, and put them together once.
import triton
import triton.language as tl
from triton.language.extra import libdevice

LOG2E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-3.4028234663852886e38)


@triton.jit
def softmax_row(x, y, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * cols
    lanes = tl.arange(0, BLOCK)
    # The lowest number, not -inf: the difference of two infinities would be none.
    peaks = tl.full((BLOCK,), LOWEST, tl.float32)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in tl.range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(peaks, value)
        sums = sums * libdevice.exp2((peaks - higher) * LOG2E) + libdevice.exp2((value - higher) * LOG2E)
        peaks = higher
    peak = tl.max(peaks, axis=0)
    inverse = 1.0 / tl.sum(sums * libdevice.exp2((peaks - peak) * LOG2E), axis=0)

    blocks = tl.cdiv(cols, BLOCK)
    for block in tl.range(0, blocks):
        col = (blocks - 1 - block) * BLOCK + lanes
        value = tl.load(x + row + col, mask=col < cols, other=0.0, eviction_policy="evict_first").to(tl.float32)
        result = (libdevice.exp2((value - peak) * LOG2E) * inverse).to(y.dtype.element_ty)
        tl.store(y + row + col, result, mask=col < cols, eviction_policy="evict_first")
