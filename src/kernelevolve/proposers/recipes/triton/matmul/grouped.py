#: note one program per tile, tiles in groups that share L2; pointers, asynchronous copies, any size and type
#: rank 30
# /// kernel
# language = "triton"
# constraints = ["BLOCK_M * BLOCK_N <= 4096 * num_warps", "num_stages * (BLOCK_M + BLOCK_N) * BLOCK_K <= 110000"]
# [tune]
# BLOCK_M = [128, 64, 256]
# BLOCK_N = [256, 128, 64]
# BLOCK_K = [64, 32]
# GROUP = [8, 16, 4]
# num_warps = [8, 4]
# num_stages = [3, 4, 2]
# [[launch]]
# entry = "matmul"
# grid = ["cdiv(m, BLOCK_M) * cdiv(n, BLOCK_N)"]
# args = { EVEN = "k % BLOCK_K == 0" }
# ///
# The textbook kernel for tensor cores: one tile per program, and num_stages tiles of each factor in flight. Floor for
# 8192 cubed in bfloat16 on an H100: 1375 us at 800 TFLOP/s; address arithmetic and copies through registers' lanes cost
# a quarter more. Expected: 1700 to 1900 us.
import triton
import triton.language as tl


@triton.jit
def matmul(
    a,
    b,
    c,
    m,
    n,
    k,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr,
    EVEN: tl.constexpr,
):
    down, across = tl.cdiv(m, BLOCK_M), tl.cdiv(n, BLOCK_N)
    tile = tl.program_id(0)
    first = tile // (GROUP * across) * GROUP
    height = min(down - first, GROUP)
    inside = tile % (GROUP * across)
    row = (first + inside % height) * BLOCK_M + tl.arange(0, BLOCK_M)
    col = inside // height * BLOCK_N + tl.arange(0, BLOCK_N)

    # Rows and columns beyond the edge wrap around: their products are computed and not stored, and no load needs a mask
    # in these directions.
    term = tl.arange(0, BLOCK_K)
    left = a + (row % m)[:, None].to(tl.int64) * k + term[None, :]
    right = b + term[:, None].to(tl.int64) * n + (col % n)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, k, BLOCK_K):
        if EVEN:
            first_factor, second_factor = tl.load(left), tl.load(right)
        else:
            first_factor = tl.load(left, mask=term[None, :] < k - start, other=0.0)
            second_factor = tl.load(right, mask=term[:, None] < k - start, other=0.0)
        total = tl.dot(first_factor, second_factor, total, input_precision="ieee")
        left += BLOCK_K
        right += BLOCK_K * n.to(tl.int64)

    place = c + row[:, None].to(tl.int64) * n + col[None, :]
    tl.store(place, total.to(c.dtype.element_ty), mask=(row[:, None] < m) & (col[None, :] < n))
