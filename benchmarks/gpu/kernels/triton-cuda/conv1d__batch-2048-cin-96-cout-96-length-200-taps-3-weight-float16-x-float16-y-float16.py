# /// kernel
# language = "triton"
# when = "dtype(x) == \"float16\" and length % 8 == 0 and taps == 3 and cin <= 96 and cout <= 128"
# constraints = ["GROUPS <= 2 * num_warps", "PER_UNIT == 1 or GROUPS == 8 and num_warps <= 8"]
# [tune]
# GROUPS = [8, 16]
# AHEAD = [1, 0]
# TOGETHER = [0, 1]
# PER_UNIT = [2, 1]
# num_warps = [4, 8, 16]
# [[launch]]
# entry = "convolve"
# grid = ["min(num_units * PER_UNIT, cdiv(batch * (length // 8), GROUPS))"]
# args = { OUT = "max(64, next_pow2(cout))", CHUNKS = "cdiv(cin, 32)", eighths = "length // 8" }
# ///
#: note x is read once, 16 bytes a lane, and shifted by a tap within registers; the weight stays; no scratch
#: rank 10
#: targets cuda:sm_90
# Columns of the product are groups of eight positions, of all samples one after the other, so that nothing is padded
# but cout. A lane holds whole groups: shifted by one, a group is its own elements and one neighbour, which a narrow
# load brings from L1. So device memory sees 16-byte loads and stores only, and shared memory three copies of a tile,
# one per tap. The weight [cout, 32 channels] of every tap and chunk stays in shared memory (74 KB); the next tile's
# loads fly during this one's products. Floors on an H100 for 2048 x 96 x 200 float16: 157 MB at 3 TB/s are 52 us; 30
# GFLOP (cout padded to 128) at 800 TFLOP/s are 38 us.
import triton
import triton.language as tl

CHANNELS = tl.constexpr(32)


@triton.jit
def taken(weight, cin, cout, chunk, tap, OUT: tl.constexpr):
    out, channel = tl.arange(0, OUT)[:, None], chunk * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    inside = (out < cout) & (channel < cin)
    return tl.load(weight + (out * cin + channel) * 3 + tap, mask=inside, other=0.0)


@triton.jit
def filters_of(weight, cin, cout, chunk, OUT: tl.constexpr):
    first = taken(weight, cin, cout, chunk, 0, OUT)
    second = taken(weight, cin, cout, chunk, 1, OUT)
    return first, second, taken(weight, cin, cout, chunk, 2, OUT)


@triton.jit
def fetch(x, tile, batch, cin, eighths, chunk, GROUPS: tl.constexpr):
    # The groups of a chunk of channels [GROUPS, CHANNELS, 8], and the elements before and after each. Triton gives the
    # lanes of a warp to the first of these axes, so that they are neighbours in memory.
    channel = chunk * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    group = tile * GROUPS + tl.arange(0, GROUPS)[:, None]
    sample, place = group // eighths, group % eighths
    start = x + (sample.to(tl.int64) * cin * eighths + place) * 8 + channel * eighths * 8
    inside = (sample < batch) & (channel < cin)
    whole = tl.load(start[:, :, None] + tl.arange(0, 8)[None, None, :], mask=inside[:, :, None], other=0.0)
    before = tl.load(start - 1, mask=inside & (place > 0), other=0.0)
    after = tl.load(start + 8, mask=inside & (place < eighths - 1), other=0.0)
    return whole, before, after


