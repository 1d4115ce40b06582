# /// kernel
# language = "triton"
# when = "cols <= 4096"
# [tune]
# ROWS = [8, 4, 1, 2, 16]
# num_stages = [2, 1, 3]
# [[launch]]
# entry = "softmax_tiles"
# grid = ["min(num_units, cdiv(rows, ROWS))"]
# args = { WIDTH = "next_pow2(cols)" }
# ///
# Persistent programs; each walks tiles of whole rows, read once, kept in local memory, one exponential per element.
import triton
import triton.language as tl


@triton.jit
def softmax_tiles(x, y, rows, cols, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    lanes = tl.arange(0, WIDTH)
    deep = tl.arange(0, ROWS)
    tiles = tl.cdiv(rows, ROWS)
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0)):
        row = (tile * ROWS + deep).to(tl.int64)
        inside = (row[:, None] < rows) & (lanes[None, :] < cols)
        offset = row[:, None] * cols + lanes[None, :]
        value = tl.load(x + offset, mask=inside, other=float("-inf")).to(tl.float32)
        peak = tl.max(value, axis=1)
        peak = tl.where(row < rows, peak, 0.0)
        power = tl.exp(value - peak[:, None])
        total = tl.where(row < rows, tl.sum(power, axis=1), 1.0)
        share = 1.0 / total
        tl.store(y + offset, power * share[:, None], mask=inside)
