#: note a matrix product per sample over taps and channels; shifted rows of x by plain loads; any size and type
#: rank 40
# /// kernel
# language = "triton"
# constraints = ["BLOCK_O * BLOCK_L <= 2048 * num_warps"]
# [tune]
# BLOCK_O = [128, 64, 32]
# BLOCK_L = [64, 128, 32]
# BLOCK_C = [32, 16]
# num_warps = [4, 8]
# num_stages = [3, 2, 1]
# [scratch.packed]
# shape = ["taps", "cout", "cin"]
# dtype = "float32"
# [[launch]]
# entry = "pack"
# grid = ["cdiv(taps * cout * cin, 256)"]
# [[launch]]
# entry = "convolve"
# grid = ["batch * cdiv(cout, BLOCK_O) * cdiv(length, BLOCK_L)"]
# ///
# Bytes: x and y once from device memory, x two times more from the caches. The shifted loads are as narrow as one
# element, since their rows start anywhere, and none of them can be an asynchronous copy: several blocks per
# multiprocessor hide their latency instead.
import triton
import triton.language as tl


@triton.jit
def pack(weight, packed, cin, cout, taps):
    # From (cout, cin, taps) to (taps, cout, cin), where channels are contiguous.
    place = tl.program_id(0) * 256 + tl.arange(0, 256)
    inside = place < taps * cout * cin
    tap, rest = place // (cout * cin), place % (cout * cin)
    value = tl.load(weight + rest * taps + tap, mask=inside, other=0.0)
    tl.store(packed + place, value.to(packed.dtype.element_ty), mask=inside)


@triton.jit
def convolve(
    x, packed, y, cin, cout, length, taps, BLOCK_O: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_C: tl.constexpr
):
    along, across = tl.cdiv(length, BLOCK_L), tl.cdiv(cout, BLOCK_O)
    tile = tl.program_id(0)
    col = tile % along * BLOCK_L + tl.arange(0, BLOCK_L)
    out = tile // along % across * BLOCK_O + tl.arange(0, BLOCK_O)
    sample = (tile // along // across).to(tl.int64)
    rows = x + sample * cin * length

    total = tl.zeros((BLOCK_O, BLOCK_L), tl.float32)
    for start in range(0, cin, BLOCK_C):
        channel = start + tl.arange(0, BLOCK_C)
        filters_inside = (out[:, None] < cout) & (channel[None, :] < cin)
        for tap in range(taps):
            source = col + tap - taps // 2
            inside = (channel[:, None] < cin) & (source[None, :] >= 0) & (source[None, :] < length)
            shifted = tl.load(rows + channel[:, None] * length + source[None, :], mask=inside, other=0.0)
            place = packed + (tap * cout + out[:, None]) * cin + channel[None, :]
            filters = tl.load(place, mask=filters_inside, other=0.0).to(x.dtype.element_ty)
            total = tl.dot(filters, shifted, total, input_precision="ieee")

    place = y + sample * cout * length + out[:, None] * length + col[None, :]
    inside = (out[:, None] < cout) & (col[None, :] < length)
    tl.store(place, total.to(y.dtype.element_ty), mask=inside)
