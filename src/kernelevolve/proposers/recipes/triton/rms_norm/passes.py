#: note for rows of any length: one pass for the squares, a second one backwards that scales
#: rank 40
# /// kernel
# language = "triton"
# [tune]
# BLOCK = [4096, 8192, 2048]
# num_warps = [8, 4, 16]
# [[launch]]
# entry = "rms_norm_row"
# grid = ["rows"]
# ///
# The second pass starts where the first one ended, so that it finds what it can of the row in the caches: half more
# bytes than one pass at worst.
import triton
import triton.language as tl


@triton.jit
def rms_norm_row(x, weight, y, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * cols
    lanes = tl.arange(0, BLOCK)
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in tl.range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols, other=0.0).to(tl.float32)
        squares += value * value
    scale = 1.0 / tl.sqrt(tl.sum(squares, axis=0) / cols + eps)

    blocks = tl.cdiv(cols, BLOCK)
    for block in tl.range(0, blocks):
        col = (blocks - 1 - block) * BLOCK + lanes
        value = tl.load(x + row + col, mask=col < cols, other=0.0, eviction_policy="evict_first").to(tl.float32)
        factor = tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32)
        result = (value * scale * factor).to(y.dtype.element_ty)
        tl.store(y + row + col, result, mask=col < cols, eviction_policy="evict_first")
