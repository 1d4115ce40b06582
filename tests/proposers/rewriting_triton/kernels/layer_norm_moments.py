# /// kernel
# language = "triton"
# [tune]
# BLOCK = [128, 64]
# [[launch]]
# entry = "norm"
# grid = ["rows"]
# ///
# ruff: noqa: ERA001
import triton
import triton.language as tl


@triton.jit
def norm(x, weight, bias, y, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    base = x + row * cols
    mean = 0.0
    for off in range(0, cols, BLOCK):
        c = off + tl.arange(0, BLOCK)
        a = tl.load(base + c, mask=c < cols, other=0.0).to(tl.float32)
        mean += tl.sum(a, axis=0)
    mean = mean / cols
    var = tl.zeros([BLOCK], dtype=tl.float32)
    for off in range(0, cols, BLOCK):
        c = off + tl.arange(0, BLOCK)
        a = tl.load(base + c, mask=c < cols, other=0.0).to(tl.float32)
        d = tl.where(c < cols, a - mean, 0.0)
        var += d * d
    rstd = 1 / tl.sqrt(tl.sum(var, axis=0) / cols + eps)
    for off in range(0, cols, BLOCK):
        c = off + tl.arange(0, BLOCK)
        mask = c < cols
        w = tl.load(weight + c, mask=mask)
        b = tl.load(bias + c, mask=mask)
        a = tl.load(base + c, mask=mask, other=0.0).to(tl.float32)
        tl.store(y + row * cols + c, (a - mean) * rstd * w + b, mask=mask)
