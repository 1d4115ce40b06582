# /// kernel
# language = "triton"
# [tune]
# BLOCK = [1024, 512, 2048]
# [[launch]]
# entry = "mbdt"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { total = "rows * cols" }
# ///
# One program per block of values: it counts the borders below each.
import triton
import triton.language as tl


@triton.jit
def mbdt(x, border, bucket, total, borders, BLOCK: tl.constexpr):
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    value = tl.load(x + index, mask=inside, other=0.0)
    below = tl.zeros((BLOCK,), tl.int32)
    for i in range(borders):
        below += (tl.load(border + i) < value).to(tl.int32)
    tl.store(bucket + index, below, mask=inside)
