# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 2048 * num_warps", "BLOCK >= 512 * num_warps"]
# [tune]
# PARTS = [8, 4, 2]
# BLOCK = [4096, 8192, 2048]
# num_warps = [8, 4, 2]
# [scratch.part_peak]
# shape = ["rows", "PARTS"]
# dtype = "float32"
# [scratch.part_sum]
# shape = ["rows", "PARTS"]
# dtype = "float32"
# [[launch]]
# entry = "cross_entropy_part"
# grid = ["rows * PARTS"]
# [[launch]]
# entry = "put_together"
# grid = ["cdiv(rows, 256)"]
# ///
#: note several programs per row, one pass; a second launch puts their maxima and sums together
#: rank 30
# As `online`, but a program has a part of a row: for few rows, and for shorter last turns. Parts are multiples of
# BLOCK wherever the row is long enough, so that most of their loads need no mask.
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
def cross_entropy_part(logits, part_peak, part_sum, classes, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    row = (tl.program_id(0) // PARTS).to(tl.int64)
    share = tl.cdiv(tl.cdiv(classes, PARTS), 16) * 16
    first = tl.program_id(0) % PARTS * share
    last = tl.minimum(first + share, classes)
    start_of_row = logits + row * classes
    VECTOR: tl.constexpr = 128 // logits.dtype.element_ty.primitive_bitwidth
    LANES: tl.constexpr = BLOCK // VECTOR
    index = tl.arange(0, LANES)[:, None] * VECTOR + tl.arange(0, VECTOR)[None, :]

    peaks = tl.full((LANES,), LOWEST, tl.float32)
    sums = tl.zeros((LANES,), tl.float32)
    for start in tl.range(first, last, BLOCK):
        inside = start + index < last
        value = tl.load(start_of_row + start + index, mask=inside, other=float("-inf"), eviction_policy="evict_first")
        peaks, sums = absorb(peaks, sums, value.to(tl.float32))
    peak = tl.max(peaks, axis=0)
    tl.store(part_peak + tl.program_id(0), peak)
    tl.store(part_sum + tl.program_id(0), tl.sum(sums * libdevice.exp2((peaks - peak) * LOG2E), axis=0))


@triton.jit
def put_together(logits, target, part_peak, part_sum, loss, rows, classes, PARTS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * 256 + tl.arange(0, 256)
    inside = row < rows
    at = row[:, None] * PARTS + tl.arange(0, PARTS)[None, :]
    peaks = tl.load(part_peak + at, mask=inside[:, None], other=0.0)
    sums = tl.load(part_sum + at, mask=inside[:, None], other=1.0)
    chosen = tl.load(logits + row * classes + tl.load(target + row, mask=inside, other=0), mask=inside, other=0.0)
    peak = tl.max(peaks, axis=1)
    total = tl.sum(sums * libdevice.exp2((peaks - peak[:, None]) * LOG2E), axis=1)
    tl.store(loss + row, tl.log(total) - (chosen.to(tl.float32) - peak), mask=inside)
