# /// kernel
# language = "triton"
# [tune]
# BLOCK_M = [32, 64]
# BLOCK_N = [64, 32, 128]
# BLOCK_K = [32, 16, 64]
# BLOCK = [256, 128, 512, 1024]
# [scratch.inner]
# shape = ["batch", "tokens", "hidden"]
# dtype = "float32"
# [scratch.outer]
# shape = ["batch", "tokens", "width"]
# dtype = "float32"
# [[launch]]
# entry = "expand"
# grid = ["batch * cdiv(tokens, BLOCK_M) * cdiv(hidden, BLOCK_N)"]
# [[launch]]
# entry = "normalise_inner"
# grid = ["batch * tokens"]
# [[launch]]
# entry = "contract"
# grid = ["batch * cdiv(tokens, BLOCK_M) * cdiv(width, BLOCK_N)"]
# [[launch]]
# entry = "normalise_outer"
# grid = ["batch * tokens"]
# ///
# Four steps: product and GELU, normalisation in place, product, normalisation. The products have one program per tile,
# the normalisations one per row.
import triton
import triton.language as tl


@triton.jit
def batched_tile(a, b, m, n, k, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    # This program's tile of the product of a (batch, m, k) and b (batch, k, n): where it lies, which part of it is
    # inside, and its elements.
    across = tl.cdiv(n, BLOCK_N)
    down = tl.cdiv(m, BLOCK_M)
    tile = tl.program_id(0)
    cols = tile % across * BLOCK_N + tl.arange(0, BLOCK_N)
    rows = tile // across % down * BLOCK_M + tl.arange(0, BLOCK_M)
    sample = (tile // across // down).to(tl.int64)

    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, k, BLOCK_K):
        terms = start + tl.arange(0, BLOCK_K)
        left_inside = (rows[:, None] < m) & (terms[None, :] < k)
        right_inside = (terms[:, None] < k) & (cols[None, :] < n)
        left = tl.load(a + (sample * m + rows[:, None]) * k + terms[None, :], mask=left_inside, other=0.0)
        right = tl.load(b + (sample * k + terms[:, None]) * n + cols[None, :], mask=right_inside, other=0.0)
        total = tl.dot(left.to(right.dtype), right, total, input_precision="ieee")

    place = (sample * m + rows[:, None]) * n + cols[None, :]
    return place, (rows[:, None] < m) & (cols[None, :] < n), total


@triton.jit
def root_mean_square(row, count, eps, BLOCK: tl.constexpr):
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, count, BLOCK):
        col = start + tl.arange(0, BLOCK)
        value = tl.load(row + col, mask=col < count, other=0.0)
        squares += value * value
    return tl.sqrt(tl.sum(squares, axis=0) / count + eps)


@triton.jit
def expand(x, w1, inner, tokens, width, hidden, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    place, inside, total = batched_tile(x, w1, tokens, hidden, width, BLOCK_M, BLOCK_N, BLOCK_K)
    gelu = 0.5 * total * (1.0 + tl.erf(total * 0.7071067811865476))
    tl.store(inner + place, gelu, mask=inside)


@triton.jit
def normalise_inner(inner, g1, hidden, eps, BLOCK: tl.constexpr):
    row = inner + tl.program_id(0).to(tl.int64) * hidden
    root = root_mean_square(row, hidden, eps, BLOCK)
    for start in range(0, hidden, BLOCK):
        col = start + tl.arange(0, BLOCK)
        inside = col < hidden
        value = tl.load(row + col, mask=inside, other=0.0)
        gain = tl.load(g1 + col, mask=inside, other=0.0).to(tl.float32)
        tl.store(row + col, value / root * gain, mask=inside)


@triton.jit
def contract(
    inner, w2, outer, tokens, width, hidden, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
):
    place, inside, total = batched_tile(inner, w2, tokens, width, hidden, BLOCK_M, BLOCK_N, BLOCK_K)
    tl.store(outer + place, total, mask=inside)


@triton.jit
def normalise_outer(outer, g2, y, width, eps, BLOCK: tl.constexpr):
    start_of_row = tl.program_id(0).to(tl.int64) * width
    root = root_mean_square(outer + start_of_row, width, eps, BLOCK)
    for start in range(0, width, BLOCK):
        col = start + tl.arange(0, BLOCK)
        inside = col < width
        value = tl.load(outer + start_of_row + col, mask=inside, other=0.0)
        gain = tl.load(g2 + col, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + start_of_row + col, value / root * gain, mask=inside)
