# /// kernel
# language = "triton"
# when = "cols <= 4096"
# constraints = ["ROWS == 1 or ROWS * next_pow2(cols) <= 4096"]
# [tune]
# ROWS = [2, 1, 4]
# cb_multiplier = [4, 2]
# use_dual_core = [true, false]
# [[launch]]
# entry = "softmax_tables"
# grid = ["min(num_units, cdiv(rows, ROWS))"]
# args = { WIDTH = "next_pow2(cols)" }
# ///
# Persistent programs over small tiles of whole rows, many in flight; exponentials from the lookup table.
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def softmax_tables(x, y, rows, cols, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    lanes = tl.arange(0, WIDTH)
    deep = tl.arange(0, ROWS)
    for tile in tl.range(tl.program_id(0), tl.cdiv(rows, ROWS), tl.num_programs(0)):
        row = (tile * ROWS + deep).to(tl.int64)
        inside = (row[:, None] < rows) & (lanes[None, :] < cols)
        offset = row[:, None] * cols + lanes[None, :]
        value = tl.load(x + offset, mask=inside, other=-1e38).to(tl.float32)
        power = libdevice.exp(value - tl.max(value, axis=1)[:, None])
        power = tl.where(lanes[None, :] < cols, power, 0.0)
        factor = 1.0 / tl.sum(power, axis=1)
        tl.store(y + offset, power * factor[:, None], mask=inside)
