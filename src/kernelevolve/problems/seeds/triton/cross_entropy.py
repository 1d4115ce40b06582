# /// kernel
# language = "triton"
# [tune]
# BLOCK = [1024, 512, 2048, 4096]
# [[launch]]
# entry = "cross_entropy_rows"
# grid = ["rows"]
# ///
# One program per row, in two passes over it: the maximum, then the sum of exponentials.
import triton
import triton.language as tl


@triton.jit
def cross_entropy_rows(logits, target, loss, classes, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    start_of_row = logits + row * classes
    lanes = tl.arange(0, BLOCK)

    peaks = tl.full((BLOCK,), float("-inf"), tl.float32)
    for start in range(0, classes, BLOCK):
        index = start + lanes
        value = tl.load(start_of_row + index, mask=index < classes, other=float("-inf")).to(tl.float32)
        peaks = tl.maximum(peaks, value)
    peak = tl.max(peaks, axis=0)

    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, classes, BLOCK):
        index = start + lanes
        value = tl.load(start_of_row + index, mask=index < classes, other=float("-inf")).to(tl.float32)
        sums += tl.exp(value - peak)
    total = tl.sum(sums, axis=0)

    chosen = tl.load(start_of_row + tl.load(target + row)).to(tl.float32)
    tl.store(loss + row, tl.log(total) - (chosen - peak))