@triton.jit
def shifted(fetched, GROUPS: tl.constexpr):
    # What each tap multiplies. As integers, since a product's operand that is a mere reshape of five dimensions breaks
    # Triton 3.6.
    whole, before, after = fetched
    even, odd = whole.to(tl.int16, bitcast=True).reshape(GROUPS, CHANNELS, 2, 2, 2).split()
    x0_x4, x2_x6 = even.split()
    x1_x5, x3_x7 = odd.split()
    _, x4 = x0_x4.split()
    x3, _ = x3_x7.split()
    left = tl.join(tl.join(tl.join(before.to(tl.int16, bitcast=True), x3), x1_x5), even)
    right = tl.join(odd, tl.join(x2_x6, tl.join(x4, after.to(tl.int16, bitcast=True))))
    left = left.reshape(GROUPS, CHANNELS, 8).permute(1, 0, 2).reshape(CHANNELS, GROUPS * 8)
    middle = whole.to(tl.int16, bitcast=True).permute(1, 0, 2).reshape(CHANNELS, GROUPS * 8)
    right = right.reshape(GROUPS, CHANNELS, 8).permute(1, 0, 2).reshape(CHANNELS, GROUPS * 8)
    dtype: tl.constexpr = whole.dtype
    return left.to(dtype, bitcast=True), middle.to(dtype, bitcast=True), right.to(dtype, bitcast=True)


@triton.jit
def multiply(total, filters, parts):
    total = tl.dot(filters[0], parts[0], total)
    total = tl.dot(filters[1], parts[1], total)
    return tl.dot(filters[2], parts[2], total)


@triton.jit
def convolve(
    x,
    weight,
    y,
    batch,
    cin,
    cout,
    eighths,
    OUT: tl.constexpr,
    CHUNKS: tl.constexpr,
    GROUPS: tl.constexpr,
    AHEAD: tl.constexpr,
    TOGETHER: tl.constexpr,
):
    tile, step = tl.program_id(0), tl.num_programs(0)
    filters0 = filters_of(weight, cin, cout, 0, OUT)
    filters1 = filters_of(weight, cin, cout, 1, OUT)
    filters2 = filters_of(weight, cin, cout, 2, OUT)
    next0 = fetch(x, tile, batch, cin, eighths, 0, GROUPS)
    next1 = fetch(x, tile, batch, cin, eighths, 1, GROUPS)
    next2 = fetch(x, tile, batch, cin, eighths, 2, GROUPS)
    for here in range(tile, tl.cdiv(batch * eighths, GROUPS), step):
        if not AHEAD:
            next0 = fetch(x, here, batch, cin, eighths, 0, GROUPS)
            next1 = fetch(x, here, batch, cin, eighths, 1, GROUPS)
            next2 = fetch(x, here, batch, cin, eighths, 2, GROUPS)
        # All taps of a chunk, or of all chunks, are in shared memory before the first product: one barrier for them.
        parts0 = shifted(next0, GROUPS)
        if AHEAD:
            next0 = fetch(x, here + step, batch, cin, eighths, 0, GROUPS)
        total = tl.zeros((OUT, GROUPS * 8), tl.float32)
        if not TOGETHER:
            total = multiply(total, filters0, parts0)
        if CHUNKS > 1:
            parts1 = shifted(next1, GROUPS)
            if AHEAD:
                next1 = fetch(x, here + step, batch, cin, eighths, 1, GROUPS)
            if not TOGETHER:
                total = multiply(total, filters1, parts1)
        if CHUNKS > 2:
            parts2 = shifted(next2, GROUPS)
            if AHEAD:
                next2 = fetch(x, here + step, batch, cin, eighths, 2, GROUPS)
            if not TOGETHER:
                total = multiply(total, filters2, parts2)
        if TOGETHER:
            total = multiply(total, filters0, parts0)
            if CHUNKS > 1:
                total = multiply(total, filters1, parts1)
            if CHUNKS > 2:
                total = multiply(total, filters2, parts2)
        out, column = tl.arange(0, OUT)[:, None], here * GROUPS * 8 + tl.arange(0, GROUPS * 8)[None, :]
        sample, place = column // 8 // eighths, column // 8 % eighths
        start = y + (sample.to(tl.int64) * cout * eighths + place) * 8 + column % 8
        tl.store(start + out * eighths * 8, total.to(y.dtype.element_ty), mask=(sample < batch) & (out < cout))
