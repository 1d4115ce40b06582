# /// kernel
# language = "triton"
# [tune]
# BLOCK_M = [32, 16]
# BLOCK_N = [32, 64]
# BLOCK_K = [32, 16]
# BLOCK = [256, 1024]
# [scratch.raw]
# shape = ["m", "n"]
# [[launch]]
# entry = "product"
# grid = ["cdiv(m, BLOCK_M)", "cdiv(n, BLOCK_N)"]
# [[launch]]
# entry = "finish"
# grid = ["cdiv(m * n, BLOCK)"]
# args = { total = "m * n" }
# ///
# ruff: noqa: ERA001
# The product of matrices, and a second launch that gives it the type of the result.
import triton
import triton.language as tl


@triton.jit
def product(a, b, raw, m, n, k, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, k, BLOCK_K):
        terms = start + tl.arange(0, BLOCK_K)
        left = tl.load(
            a + rows[:, None] * k + terms[None, :], mask=(rows[:, None] < m) & (terms[None, :] < k), other=0.0
        )
        right = tl.load(
            b + terms[:, None] * n + cols[None, :], mask=(terms[:, None] < k) & (cols[None, :] < n), other=0.0
        )
        sums += tl.dot(left, right, input_precision="ieee")
    place = raw + rows[:, None] * n + cols[None, :]
    tl.store(place, sums, mask=(rows[:, None] < m) & (cols[None, :] < n))


@triton.jit
def finish(raw, c, total, BLOCK: tl.constexpr):
    index = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = index < total
    value = tl.load(raw + index, mask=inside, other=0.0)
    tl.store(c + index, value * 1.0, mask=inside)
