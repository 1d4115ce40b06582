# /// kernel
# language = "triton"
# [tune]
# BLOCK = [1024, 512, 2048, 4096]
# [[launch]]
# entry = "rms_norm_rows"
# grid = ["rows"]
# ///
# One program per row, in two passes over it: the sum of squares, then the scaled values.
import triton
import triton.language as tl


@triton.jit
def rms_norm_rows(x, weight, y, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * cols
    lanes = tl.arange(0, BLOCK)

    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols, other=0.0).to(tl.float32)
        squares += value * value
    root = tl.sqrt(tl.sum(squares, axis=0) / cols + eps)

    for start in range(0, cols, BLOCK):
        col = start + lanes
        inside = col < cols
        value = tl.load(x + row + col, mask=inside, other=0.0).to(tl.float32)
        scale = tl.load(weight + col, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + row + col, value / root * scale, mask=inside)
