# /// kernel
# language = "triton"
# [tune]
# BLOCK_M = [64, 32, 128]
# BLOCK_N = [64, 32, 128]
# BLOCK_K = [32, 16, 64]
# [[launch]]
# entry = "matmul"
# grid = ["cdiv(m, BLOCK_M) * cdiv(n, BLOCK_N)"]
# ///
# One program per tile of the product, which walks along the summed axis.
import triton
import triton.language as tl


@triton.jit
def matmul(a, b, c, m, n, k, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    tiles = tl.cdiv(n, BLOCK_N)
    tile = tl.program_id(0)
    rows = (tile // tiles * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    cols = tile % tiles * BLOCK_N + tl.arange(0, BLOCK_N)

    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, k, BLOCK_K):
        terms = start + tl.arange(0, BLOCK_K)
        left_inside = (rows[:, None] < m) & (terms[None, :] < k)
        right_inside = (terms[:, None] < k) & (cols[None, :] < n)
        left = tl.load(a + rows[:, None] * k + terms[None, :], mask=left_inside, other=0.0)
        right = tl.load(b + terms[:, None].to(tl.int64) * n + cols[None, :], mask=right_inside, other=0.0)
        total = tl.dot(left, right, total, input_precision="ieee")

    inside = (rows[:, None] < m) & (cols[None, :] < n)
    tl.store(c + rows[:, None] * n + cols[None, :], total, mask=inside)
