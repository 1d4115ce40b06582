# /// kernel
# language = "triton"
# [tune]
# BLOCK = [256, 128]
# [scratch.act]
# shape = ["rows", "cols"]
# [[launch]]
# entry = "activate"
# grid = ["rows", "cdiv(cols, BLOCK)"]
# [[launch]]
# entry = "scale"
# grid = ["cdiv(rows * cols, BLOCK)"]
# args = { n = "rows * cols" }
# ///
# ruff: noqa: ERA001
import triton
import triton.language as tl


@triton.jit
def activate(gate, act, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = col < cols
    g = tl.load(gate + row * cols + col, mask=inside, other=0.0).to(tl.float32)
    tl.store(act + row * cols + col, g * tl.sigmoid(g), mask=inside)


@triton.jit
def scale(act, up, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    value = tl.load(act + i, mask=inside, other=0.0)
    factor = tl.load(up + i, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + i, value * factor, mask=inside)
