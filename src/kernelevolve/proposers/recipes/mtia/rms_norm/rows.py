#: note blocks of whole rows, read once, by a program for each element
#: rank 10
# /// kernel
# language = "triton"
# when = "cols <= 16384"
# [tune]
# TILE = [4096, 8192, 2048, 1024, 16384]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2]
# [[launch]]
# entry = "rms_norm_rows"
# grid = ["min(num_units, cdiv(rows, max(1, TILE // next_pow2(cols))))"]
# args = { ROWS = "max(1, TILE // next_pow2(cols))", WIDTH = "next_pow2(cols)" }
# ///
# One pass over DRAM; the weight is read once by each program. The next rows come in while one block is computed.
import triton
import triton.language as tl


@triton.jit
def rms_norm_rows(x, weight, y, rows, cols, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    col = tl.arange(0, WIDTH)[None, :]
    factor = tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32)
    for first in tl.range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = (first + tl.arange(0, ROWS))[:, None]
        at = row.to(tl.int64) * cols + col
        inside = (row < rows) & (col < cols)
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        scale = 1.0 / tl.sqrt(tl.sum(value * value, axis=1) / cols + eps)
        result = value * scale[:, None] * factor
        tl.store(y + at, result.to(y.dtype.element_ty), mask=inside)
