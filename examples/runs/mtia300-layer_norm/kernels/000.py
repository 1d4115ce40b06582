# /// kernel
# language = "triton"
# [tune]
# BLOCK = [1024, 512, 2048, 4096]
# [[launch]]
# entry = "layer_norm_rows"
# grid = ["rows"]
# ///
# One program per row, in three passes over it: the mean, the mean squared deviation from it, the scaled values.
import triton
import triton.language as tl


@triton.jit
def layer_norm_rows(x, weight, bias, y, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * cols
    lanes = tl.arange(0, BLOCK)

    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, cols, BLOCK):
        col = start + lanes
        sums += tl.load(x + row + col, mask=col < cols, other=0.0).to(tl.float32)
    mean = tl.sum(sums, axis=0) / cols

    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, cols, BLOCK):
        col = start + lanes
        inside = col < cols
        value = tl.load(x + row + col, mask=inside, other=0.0).to(tl.float32)
        deviation = tl.where(inside, value - mean, 0.0)
        squares += deviation * deviation
    root = tl.sqrt(tl.sum(squares, axis=0) / cols + eps)

    for start in range(0, cols, BLOCK):
        col = start + lanes
        inside = col < cols
        value = tl.load(x + row + col, mask=inside, other=0.0).to(tl.float32)
        scale = tl.load(weight + col, mask=inside, other=0.0).to(tl.float32)
        shift = tl.load(bias + col, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + row + col, (value - mean) / root * scale + shift, mask=inside)
