# /// kernel
# language = "triton"
# when = "cols <= 4096"
# constraints = ["ROWS == 1 or ROWS * next_pow2(cols) <= 8192"]
# [tune]
# ROWS = [8, 4, 1, 2, 16]
# num_stages = [2, 1, 3]
# [[launch]]
# entry = "layer_norm_tiles"
# grid = ["min(num_units, cdiv(rows, ROWS))"]
# args = { WIDTH = "next_pow2(cols)" }
# ///
# Persistent programs; weight and bias are read once, each tile of whole rows is read once and kept in local memory.
import triton
import triton.language as tl


@triton.jit
def layer_norm_tiles(x, weight, bias, y, rows, cols, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    lanes = tl.arange(0, WIDTH)
    used = lanes < cols
    scale = tl.load(weight + lanes, mask=used, other=0.0).to(tl.float32)
    shift = tl.load(bias + lanes, mask=used, other=0.0).to(tl.float32)
    deep = tl.arange(0, ROWS)
    tiles = tl.cdiv(rows, ROWS)
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0)):
        row = (tile * ROWS + deep).to(tl.int64)
        inside = (row[:, None] < rows) & used[None, :]
        offset = row[:, None] * cols + lanes[None, :]
        value = tl.load(x + offset, mask=inside, other=0.0).to(tl.float32)
        mean = tl.sum(value, axis=1) / cols
        deviation = tl.where(inside, value - mean[:, None], 0.0)
        root = tl.sqrt(tl.sum(deviation * deviation, axis=1) / cols + eps)
        factor = 1.0 / root
        tl.store(y + offset, deviation * factor[:, None] * scale[None, :] + shift[None, :], mask=inside)
