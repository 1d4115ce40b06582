#: note for rows of any length: passes for the mean, the variance and the result, each backwards over the one before
#: rank 40
# /// kernel
# language = "triton"
# [tune]
# BLOCK = [4096, 8192, 2048]
# num_warps = [8, 4, 16]
# [[launch]]
# entry = "layer_norm_row"
# grid = ["rows"]
# ///
# A pass starts where the one before ended, so that it finds what it can of the row in the caches. The variance is taken
# of deviations from the mean: the difference of mean square and squared mean would lose its digits.
import triton
import triton.language as tl


@triton.jit
def layer_norm_row(x, weight, bias, y, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * cols
    lanes = tl.arange(0, BLOCK)
    blocks = tl.cdiv(cols, BLOCK)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in tl.range(0, cols, BLOCK):
        col = start + lanes
        sums += tl.load(x + row + col, mask=col < cols, other=0.0).to(tl.float32)
    mean = tl.sum(sums, axis=0) / cols

    squares = tl.zeros((BLOCK,), tl.float32)
    for block in tl.range(0, blocks):
        col = (blocks - 1 - block) * BLOCK + lanes
        value = tl.load(x + row + col, mask=col < cols, other=0.0).to(tl.float32)
        away = tl.where(col < cols, value - mean, 0.0)
        squares += away * away
    scale = 1.0 / tl.sqrt(tl.sum(squares, axis=0) / cols + eps)

    for start in tl.range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols, other=0.0, eviction_policy="evict_first").to(tl.float32)
        factor = tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32)
        shift = tl.load(bias + col, mask=col < cols, other=0.0).to(tl.float32)
        result = ((value - mean) * scale * factor + shift).to(y.dtype.element_ty)
        tl.store(y + row + col, result, mask=col < cols, eviction_policy="evict_first")
