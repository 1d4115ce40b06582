#: note one program per row, one pass: each thread keeps its own maxima and sums, one rescaling for each 16 bytes
#: rank 10
# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 2048 * num_warps", "BLOCK >= 512 * num_warps"]
# [tune]
# BLOCK = [8192, 4096, 16384]
# STAGES = [1, 2, 3]
# num_warps = [8, 4, 16]
# [[launch]]
# entry = "cross_entropy_row"
# grid = ["rows"]
# ///
# 524 MB at 8192 x 32000 in bfloat16: 175 us at 3.0 TB/s. The exponentials matter too: two for each logit, as a plain
# online softmax has them, would keep the special function units (16 results a clock) busy for 140 us. Here a thread
# takes the maximum of the VECTOR logits of one 16-byte load first, so that it rescales its sum once for all of them.
# Thread-wise pairs of maximum and sum are put together once, at the end of the row.
import triton
import triton.language as tl
from triton.language.extra import libdevice

LOG2E = tl.constexpr(1.4426950408889634)
LOWEST = tl.constexpr(-3.4028234663852886e38)


@triton.jit
def absorb(peaks, sums, value):
    higher = tl.maximum(peaks, tl.max(value, axis=1))
    more = tl.sum(libdevice.exp2((value - higher[:, None]) * LOG2E), axis=1)
    return higher, sums * libdevice.exp2((peaks - higher) * LOG2E) + more


@triton.jit
def cross_entropy_row(logits, target, loss, classes, BLOCK: tl.constexpr, STAGES: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    start_of_row = logits + row * classes
    chosen = tl.load(start_of_row + tl.load(target + row)).to(tl.float32)
    VECTOR: tl.constexpr = 128 // logits.dtype.element_ty.primitive_bitwidth
    LANES: tl.constexpr = BLOCK // VECTOR
    index = tl.arange(0, LANES)[:, None] * VECTOR + tl.arange(0, VECTOR)[None, :]

    # The lowest number, not -inf: the difference of two infinities would be none.
    peaks = tl.full((LANES,), LOWEST, tl.float32)
    sums = tl.zeros((LANES,), tl.float32)
    whole = classes // BLOCK * BLOCK
    for start in tl.range(0, whole, BLOCK, num_stages=STAGES):
        value = tl.load(start_of_row + start + index, eviction_policy="evict_first").to(tl.float32)
        peaks, sums = absorb(peaks, sums, value)
    if whole < classes:
        inside = whole + index < classes
        value = tl.load(start_of_row + whole + index, mask=inside, other=float("-inf"), eviction_policy="evict_first")
        peaks, sums = absorb(peaks, sums, value.to(tl.float32))

    peak = tl.max(peaks, axis=0)
    total = tl.sum(sums * libdevice.exp2((peaks - peak) * LOG2E), axis=0)
    tl.store(loss + row, tl.log(total) - (chosen - peak))
