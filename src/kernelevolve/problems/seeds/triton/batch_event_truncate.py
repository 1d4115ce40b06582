# /// kernel
# language = "triton"
# [tune]
# CHUNK = [256, 128, 512, 1024]
# BLOCK = [128, 64, 256]
# [scratch.chunk_total]
# shape = ["cdiv(rows, CHUNK)"]
# dtype = "int32"
# [[launch]]
# entry = "chunk_totals"
# grid = ["cdiv(rows, CHUNK)"]
# [[launch]]
# entry = "scan"
# grid = ["cdiv(rows, CHUNK)"]
# [[launch]]
# entry = "move"
# grid = ["rows"]
# ///
# A scan over chunks of rows finds where each row goes: the totals of the chunks, then the offsets inside each, after
# what the chunks before it hold. Then one program per row copies the events that stay, and fills as many places of the
# tail with zeros as the row loses: so each row writes as many places as it has events, and all are written.
import triton
import triton.language as tl


@triton.jit
def stays(offsets, row, rows, limit):
    first = tl.load(offsets + row, mask=row < rows, other=0)
    last = tl.load(offsets + row + 1, mask=row < rows, other=0)
    return tl.minimum(last - first, limit)


@triton.jit
def chunk_totals(offsets, chunk_total, rows, limit, CHUNK: tl.constexpr):
    chunk = tl.program_id(0)
    row = chunk * CHUNK + tl.arange(0, CHUNK)
    tl.store(chunk_total + chunk, tl.sum(stays(offsets, row, rows, limit), axis=0))


@triton.jit
def scan(offsets, chunk_total, kept_offsets, rows, limit, CHUNK: tl.constexpr):
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
def move(values, offsets, kept_offsets, kept, rows, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    first = tl.load(offsets + row)
    target = tl.load(kept_offsets + row)
    count = tl.load(kept_offsets + row + 1) - target
    source = tl.load(offsets + row + 1) - count
    lanes = tl.arange(0, BLOCK)
    for start in range(0, count, BLOCK):
        place = start + lanes
        event = tl.load(values + source + place, mask=place < count)
        tl.store(kept + target + place, event, mask=place < count)
    lost = source - first
    tail = tl.load(kept_offsets + rows) + first - target
    for start in range(0, lost, BLOCK):
        place = start + lanes
        tl.store(kept + tail + place, 0.0, mask=place < lost)
