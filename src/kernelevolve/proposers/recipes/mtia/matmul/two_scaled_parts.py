#: note float32 as two float16 parts of scaled tiles: three products on the dot engine; conversions run a turn ahead
#: rank 20
# /// kernel
# language = "triton"
# when = 'dtype(a) == "float32"'
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
# Two float16 hold 22 bits of a float32, but not its range: a power of two for each row of a tile of a and each column
# of one of b brings it there and back, exactly. Half the products of three bfloat16 parts, and more work around them.
# While the dot engine multiplies one turn's parts, the SIMD engine scales the last turn's and converts the next one's.
import triton
import triton.language as tl


@triton.jit
def halves(tile, axis: tl.constexpr):
    # A power of two brings the largest magnitude along `axis` to about 2**8; then two float16 hold 22 bits.
    largest = tl.max(tl.abs(tile), axis=axis, keep_dims=True)
    exponent = tl.maximum(largest.to(tl.int32, bitcast=True) >> 23, 16)
    scaled = tile * ((262 - exponent) << 23).to(tl.float32, bitcast=True)
    high = scaled.to(tl.float16)
    low = (scaled - high.to(tl.float32)).to(tl.float16)
    return high, low, ((exponent - 8) << 23).to(tl.float32, bitcast=True)


@triton.jit
def matmul(a, b, c, m, n, k, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    down, across = tl.cdiv(m, BLOCK_M), tl.cdiv(n, BLOCK_N)
    term = tl.arange(0, BLOCK_K)
    for tile in tl.range(tl.program_id(0), down * across, tl.num_programs(0)):
        rows = (tile % down * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)[:, None]
        cols = (tile // down * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
        left = tl.load(a + rows * k + term[None, :], mask=(rows < m) & (term[None, :] < k), other=0.0)
        right = tl.load(b + term[:, None].to(tl.int64) * n + cols, mask=(term[:, None] < k) & (cols < n), other=0.0)
        left0, left1, up = halves(left, 1)
        right0, right1, wide = halves(right, 0)
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        done = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        done_up, done_wide = tl.zeros((BLOCK_M, 1), tl.float32), tl.zeros((1, BLOCK_N), tl.float32)
        for start in range(BLOCK_K, k + BLOCK_K, BLOCK_K):
            terms = start + term
            left = tl.load(a + rows * k + terms[None, :], mask=(rows < m) & (terms[None, :] < k), other=0.0)
            at = b + terms[:, None].to(tl.int64) * n + cols
            right = tl.load(at, mask=(terms[:, None] < k) & (cols < n), other=0.0)
            next_left0, next_left1, next_up = halves(left, 1)
            next_right0, next_right1, next_wide = halves(right, 0)
            total += done * done_up * done_wide
            done = tl.dot(left0, right1)
            done = tl.dot(left1, right0, done)
            done = tl.dot(left0, right0, done)
            done_up, done_wide = up, wide
            left0, left1, up = next_left0, next_left1, next_up
            right0, right1, wide = next_right0, next_right1, next_wide
        total += done * done_up * done_wide
        tl.store(c + rows * n + cols, total.to(c.dtype.element_ty), mask=(rows < m) & (cols < n))
