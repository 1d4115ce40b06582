# /// kernel
# language = "triton"
# when = "dtype(x) != \"float32\" and tokens % 64 + width % 64 + hidden % 64 == 0 and width * (hidden + 32) <= 55296"
# constraints = ["num_warps == 4 or hidden <= width"]
# [tune]
# SHORT = [1, 0]
# num_warps = [8, 4]
# [[launch]]
# entry = "feed_forward"
# grid = ["batch * (tokens // 64)"]
# args = { TOKENS = "tokens", WIDTH = "width", HIDDEN = "hidden", ALONG = "width // 64", ACROSS = "hidden // 64" }
# ///
#: note one launch without a loop, in Gluon: everything is copied to shared memory at once, and used as it arrives
#: rank 10
#: targets cuda:sm_90
# Floor for 128 x 64 x 192 x 192 in float16 on an H100: 25 MB at 3 TB/s are 8 us, a launch 4 us. `resident` holds copies
# under way in registers, which tl asks of the compiler only so far; here all of them go straight to shared memory
# (cp.async, 168 KiB a program), and a product begins when its own 64 rows are there. A second warp group halves the
# time of GELU, and costs a way through shared memory between the products. Expected: 14 to 16 us.
# SHORT: GELU(v) = max(v, 0) - |v| (1 - erf(|v| / sqrt(2))) / 2 with erf from five terms and an exponential (Abramowitz
# and Stegun 7.1.26, at most 1.5e-7 off).
import triton.experimental.gluon.language as gl
from triton.experimental import gluon
from triton.experimental.gluon.language.nvidia.hopper import (
    async_copy,
    fence_async_shared,
    warpgroup_mma,
    warpgroup_mma_wait,
)


@gluon.jit
def gelu(value, SHORT: gl.constexpr):
    if not SHORT:
        return 0.5 * value * (1.0 + gl.erf(value * 0.7071067811865476))
    size = gl.abs(value)
    t = 1.0 / (1.0 + 0.23164189 * size)
    terms = (((0.5307027145 * t - 0.726576013) * t + 0.7107068705) * t - 0.142248368) * t + 0.127414796
    return gl.maximum(value, 0.0) - size * (terms * t * gl.exp2(value * value * -0.7213475204444817))


@gluon.jit
def ask(tile, matrix, row, stride: gl.constexpr):
    WARPS: gl.constexpr = gl.num_warps()
    # 64 rows from the pointer's own, 64 columns of them.
    LANES: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [WARPS, 1], [1, 0])
    r = row + gl.arange(0, 64, gl.SliceLayout(1, LANES))
    c = gl.arange(0, 64, gl.SliceLayout(0, LANES))
    async_copy.async_load(tile, matrix + r[:, None] * stride + c[None, :])


