#: note whole rows, read once, by a program for each element; the exponential from the lookup table or not
#: rank 10
# /// kernel
# language = "triton"
# when = "classes <= 16384"
# [tune]
# TILE = [8192, 4096, 2048, 16384]
# TABLE = [0, 1]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2]
# [[launch]]
# entry = "cross_entropy_rows"
# grid = ["min(num_units, cdiv(rows, max(1, TILE // next_pow2(classes))))"]
# args = { ROWS = "max(1, TILE // next_pow2(classes))", WIDTH = "next_pow2(classes)" }
# ///
# One pass over DRAM. TABLE takes the exponential from the SIMD engine's table, which is faster and less exact: whether
# it is exact enough is for the checks to say.
import triton
import triton.language as tl


@triton.jit
def cross_entropy_rows(
    logits, target, loss, rows, classes, ROWS: tl.constexpr, WIDTH: tl.constexpr, TABLE: tl.constexpr
):
    col = tl.arange(0, WIDTH)[None, :]
    for first in tl.range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = first + tl.arange(0, ROWS)
        start = row.to(tl.int64) * classes
        inside = (row < rows)[:, None] & (col < classes)
        value = tl.load(logits + start[:, None] + col, mask=inside, other=float("-inf")).to(tl.float32)
        chosen = tl.load(target + row, mask=row < rows, other=0)
        picked = tl.load(logits + start + chosen, mask=row < rows, other=0.0).to(tl.float32)
        peak = tl.where(row < rows, tl.max(value, axis=1), 0.0)
        difference = value - peak[:, None]
        share = tl.extra.libdevice.exp(difference) if TABLE else tl.exp(difference)
        result = tl.log(tl.sum(share, axis=1)) - (picked - peak)
        tl.store(loss + row, result.to(loss.dtype.element_ty), mask=row < rows)
