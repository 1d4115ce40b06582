#: note float32 as three bfloat16 parts: six products on the dot engine give float32's precision
#: rank 10
# /// kernel
# language = "triton"
# constraints = ["(BLOCK_M + BLOCK_N) * BLOCK_K * cb_multiplier <= 16384"]
# [tune]
# BLOCK_M = [64, 128, 32]
# BLOCK_N = [128, 64, 32]
# BLOCK_K = [64, 32, 128]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2]
# [[launch]]
# entry = "matmul"
# grid = ["min(num_units, cdiv(m, BLOCK_M) * cdiv(n, BLOCK_N))"]
# ///
# The dot engine takes no float32, and the SIMD engine that does is 32 times slower. A float32 is the sum of three
# bfloat16 (8 bits of mantissa each) to its last bit; of the nine products of parts, the three smallest are below
# float32's own rounding. The parts have float32's range: no scaling. Narrower types need one product.
import triton
import triton.language as tl


@triton.jit
def product(left, right, total):
    if left.dtype == tl.float32:
        left0, right0 = left.to(tl.bfloat16), right.to(tl.bfloat16)
        left, right = left - left0.to(tl.float32), right - right0.to(tl.float32)
        left1, right1 = left.to(tl.bfloat16), right.to(tl.bfloat16)
        left2 = (left - left1.to(tl.float32)).to(tl.bfloat16)
        right2 = (right - right1.to(tl.float32)).to(tl.bfloat16)
        total = tl.dot(left0, right2, total)
        total = tl.dot(left2, right0, total)
        total = tl.dot(left1, right1, total)
        total = tl.dot(left0, right1, total)
        total = tl.dot(left1, right0, total)
        total = tl.dot(left0, right0, total)
    else:
        total = tl.dot(left, right, total)
    return total


@triton.jit
def matmul(a, b, c, m, n, k, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    down, across = tl.cdiv(m, BLOCK_M), tl.cdiv(n, BLOCK_N)
    for tile in tl.range(tl.program_id(0), down * across, tl.num_programs(0)):
        rows = (tile % down * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)[:, None]
        cols = (tile // down * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for start in range(0, k, BLOCK_K):
            terms = start + tl.arange(0, BLOCK_K)
            left = tl.load(a + rows * k + terms[None, :], mask=(rows < m) & (terms[None, :] < k), other=0.0)
            at = b + terms[:, None].to(tl.int64) * n + cols
            right = tl.load(at, mask=(terms[:, None] < k) & (cols < n), other=0.0)
            total = product(left, right, total)
        tl.store(c + rows * n + cols, total.to(c.dtype.element_ty), mask=(rows < m) & (cols < n))
