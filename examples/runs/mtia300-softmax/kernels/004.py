# /// kernel
# language = "triton"
# when = "cols <= 4096"
# [tune]
# cb_multiplier = [5, 4, 3]
# use_dual_core = [true]
# [[launch]]
# entry = "softmax_tables"
# grid = ["min(num_units, rows)"]
# args = { WIDTH = "next_pow2(cols)" }
# ///
# Persistent programs, one row a turn, ten rows in flight; exponentials from the lookup table.
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def softmax_tables(x, y, rows, cols, WIDTH: tl.constexpr):
    lanes = tl.arange(0, WIDTH)
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0)):
        offset = row.to(tl.int64) * cols + lanes
        value = tl.load(x + offset, mask=lanes < cols, other=float("-inf")).to(tl.float32)
        power = libdevice.exp(value - tl.max(value, axis=0))
        tl.store(y + offset, power * (1.0 / tl.sum(power, axis=0)), mask=lanes < cols)
