# /// kernel
# language = "triton"
# [tune]
# BLOCK = [1024, 512, 2048, 4096]
# [[launch]]
# entry = "softmax_rows"
# grid = ["rows"]
# ///
# One program per row, in three passes over it: the maximum, the sum of exponentials, the quotients.
import triton
import triton.language as tl


@triton.jit
def softmax_rows(x, y, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * cols
    lanes = tl.arange(0, BLOCK)

    peaks = tl.full((BLOCK,), float("-inf"), tl.float32)
    for start in range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols, other=float("-inf")).to(tl.float32)
        peaks = tl.maximum(peaks, value)
    peak = tl.max(peaks, axis=0)

    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols, other=float("-inf")).to(tl.float32)
        sums += tl.exp(value - peak)
    total = tl.sum(sums, axis=0)

    for start in range(0, cols, BLOCK):
        col = start + lanes
        value = tl.load(x + row + col, mask=col < cols, other=float("-inf")).to(tl.float32)
        tl.store(y + row + col, tl.exp(value - peak) / total, mask=col < cols)
