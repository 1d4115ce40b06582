#: note (x x^T) y: the small symmetric product once per program and in registers, then y streams through it once
#: rank 10
# /// kernel
# language = "triton"
# when = "n <= 64"
# [tune]
# BLOCK_K = [64, 128, 256]
# BLOCK_D = [32, 64]
# SPLIT = [4, 2, 1, 8]
# num_warps = [4, 2, 8]
# num_stages = [4, 3, 2, 6]
# [[launch]]
# entry = "interactions"
# grid = ["batch * min(SPLIT, cdiv(k, BLOCK_K))"]
# args = { K = "k", splits = "min(SPLIT, cdiv(k, BLOCK_K))", N = "max(16, next_pow2(n))" }
# ///
# x x^T has n * n elements only, where x^T y has d * k: no intermediate leaves the registers. Rows of k = 2198 begin at
# multiples of 4 bytes only, so copies carry 4 bytes each; enough of them fly at once. Floor for 1024 x 24 x 224 x 2198
# in float16 on an H100: 227 MB at 3 TB/s are 76 us; rounded up to 32 rows, 5 GFLOP are nothing. Expected: 85 to 110 us.
import triton
import triton.language as tl


@triton.jit
def interactions(
    x, y, out, n, d, splits, K: tl.constexpr, N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr
):
    sample = (tl.program_id(0) // splits).to(tl.int64)
    part = tl.program_id(0) % splits
    row = tl.arange(0, N)
    term = tl.arange(0, BLOCK_D)

    gram = tl.zeros((N, N), tl.float32)
    for start in range(0, d, BLOCK_D):
        inside = (row[:, None] < n) & (start + term[None, :] < d)
        factor = tl.load(x + (sample * n + row[:, None]) * d + start + term[None, :], mask=inside, other=0.0)
        gram = tl.dot(factor, factor.T, gram, input_precision="ieee")
    gram = gram.to(y.dtype.element_ty)

    here, there = y + sample * n * K, out + sample * n * K
    # K is a constant, so that the compiler knows how far a row's start is aligned: even 4 bytes make one copy of two.
    for start in range(part * BLOCK_K, K, splits * BLOCK_K):
        col = start + tl.arange(0, BLOCK_K)
        place = row[:, None] * K + col[None, :]
        inside = (row[:, None] < n) & (col[None, :] < K)
        block = tl.load(here + place, mask=inside, other=0.0)
        product = tl.dot(gram, block, input_precision="ieee")
        tl.store(there + place, product.to(out.dtype.element_ty), mask=inside)
