#: note each program of the first launch adds up all rows before its own; then tiles of rows are copied
#: rank 10
# /// kernel
# language = "triton"
# when = "rows <= 131072"
# [tune]
# CHUNK = [256, 128, 512]
# ROWS = [8, 16, 4]
# BLOCK = [128, 64, 256]
# num_warps = [4, 8]
# [[launch]]
# entry = "place_rows"
# grid = ["cdiv(rows, CHUNK)"]
# [[launch]]
# entry = "move"
# grid = ["cdiv(rows, ROWS)"]
# ///
# Of 3.3 million float32 events in 32768 rows, about three quarters are read and all places written: 23 MB, 8 us at 3.0
# TB/s. The places come first: 128 programs read up to 131 KB of offsets each, from the second-level cache, 8 MB in all,
# about 3 us; that saves a launch of partial sums. Then a program copies a tile of ROWS rows, a warp 32 events of each
# in turn, all loads under way together, and fills as many places of the tail with zeros as its rows lose.
import triton
import triton.language as tl

SPAN = tl.constexpr(4096)


@triton.jit
def stays(offsets, row, end, limit):
    first = tl.load(offsets + row, mask=row < end, other=0)
    last = tl.load(offsets + row + 1, mask=row < end, other=0)
    return tl.minimum(last - first, limit)


@triton.jit
def place_rows(offsets, kept_offsets, rows, limit, CHUNK: tl.constexpr):
    begin = tl.program_id(0) * CHUNK
    before = tl.zeros((SPAN,), tl.int32)
    for start in range(0, begin, SPAN):
        before += stays(offsets, start + tl.arange(0, SPAN), begin, limit)
    row = begin + tl.arange(0, CHUNK)
    sums = tl.sum(before, axis=0) + tl.cumsum(stays(offsets, row, rows, limit), axis=0)
    tl.store(kept_offsets + row + 1, sums, mask=row < rows)
    tl.store(kept_offsets + row, 0, mask=row == 0)


@triton.jit
def move(values, offsets, kept_offsets, kept, rows, limit, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.load(offsets + row, mask=row < rows, other=0)
    last = tl.load(offsets + row + 1, mask=row < rows, other=0)
    target = tl.load(kept_offsets + row, mask=row < rows, other=0)
    count = tl.minimum(last - first, limit)
    lost = last - first - count
    source = (last - count)[:, None]
    tail = (tl.load(kept_offsets + rows) + first - target)[:, None]
    lanes = tl.arange(0, BLOCK)[None, :]
    for start in range(0, tl.max(tl.maximum(count, lost), axis=0), BLOCK):
        place = start + lanes
        stay, go = place < count[:, None], place < lost[:, None]
        event = tl.load(values + source + place, mask=stay, other=0.0, eviction_policy="evict_first")
        tl.store(kept + target[:, None] + place, event, mask=stay)
        tl.store(kept + tail + place, tl.zeros((ROWS, BLOCK), kept.dtype.element_ty), mask=go)