@gluon.jit
def feed_forward(
    x,
    w1,
    g1,
    w2,
    g2,
    y,
    eps,
    TOKENS: gl.constexpr,
    WIDTH: gl.constexpr,
    HIDDEN: gl.constexpr,
    ALONG: gl.constexpr,
    ACROSS: gl.constexpr,
    SHORT: gl.constexpr,
):
    dtype: gl.constexpr = x.dtype.element_ty
    WARPS: gl.constexpr = gl.num_warps()
    SHARED: gl.constexpr = gl.NVMMASharedLayout(128, 16, 2)
    ACC: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, WARPS // 4], [16, 256 // WARPS, 16])
    LEFT: gl.constexpr = gl.DotOperandLayout(0, ACC, 2)
    COLS: gl.constexpr = gl.SliceLayout(0, ACC)
    OUT: gl.constexpr = gl.BlockedLayout([1, 8], [4, 8], [WARPS, 1], [1, 0])
    blocks: gl.constexpr = TOKENS // 64
    sample = (gl.program_id(0) // blocks).to(gl.int64)
    token = gl.program_id(0) % blocks * 64
    x_tiles = gl.allocate_shared_memory(dtype, [ALONG, 64, 64], SHARED)
    up = gl.allocate_shared_memory(dtype, [ALONG * ACROSS, 64, 64], SHARED)
    down = gl.allocate_shared_memory(dtype, [ALONG * ACROSS, 64, 64], SHARED)
    # the second matrix is asked for last and used last
    x += (sample * TOKENS + token) * WIDTH
    y += (sample * TOKENS + token) * WIDTH
    w1 += sample * WIDTH * HIDDEN
    w2 += sample * HIDDEN * WIDTH
    for along in gl.static_range(ALONG):
        ask(x_tiles.index(along), x + along * 64, 0, WIDTH)
        for across in gl.static_range(ACROSS):
            ask(up.index(along * ACROSS + across), w1 + across * 64, along * 64, HIDDEN)
        async_copy.commit_group()
    for across in gl.static_range(ACROSS):
        for along in gl.static_range(ALONG):
            ask(down.index(across * ALONG + along), w2 + along * 64, across * 64, WIDTH)
        async_copy.commit_group()
    lanes = gl.arange(0, 64, COLS)
    gain, last_gain = (), ()
    highest = gl.zeros([64], gl.float32, COLS)
    for across in gl.static_range(ACROSS):
        one = gl.load(g1 + across * 64 + lanes).to(gl.float32)
        highest = gl.maximum(highest, gl.abs(one))
        more = (one,)
        gain = gain + more
    for along in gl.static_range(ALONG):
        more = (gl.load(g2 + along * 64 + lanes).to(gl.float32),)
        last_gain = last_gain + more
    # An element of the first norm's result is at most sqrt(hidden) times the largest gain: without the gain's size it
    # fits float16, which holds the factors of the second product.
    size = gl.maximum(gl.max(highest, axis=0), 1e-30)

    inner = ()
    for _ in gl.static_range(ACROSS):
        more = (gl.zeros([64, 64], gl.float32, ACC),)
        inner = inner + more
    for along in gl.static_range(ALONG):
        async_copy.wait_group(ALONG - 1 - along + ACROSS)
        gl.barrier()
        fence_async_shared()
        following = ()
        for across in gl.static_range(ACROSS):
            one = warpgroup_mma(x_tiles.index(along), up.index(along * ACROSS + across), inner[across], is_async=True)
            more = (one,)
            following = following + more
        inner = following
    inner = warpgroup_mma_wait(0, inner)
    squares = gl.zeros([64, 64], gl.float32, ACC)
    active = ()
    for across in gl.static_range(ACROSS):
        one = gelu(inner[across], SHORT)
        squares += one * one
        more = (one,)
        active = active + more
    factor = 1.0 / (gl.sqrt(gl.sum(squares, axis=1) / HIDDEN + eps) * size)
    factors = ()
    for across in gl.static_range(ACROSS):
        scaled = (active[across] * factor[:, None] * gain[across][None, :]).to(dtype)
        if WARPS == 4:
            more = (gl.convert_layout(scaled, LEFT),)
            factors = factors + more
        else:
            x_tiles.index(across).store(scaled)
            more = (x_tiles.index(across),)
            factors = factors + more
    result = ()
    for _ in gl.static_range(ALONG):
        more = (gl.zeros([64, 64], gl.float32, ACC),)
        result = result + more
    for across in gl.static_range(ACROSS):
        async_copy.wait_group(ACROSS - 1 - across)
        gl.barrier()
        fence_async_shared()
        following = ()
        for along in gl.static_range(ALONG):
            one = warpgroup_mma(factors[across], down.index(across * ALONG + along), result[along], is_async=True)
            more = (one,)
            following = following + more
        result = following
    result = warpgroup_mma_wait(0, result)
    squares = gl.zeros([64, 64], gl.float32, ACC)
    for along in gl.static_range(ALONG):
        one = result[along] * size
        squares += one * one
    root = size / gl.sqrt(gl.sum(squares, axis=1) / WIDTH + eps)
    r = gl.arange(0, 64, gl.SliceLayout(1, OUT))
    c = gl.arange(0, 64, gl.SliceLayout(0, OUT))
    for along in gl.static_range(ALONG):
        one = (result[along] * root[:, None] * last_gain[along][None, :]).to(dtype)
        gl.store(y + r[:, None] * WIDTH + along * 64 + c[None, :], gl.convert_layout(one, OUT))
