# /// kernel
# language = "triton"
# [tune]
# BLOCK_M = [32, 64, 128]
# BLOCK_N = [64, 32, 128]
# BLOCK_K = [32, 16, 64]
# [scratch.inner]
# shape = ["batch", "d", "k"]
# dtype = "float32"
# [[launch]]
# entry = "transposed_product"
# grid = ["batch * cdiv(d, BLOCK_M) * cdiv(k, BLOCK_N)"]
# [[launch]]
# entry = "product"
# grid = ["batch * cdiv(n, BLOCK_M) * cdiv(k, BLOCK_N)"]
# ///
# Two batched products, one program per tile of each: inner = x^T y, then out = x inner.
import triton
import triton.language as tl


@triton.jit
def transposed_product(x, y, inner, n, d, k, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    across = tl.cdiv(k, BLOCK_N)
    down = tl.cdiv(d, BLOCK_M)
    tile = tl.program_id(0)
    cols = tile % across * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = tile // across % down * BLOCK_M + tl.arange(0, BLOCK_M)
    sample = (tile // across // down).to(tl.int64)

    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, n, BLOCK_K):
        terms = start + tl.arange(0, BLOCK_K)
        left_inside = (rows[:, None] < d) & (terms[None, :] < n)
        right_inside = (terms[:, None] < n) & (cols[None, :] < k)
        left = tl.load(x + (sample * n + terms[None, :]) * d + rows[:, None], mask=left_inside, other=0.0)
        right = tl.load(y + (sample * n + terms[:, None]) * k + cols[None, :], mask=right_inside, other=0.0)
        total = tl.dot(left, right, total, input_precision="ieee")

    inside = (rows[:, None] < d) & (cols[None, :] < k)
    tl.store(inner + (sample * d + rows[:, None]) * k + cols[None, :], total, mask=inside)


@triton.jit
def product(x, inner, out, n, d, k, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    across = tl.cdiv(k, BLOCK_N)
    down = tl.cdiv(n, BLOCK_M)
    tile = tl.program_id(0)
    cols = tile % across * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = tile // across % down * BLOCK_M + tl.arange(0, BLOCK_M)
    sample = (tile // across // down).to(tl.int64)

    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, d, BLOCK_K):
        terms = start + tl.arange(0, BLOCK_K)
        left_inside = (rows[:, None] < n) & (terms[None, :] < d)
        right_inside = (terms[:, None] < d) & (cols[None, :] < k)
        left = tl.load(x + (sample * n + rows[:, None]) * d + terms[None, :], mask=left_inside, other=0.0)
        right = tl.load(inner + (sample * d + terms[:, None]) * k + cols[None, :], mask=right_inside, other=0.0)
        total = tl.dot(left, right.to(left.dtype), total, input_precision="ieee")

    inside = (rows[:, None] < n) & (cols[None, :] < k)
    tl.store(out + (sample * n + rows[:, None]) * k + cols[None, :], total, mask=inside)
