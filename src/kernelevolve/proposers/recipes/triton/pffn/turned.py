#: note one launch, both products turned, so that all warps share the hidden columns and not the few tokens
#: rank 5
# /// kernel
# language = "triton"
# when = 'width <= 256 and hidden <= 512 and dtype(x) != "float32"'
# [tune]
# BLOCK_H = [128, 64]
# SHORT = [1, 0]
# num_warps = [8, 4]
# num_stages = [3, 2]
# [[launch]]
# entry = "feed_forward"
# grid = ["batch * cdiv(tokens, 64)"]
# args = { WIDTH = "width", HIDDEN = "hidden" }
# ///
# A warp group multiplies 64 rows at once: with 64 tokens as rows, eight warps would compute every hidden column twice.
# Turned, hidden columns are the rows, 128 at a time, and tokens the columns. 192 columns are two turns of a loop, whose
# copies are all asked for before the first product and go to shared memory by themselves (216 KB). A width of 192 is a
# piece of 128 and one of 64: nothing is padded.
# Floor for 128 x 64 x 192 x 192 in float16 on an H100: 25 MB at 3 TB/s are 8 us, a launch 3 us. Expected: 14 to 18 us.
# SHORT: GELU(v) = max(v, 0) - |v| (1 - erf(|v| / sqrt(2))) / 2 with erf from five terms and an exponential (Abramowitz
# and Stegun 7.1.26, at most 1.5e-7 off).
import triton
import triton.language as tl


@triton.jit
def gelu(value, SHORT: tl.constexpr):
    if not SHORT:
        return 0.5 * value * (1.0 + tl.erf(value * 0.7071067811865476))
    size = tl.abs(value)
    t = 1.0 / (1.0 + 0.23164189 * size)
    terms = (((0.5307027145 * t - 0.726576013) * t + 0.7107068705) * t - 0.142248368) * t + 0.127414796
    return tl.maximum(value, 0.0) - size * (terms * t * tl.exp2(value * value * -0.7213475204444817))


@triton.jit
def tile(matrix, row, rows, col, cols: tl.constexpr):
    inside = (row[:, None] < rows) & (col[None, :] < cols)
    return tl.load(matrix + row[:, None] * cols + col[None, :], mask=inside, other=0.0)


@triton.jit
def finish(y, total, scale, gain, token, tokens, col, WIDTH: tl.constexpr):
    inside = (token[:, None] < tokens) & (col[None, :] < WIDTH)
    normed = (total * scale[None, :] * gain[:, None]).to(y.dtype.element_ty)
    tl.store(y + token[:, None] * WIDTH + col[None, :], normed.T, mask=inside)


@triton.jit
def feed_forward(
    x,
    w1,
    g1,
    w2,
    g2,
    y,
    tokens,
    eps,
    WIDTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    BLOCK_H: tl.constexpr,
    SHORT: tl.constexpr,
):
    # A first piece of up to 128 columns of the width, and a second one, if there are more.
    WIDE: tl.constexpr = WIDTH > 128
    WA: tl.constexpr = 64 if WIDTH <= 64 else 128
    WB: tl.constexpr = 64 if WIDTH <= 192 else 128
    blocks = tl.cdiv(tokens, 64)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    token = tl.program_id(0) % blocks * 64 + tl.arange(0, 64)
    wa, wb = tl.arange(0, WA), 128 + tl.arange(0, WB)
    last_a = tl.load(g2 + wa, mask=wa < WIDTH, other=0.0).to(tl.float32)
    last_b = tl.load(g2 + wb, mask=wb < WIDTH, other=0.0).to(tl.float32)
    x += sample * tokens * WIDTH
    w1 += sample * WIDTH * HIDDEN
    w2 += sample * HIDDEN * WIDTH
    value_a = tile(x, token, tokens, wa, WIDTH)
    if WIDE:
        value_b = tile(x, token, tokens, wb, WIDTH)

    # The first norm's scale is one number per token, so it can follow the second product. Until then a token's share
    # is divided by the largest element so far, which keeps it inside float16.
    peak = tl.full((64,), 1e-30, tl.float32)
    squares = tl.zeros((64,), tl.float32)
    total_a = tl.zeros((WA, 64), tl.float32)
    if WIDE:
        total_b = tl.zeros((WB, 64), tl.float32)
    for start in range(0, HIDDEN, BLOCK_H):
        unit = start + tl.arange(0, BLOCK_H)
        inner = tl.dot(tile(w1, wa, WIDTH, unit, HIDDEN).T, value_a.T)
        if WIDE:
            inner = tl.dot(tile(w1, wb, WIDTH, unit, HIDDEN).T, value_b.T, inner)
        inner = gelu(inner, SHORT)
        squares += tl.sum(inner * inner, axis=0)
        inner *= tl.load(g1 + unit, mask=unit < HIDDEN, other=0.0).to(tl.float32)[:, None]
        new_peak = tl.maximum(peak, tl.max(tl.abs(inner), axis=0))
        rescale = peak / new_peak
        peak = new_peak
        share = (inner * (1.0 / peak)[None, :]).to(value_a.dtype)
        total_a = tl.dot(tile(w2, unit, HIDDEN, wa, WIDTH).T, share, total_a * rescale[None, :])
        if WIDE:
            total_b = tl.dot(tile(w2, unit, HIDDEN, wb, WIDTH).T, share, total_b * rescale[None, :])

    factor = peak / tl.sqrt(squares / HIDDEN + eps)
    total_a *= factor[None, :]
    squares = tl.sum(total_a * total_a, axis=0)
    if WIDE:
        total_b *= factor[None, :]
        squares += tl.sum(total_b * total_b, axis=0)
    scale = 1.0 / tl.sqrt(squares / WIDTH + eps)
    y += sample * tokens * WIDTH
    finish(y, total_a, scale, last_a, token, tokens, wa, WIDTH)
    if WIDE:
        finish(y, total_b, scale, last_b, token, tokens, wb, WIDTH)
