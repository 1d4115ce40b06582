#: note one launch: each program streams the hidden columns of its tokens through both products; scales come out of sums
#: rank 10
# /// kernel
# language = "triton"
# when = "width <= 256"
# constraints = ["BLOCK_T * BLOCK_H <= 64 * num_warps**2", "4 * num_warps <= BLOCK_T", "BLOCK_H * num_stages <= 192"]
# [tune]
# BLOCK_T = [64, 32, 16]
# BLOCK_H = [32, 64, 16]
# SHORT = [1, 0]
# num_warps = [8, 4, 16]
# num_stages = [3, 2, 4, 6]
# [[launch]]
# entry = "feed_forward"
# grid = ["batch * cdiv(tokens, BLOCK_T)"]
# args = { W = "max(16, next_pow2(width))" }
# ///
# Floor for 128 x 64 x 192 x 192 in float16 on an H100: 25 MB at 3 TB/s are 8 us, 1.2 GFLOP rounded up to 256 columns
# are nothing; what counts is one program's chain of copies and products, six pieces of 32 hidden columns long.
# Expected: 12 to 18 us with BLOCK_T = 64 (one program per multiprocessor), less with 32 if its twice read weights come
# from L2. SHORT: GELU(v) = max(v, 0) - |v| (1 - erf(|v| / sqrt(2))) / 2 with erf from five terms and an exponential
# (Abramowitz and Stegun 7.1.26, at most 1.5e-7 off): a third of libdevice's instructions, of which 12288 in each
# multiprocessor are 1.6 us of its arithmetic units.
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
def feed_forward(
    x,
    w1,
    g1,
    w2,
    g2,
    y,
    tokens,
    width,
    hidden,
    eps,
    W: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_H: tl.constexpr,
    SHORT: tl.constexpr,
):
    blocks = tl.cdiv(tokens, BLOCK_T)
    short: tl.constexpr = SHORT and x.dtype.element_ty != tl.float32  # whose results would show the difference
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    token = tl.program_id(0) % blocks * BLOCK_T + tl.arange(0, BLOCK_T)
    col = tl.arange(0, W)
    place = (sample * tokens + token[:, None]) * width + col[None, :]
    inside = (token[:, None] < tokens) & (col[None, :] < width)
    value = tl.load(x + place, mask=inside, other=0.0)

    # The first norm's scale is one number per token, so it can follow the second product. Until then a token's share
    # is divided by the largest element so far, which keeps it inside float16.
    peak = tl.full((BLOCK_T,), 1e-30, tl.float32)
    squares = tl.zeros((BLOCK_T,), tl.float32)
    total = tl.zeros((BLOCK_T, W), tl.float32)
    for start in range(0, hidden, BLOCK_H):
        unit = start + tl.arange(0, BLOCK_H)
        up_inside = (col[:, None] < width) & (unit[None, :] < hidden)
        up = tl.load(w1 + (sample * width + col[:, None]) * hidden + unit[None, :], mask=up_inside, other=0.0)
        inner = tl.dot(value, up, input_precision="ieee")
        inner = gelu(inner, short)
        squares += tl.sum(inner * inner, axis=1)
        inner *= tl.load(g1 + unit, mask=unit < hidden, other=0.0).to(tl.float32)[None, :]
        new_peak = tl.maximum(peak, tl.max(tl.abs(inner), axis=1))
        total *= (peak / new_peak)[:, None]
        peak = new_peak
        down_inside = (unit[:, None] < hidden) & (col[None, :] < width)
        down = tl.load(w2 + (sample * hidden + unit[:, None]) * width + col[None, :], mask=down_inside, other=0.0)
        total = tl.dot((inner / peak[:, None]).to(down.dtype), down, total, input_precision="ieee")

    total *= (peak / tl.sqrt(squares / hidden + eps))[:, None]
    root = tl.sqrt(tl.sum(total * total, axis=1) / width + eps)
    gain = tl.load(g2 + col, mask=col < width, other=0.0).to(tl.float32)
    tl.store(y + place, (total / root[:, None] * gain[None, :]).to(y.dtype.element_ty), mask=inside)
