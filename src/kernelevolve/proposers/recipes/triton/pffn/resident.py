#: note one launch without a loop: all weights are asked for before the first product, in pieces of 64 by 64
#: rank 20
# /// kernel
# language = "triton"
# when = 'width <= 256 and hidden <= 256 and dtype(x) != "float32"'
# [tune]
# BLOCK_T = [64, 32]
# SHORT = [1, 0]
# num_warps = [8]
# [[launch]]
# entry = "feed_forward"
# grid = ["batch * cdiv(tokens, BLOCK_T)"]
# [launch.args]
# TOKENS = "tokens"
# WIDTH = "width"
# HIDDEN = "hidden"
# ALONG = "cdiv(width, 64)"
# ACROSS = "cdiv(hidden, 64)"
# ///
# Floor for 128 x 64 x 192 x 192 in float16 on an H100: 25 MB at 3 TB/s are 8 us, a launch 4 us. Unlike in `streamed`
# nothing waits for an earlier piece's product before it is asked for, and the first norm is known before the second
# product begins, so no sum is scaled again. 192 columns are three pieces, none of them padding. Copies are under way in
# registers, which sizes known to the compiler leave free of addresses; the first product, its GELU and the first norm
# run while the second matrix comes. Expected: 14 to 17 us.
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
def tile(matrix, row, rows, first_col, cols: tl.constexpr):
    # The rows `row` of a matrix, 64 columns of them.
    col = first_col + tl.arange(0, 64)
    inside = (row[:, None] < rows) & (col[None, :] < cols)
    return tl.load(matrix + row[:, None] * cols + col[None, :], mask=inside, other=0.0)


@triton.jit
def tiles(matrix, row, rows, cols: tl.constexpr, PIECES: tl.constexpr):
    taken = ()
    for piece in tl.static_range(PIECES):
        one = (tile(matrix, row, rows, piece * 64, cols),)
        taken = taken + one
    return taken


@triton.jit
def below(matrix, first_col: tl.constexpr, rows: tl.constexpr, cols: tl.constexpr, PIECES: tl.constexpr):
    # 64 columns. As integers: what goes to shared memory as it comes is waited for before any product.
    taken = ()
    for piece in tl.static_range(PIECES):
        part = tile(matrix, piece * 64 + tl.arange(0, 64), rows, first_col, cols)
        one = (part.to(tl.int16, bitcast=True),)
        taken = taken + one
    return taken


@triton.jit
def beside(matrix, first_row: tl.constexpr, rows: tl.constexpr, cols: tl.constexpr, PIECES: tl.constexpr):
    # 64 rows, as integers.
    taken = ()
    for piece in tl.static_range(PIECES):
        part = tile(matrix, first_row + tl.arange(0, 64), rows, piece * 64, cols)
        one = (part.to(tl.int16, bitcast=True),)
        taken = taken + one
    return taken


@triton.jit
def feed_forward(
    x,
    w1,
    g1,
    w2,
    g2,
    y,
    eps,
    TOKENS: tl.constexpr,
    WIDTH: tl.constexpr,
    HIDDEN: tl.constexpr,
    ALONG: tl.constexpr,
    ACROSS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    SHORT: tl.constexpr,
):
    dtype: tl.constexpr = x.dtype.element_ty
    blocks = tl.cdiv(TOKENS, BLOCK_T)
    sample = (tl.program_id(0) // blocks).to(tl.int64)
    token = tl.program_id(0) % blocks * BLOCK_T + tl.arange(0, BLOCK_T)
    lanes = tl.arange(0, 64)
    # What is asked for last comes last: the few gains first.
    gain, last_gain = (), ()
    highest = tl.zeros((64,), tl.float32)
    for across in tl.static_range(ACROSS):
        one = tl.load(g1 + across * 64 + lanes, mask=across * 64 + lanes < HIDDEN, other=0.0).to(tl.float32)
        highest = tl.maximum(highest, tl.abs(one))
        more = (one,)
        gain = gain + more
    for along in tl.static_range(ALONG):
        more = (tl.load(g2 + along * 64 + lanes, mask=along * 64 + lanes < WIDTH, other=0.0).to(tl.float32),)
        last_gain = last_gain + more
    value = tiles(x + sample * TOKENS * WIDTH, token, TOKENS, WIDTH, ALONG)
    up = ()
    for across in tl.static_range(ACROSS):
        up = up + below(w1 + sample * WIDTH * HIDDEN, across * 64, WIDTH, HIDDEN, ALONG)
    down = beside(w2 + sample * HIDDEN * WIDTH, 0, HIDDEN, WIDTH, ALONG)
    # An element of the first norm's result is at most sqrt(hidden) times the largest gain: without the gain's size it
    # fits float16, which holds the factors of the second product.
    size = tl.maximum(tl.max(highest, axis=0), 1e-30)

    inner = ()
    squares = tl.zeros((BLOCK_T,), tl.float32)
    for across in tl.static_range(ACROSS):
        column = ()
        for along in tl.static_range(ALONG):
            more = (up[across * ALONG + along].to(dtype, bitcast=True),)
            column = column + more
        one = tl.zeros((BLOCK_T, 64), tl.float32)
        for along in tl.static_range(ALONG):
            one = tl.dot(value[along], column[along], one)
        if across + 1 < ACROSS:  # the next rows of the second matrix go where columns of the first one were
            down = down + beside(w2 + sample * HIDDEN * WIDTH, (across + 1) * 64, HIDDEN, WIDTH, ALONG)
        one = gelu(one, SHORT)
        squares += tl.sum(one * one, axis=1)
        more = (one,)
        inner = inner + more
    factor = 1.0 / (tl.sqrt(squares / HIDDEN + eps) * size)

    factors = ()
    for across in tl.static_range(ACROSS):
        scaled = inner[across] * factor[:, None] * gain[across][None, :]
        more = (scaled.to(dtype),)
        factors = factors + more
    result = ()
    squares = tl.zeros((BLOCK_T, 64), tl.float32)
    for along in tl.static_range(ALONG):
        column = ()
        for across in tl.static_range(ACROSS):
            more = (down[across * ALONG + along].to(dtype, bitcast=True),)
            column = column + more
        one = tl.zeros((BLOCK_T, 64), tl.float32)
        for across in tl.static_range(ACROSS):
            one += tl.dot(factors[across], column[across]) * size
        squares += one * one
        more = (one,)
        result = result + more
    root = tl.sqrt(tl.sum(squares, axis=1) / WIDTH + eps)
    for along in tl.static_range(ALONG):
        col = along * 64 + lanes
        place = (sample * TOKENS + token[:, None]) * WIDTH + col[None, :]
        inside = (token[:, None] < TOKENS) & (col[None, :] < WIDTH)
        tl.store(
            y + place, (result[along] / root[:, None] * last_gain[along][None, :]).to(y.dtype.element_ty), mask=inside
        )
