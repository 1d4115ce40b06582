# /// kernel
# language = "triton"
# when = "cols <= 4096"
# [tune]
# num_stages = [3, 2, 4, 6]
# [[launch]]
# entry = "softmax_stream"
# grid = ["min(num_units, rows)"]
# args = { WIDTH = "next_pow2(cols)", share = "cdiv(rows, min(num_units, rows))" }
# ///
# Persistent programs; each streams a consecutive run of rows, one row at a time, several in flight. Powers of two.
import triton
import triton.language as tl


@triton.jit
def softmax_stream(x, y, rows, cols, share, WIDTH: tl.constexpr):
    lanes = tl.arange(0, WIDTH)
    inside = lanes < cols
    first = tl.program_id(0) * share
    end = tl.minimum(first + share, rows)
    for row in tl.range(first, end):
        base = row.to(tl.int64) * cols
        value = tl.load(x + base + lanes, mask=inside, other=float("-inf")).to(tl.float32)
        value = (value - tl.max(value, axis=0)) * 1.4426950408889634
        power = tl.exp2(value)
        factor = 1.0 / tl.sum(power, axis=0)
        tl.store(y + base + lanes, power * factor, mask=inside)
