#: note (x x^T) y: the small symmetric product once per program and in registers, then y streams through it once
#: rank 10
# /// kernel
# language = "triton"
# when = "n <= 64"
# [tune]
# BLOCK_K = [128, 64, 256]
# BLOCK_D = [256, 32, 128, 64]
# SPLIT = [2, 4, 1, 8]
# num_warps = [8, 4, 2]
# num_stages = [4, 3, 2, 6]
# [[launch]]
# entry = "interactions"
# grid = ["batch * min(SPLIT, cdiv(k, BLOCK_K))"]
# args = { K = "k", splits = "min(SPLIT, cdiv(k, BLOCK_K))", N = "max(16, next_pow2(n))" }
# ///
# x x^T has n * n elements only, where x^T y has d * k: no intermediate leaves the registers. Rows of k = 2198 begin at
# multiples of 4 bytes only, so copies carry 4 bytes each; enough of them fly at once. Floor for 1024 x 24 x 224 x 2198
# in float16 on an H100: 227 MB at 3 TB/s are 76 us; rounded up to 32 rows, 5 GFLOP are nothing. Expected: 85 to 110 us.
# A BLOCK_D that takes all of d at once waits for device memory once before y can stream, a small one a piece at a time.
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

    # K is a constant, so that the compiler knows how far a row's start is aligned: even 4 bytes make one copy of two. A
    # block's first column is added to the pointers, not to the columns: what is left are constant distances.
    here, there = y + sample * n * K, out + sample * n * K
    col = tl.arange(0, BLOCK_K)
    place = row[:, None] * K + col[None, :]
    for block in range(part, K // BLOCK_K, splits):
        factor = tl.load(here + block * BLOCK_K + place, mask=row[:, None] < n, other=0.0)
        product = tl.dot(gram, factor, input_precision="ieee").to(out.dtype.element_ty)
        tl.store(there + block * BLOCK_K + place, product, mask=row[:, None] < n)
    if K % BLOCK_K > 0 and part == K // BLOCK_K % splits:
        rest = (row[:, None] < n) & (col[None, :] < K % BLOCK_K)
        factor = tl.load(here + K // BLOCK_K * BLOCK_K + place, mask=rest, other=0.0)
        product = tl.dot(gram, factor, input_precision="ieee").to(out.dtype.element_ty)
        tl.store(there + K // BLOCK_K * BLOCK_K + place, product, mask=rest)
