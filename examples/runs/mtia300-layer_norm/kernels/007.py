# /// kernel
# language = "triton"
# when = "cols <= 4096"
# constraints = ["ROWS == 1 or ROWS * next_pow2(cols) <= 8192"]
# [tune]
# ROWS = [8, 4, 2]
# cb_multiplier = [2, 1]
# use_dual_core = [true]
# [[launch]]
# entry = "layer_norm_tiles"
# grid = ["min(num_units, cdiv(rows, ROWS))"]
# args = { WIDTH = "next_pow2(cols)" }
# ///
# Persistent programs; weight and bias are read once; small tiles of whole rows, many in flight by the second core. The
# reciprocal root comes from the tables of exp and log and one step of Newton, so that no core waits for a sum.
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def layer_norm_tiles(x, weight, bias, y, rows, cols, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    lanes = tl.arange(0, WIDTH)
    used = lanes < cols
    deep = tl.arange(0, ROWS)
    row = (tl.program_id(0) * ROWS + deep).to(tl.int64)
    inside = (row[:, None] < rows) & used[None, :]
    value = tl.load(x + row[:, None] * cols + lanes[None, :], mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(weight + lanes, mask=used, other=0.0).to(tl.float32)
    shift = tl.load(bias + lanes, mask=used, other=0.0).to(tl.float32)
    part = 1.0 / cols
    for tile in tl.range(tl.program_id(0), tl.cdiv(rows, ROWS), tl.num_programs(0)):
        later = ((tile + tl.num_programs(0)) * ROWS + deep).to(tl.int64)
        there = (later[:, None] < rows) & used[None, :]
        coming = tl.load(x + later[:, None] * cols + lanes[None, :], mask=there, other=0.0).to(tl.float32)
        row = (tile * ROWS + deep).to(tl.int64)
        inside = (row[:, None] < rows) & used[None, :]
        mean = tl.sum(value, axis=1) * part
        deviation = tl.where(used[None, :], value - mean[:, None], 0.0)
        square = tl.sum(deviation * deviation, axis=1) * part + eps
        factor = libdevice.exp(libdevice.log(square) * -0.5)
        factor = factor * (1.5 - 0.5 * square * factor * factor)
        tl.store(
            y + row[:, None] * cols + lanes[None, :],
            deviation * factor[:, None] * scale[None, :] + shift[None, :],
            mask=inside,
        )
        value = coming
