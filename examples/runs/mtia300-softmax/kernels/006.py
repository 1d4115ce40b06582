# /// kernel
# language = "triton"
# [tune]
# cb_multiplier = [4, 3, 5]
# use_dual_core = [true, false]
# [[launch]]
# entry = "softmax_rows"
# grid = ["min(num_units, rows)"]
# args = { WIDTH = "min(next_pow2(cols), 4096)", DEEP = "max(1, 1024 // next_pow2(cols))" }
# ///
# Persistent programs. Rows that fit are read once, a tile of about 1024 elements a turn, many in flight; wider ones are walked twice, with one
# running maximum and sum. Exponentials from the lookup table.
import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def softmax_rows(x, y, rows, cols, WIDTH: tl.constexpr, DEEP: tl.constexpr):
    lanes = tl.arange(0, WIDTH)
    if cols <= WIDTH:
        deep = tl.arange(0, DEEP)
        for tile in tl.range(tl.program_id(0), tl.cdiv(rows, DEEP), tl.num_programs(0)):
            row = (tile * DEEP + deep).to(tl.int64)
            inside = (row[:, None] < rows) & (lanes[None, :] < cols)
            offset = row[:, None] * cols + lanes[None, :]
            value = tl.load(x + offset, mask=inside, other=-3.0e38).to(tl.float32)
            power = libdevice.exp(value - tl.max(value, axis=1)[:, None])
            power = tl.where(lanes[None, :] < cols, power, 0.0)
            tl.store(y + offset, power * (1.0 / tl.sum(power, axis=1))[:, None], mask=inside)
    else:
        for row in tl.range(tl.program_id(0), rows, tl.num_programs(0)):
            base = row.to(tl.int64) * cols
            peak = tl.full((), -3.0e38, tl.float32)
            total = tl.full((), 0.0, tl.float32)
            for start in range(0, cols, WIDTH):
                inside = start + lanes < cols
                value = tl.load(x + base + start + lanes, mask=inside, other=float("-inf")).to(tl.float32)
                high = tl.maximum(peak, tl.max(value, axis=0))
                total = total * tl.exp(peak - high) + tl.sum(libdevice.exp(value - high), axis=0)
                peak = high
            factor = 1.0 / total
            for start in range(0, cols, WIDTH):
                inside = start + lanes < cols
                value = tl.load(x + base + start + lanes, mask=inside, other=float("-inf")).to(tl.float32)
                tl.store(y + base + start + lanes, libdevice.exp(value - peak) * factor, mask=inside)
