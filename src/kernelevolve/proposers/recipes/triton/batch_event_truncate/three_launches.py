#: note sums of chunks of rows, a scan over them, then tiles of rows are copied; for any number of rows
#: rank 20
# /// kernel
# language = "triton"
# [tune]
# CHUNK = [256, 512, 1024]
# ROWS = [8, 16, 4]
# BLOCK = [128, 64, 256]
# num_warps = [4, 8]
# [scratch.chunk_total]
# shape = ["cdiv(rows, CHUNK)"]
# dtype = "int32"
# [[launch]]
# entry = "chunk_totals"
# grid = ["cdiv(rows, CHUNK)"]
# [[launch]]
# entry = "place_rows"
# grid = ["cdiv(rows, CHUNK)"]
# [[launch]]
# entry = "move"
# grid = ["cdiv(rows, ROWS)"]
# ///
# As `two_launches`, but a launch more writes every place, so that copying needs no sums.
import triton
import triton.language as tl


@triton.jit
def stays(offsets, row, end, limit):
    first = tl.load(offsets + row, mask=row < end, other=0)
    last = tl.load(offsets + row + 1, mask=row < end, other=0)
    return tl.minimum(last - first, limit)


@triton.jit
def chunk_totals(offsets, chunk_total, rows, limit, CHUNK: tl.constexpr):
    row = tl.program_id(0) * CHUNK + tl.arange(0, CHUNK)
    tl.store(chunk_total + tl.program_id(0), tl.sum(stays(offsets, row, rows, limit), axis=0))


@triton.jit
def place_rows(offsets, chunk_total, kept_offsets, rows, limit, CHUNK: tl.constexpr):
    chunk = tl.program_id(0)
    lanes = tl.arange(0, CHUNK)
    before = tl.zeros((CHUNK,), tl.int32)
    for start in range(0, chunk, CHUNK):
        before += tl.load(chunk_total + start + lanes, mask=start + lanes < chunk, other=0)
    row = chunk * CHUNK + lanes
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
