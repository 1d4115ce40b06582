# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 256, 64]
# [[launch]]
# entry = "k"
# grid = ["rows"]
# ///
# ruff: noqa: ERA001
import triton
import triton.language as tl


@triton.jit
def k(x, y, rows, cols, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    if row >= rows:
        return
    m = -float("inf")
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        v = tl.load(x + row.to(tl.int64) * cols + offs, mask=offs < cols, other=-float("inf"))
        v = v.to(tl.float32)
        m = tl.maximum(m, tl.max(v, axis=0))
    s = 0.0
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        v = tl.load(x + row.to(tl.int64) * cols + offs, mask=offs < cols, other=-float("inf"))
        v = v.to(tl.float32)
        s += tl.sum(tl.exp(v - m), axis=0)
    for c in range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        v = tl.load(x + row.to(tl.int64) * cols + offs, mask=offs < cols, other=0.0)
        out = tl.exp(v.to(tl.float32) - m) / s
        tl.store(y + row.to(tl.int64) * cols + offs, out, mask=offs < cols)
