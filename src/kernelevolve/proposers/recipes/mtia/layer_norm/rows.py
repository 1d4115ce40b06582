#: note blocks of whole rows, read once, by a program for each element: mean, centred squares, result
#: rank 10
# /// kernel
# language = "triton"
# when = "cols <= 8192"
# [tune]
# TILE = [4096, 8192, 2048, 1024]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2]
# [[launch]]
# entry = "layer_norm_rows"
# grid = ["min(num_units, cdiv(rows, max(1, TILE // next_pow2(cols))))"]
# args = { ROWS = "max(1, TILE // next_pow2(cols))", WIDTH = "next_pow2(cols)" }
# ///
# One pass over DRAM; weight and bias are read once by each program. The next rows come in while one block is computed.
import triton
import triton.language as tl


@triton.jit
def layer_norm_rows(x, weight, bias, y, rows, cols, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    col = tl.arange(0, WIDTH)[None, :]
    factor = tl.load(weight + col, mask=col < cols, other=0.0).to(tl.float32)
    shift = tl.load(bias + col, mask=col < cols, other=0.0).to(tl.float32)
    for first in tl.range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = (first + tl.arange(0, ROWS))[:, None]
        at = row.to(tl.int64) * cols + col
        inside = (row < rows) & (col < cols)
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        mean = tl.sum(value, axis=1) / cols
        centred = tl.where(inside, value - mean[:, None], 0.0)
        scale = 1.0 / tl.sqrt(tl.sum(centred * centred, axis=1) / cols + eps)
        result = centred * scale[:, None] * factor + shift
        tl.store(y + at, result.to(y.dtype.element_ty), mask=inside)
