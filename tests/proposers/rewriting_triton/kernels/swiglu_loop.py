# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 256]
# [[launch]]
# entry = "k"
# grid = ["rows"]
# ///
# ruff: noqa: ERA001
import triton
import triton.language as tl


@triton.jit
def k(gate, up, y, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * cols
    lanes = tl.arange(0, BLOCK)
    for start in range(0, cols, BLOCK):
        col = start + lanes
        mask = col < cols
        g = tl.load(gate + row + col, mask=mask).to(tl.float32)
        u = tl.load(up + row + col, mask=mask).to(tl.float32)
        tl.store(y + row + col, g * tl.sigmoid(g) * u, mask=mask)
