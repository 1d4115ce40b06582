# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 256]
# [[launch]]
# entry = "k"
# grid = ["rows", "cdiv(cols, BLOCK)"]
# ///
# ruff: noqa: ERA001
import triton
import triton.language as tl


@triton.jit
def k(gate, up, y, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = col < cols
    g = tl.load(gate + row * cols + col, mask=mask).to(tl.float32)
    u = tl.load(up + row * cols + col, mask=mask).to(tl.float32)
    tl.store(y + row * cols + col, g * tl.sigmoid(g) * u, mask=mask)
