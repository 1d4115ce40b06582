#: note blocks of whole rows, read once, by a program for each element; the exponential from the lookup table or not
#: rank 10
# /// kernel
# language = "triton"
# when = "cols <= 16384"
# [tune]
# TILE = [4096, 8192, 2048, 1024, 16384]
# TABLE = [0, 1]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2]
# [[launch]]
# entry = "softmax_rows"
# grid = ["min(num_units, cdiv(rows, max(1, TILE // next_pow2(cols))))"]
# args = { ROWS = "max(1, TILE // next_pow2(cols))", WIDTH = "next_pow2(cols)" }
# ///
# One pass over DRAM. TABLE takes the exponential from the SIMD engine's table, which is faster and less exact: whether
# it is exact enough is for the checks to say. One division for a row, and a product for each element.
import triton
import triton.language as tl


@triton.jit
def softmax_rows(x, y, rows, cols, ROWS: tl.constexpr, WIDTH: tl.constexpr, TABLE: tl.constexpr):
    col = tl.arange(0, WIDTH)[None, :]
    for first in tl.range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = (first + tl.arange(0, ROWS))[:, None]
        at = row.to(tl.int64) * cols + col
        inside = (row < rows) & (col < cols)
        value = tl.load(x + at, mask=inside, other=float("-inf")).to(tl.float32)
        peak = tl.max(value, axis=1)
        peak = tl.where(peak == float("-inf"), 0.0, peak)[:, None]
        share = tl.extra.libdevice.exp(value - peak) if TABLE else tl.exp(value - peak)
        result = share * (1.0 / tl.sum(share, axis=1))[:, None]
        tl.store(y + at, result.to(y.dtype.element_ty), mask=inside)
