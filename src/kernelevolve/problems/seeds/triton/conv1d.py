# /// kernel
# language = "triton"
# [tune]
# BLOCK_O = [32, 64, 128]
# BLOCK_L = [64, 32, 128]
# BLOCK_C = [32, 16, 64]
# [[launch]]
# entry = "conv1d"
# grid = ["batch * cdiv(cout, BLOCK_O) * cdiv(length, BLOCK_L)"]
# ///
# One program per tile of a sample's result, output channels by places: the sum over taps of a product of matrices, the
# weights of that tap and the input shifted to it.
import triton
import triton.language as tl


@triton.jit
def conv1d(x, weight, y, cin, cout, length, taps, BLOCK_O: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_C: tl.constexpr):
    strips = tl.cdiv(length, BLOCK_L)
    groups = tl.cdiv(cout, BLOCK_O)
    tile = tl.program_id(0)
    place = tile % strips * BLOCK_L + tl.arange(0, BLOCK_L)
    out = tile // strips % groups * BLOCK_O + tl.arange(0, BLOCK_O)
    sample = (tile // strips // groups).to(tl.int64)

    total = tl.zeros((BLOCK_O, BLOCK_L), tl.float32)
    for start in range(0, cin, BLOCK_C):
        channel = start + tl.arange(0, BLOCK_C)
        filters = weight + (out[:, None].to(tl.int64) * cin + channel[None, :]) * taps
        rows = x + (sample * cin + channel[:, None]) * length
        filters_inside = (out[:, None] < cout) & (channel[None, :] < cin)
        for tap in range(taps):
            source = place + tap - taps // 2
            rows_inside = (channel[:, None] < cin) & (source[None, :] >= 0) & (source[None, :] < length)
            left = tl.load(filters + tap, mask=filters_inside, other=0.0)
            right = tl.load(rows + source[None, :], mask=rows_inside, other=0.0)
            total = tl.dot(left, right, total, input_precision="ieee")

    inside = (out[:, None] < cout) & (place[None, :] < length)
    tl.store(y + (sample * cout + out[:, None]) * length + place[None, :], total, mask=inside)
