# /// kernel
# language = "triton"
# [tune]
# BLOCK = [256, 128]
# [[launch]]
# entry = "norm"
# grid = ["rows"]
# ///
# ruff: noqa: ERA001
import triton
import triton.language as tl


@triton.jit
def mean_square(p, cols, BLOCK: tl.constexpr):
    total = 0.0
    for c in tl.range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        v = tl.load(p + offs, mask=offs < cols, other=0.0).to(tl.float32)
        total += tl.sum(v * v, axis=0)
    return total / cols


@triton.jit
def norm(x, weight, y, cols, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    x += row * cols
    y += row * cols
    r = 1 / tl.sqrt(mean_square(x, cols, BLOCK) + eps)
    for c in tl.range(0, cols, BLOCK):
        offs = c + tl.arange(0, BLOCK)
        inside = offs < cols
        w = tl.load(weight + offs, mask=inside, other=0.0).to(tl.float32)
        v = tl.load(x + offs, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + offs, v * r * w, mask=inside)
