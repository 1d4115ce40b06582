# /// kernel
# language = "triton"
# when = "rows <= 1048576"
# constraints = ["ROWS * BLOCK <= 2048 * num_warps"]
# [tune]
# CHUNK = [256, 512, 128]
# ROWS = [16, 8, 4, 2]
# BLOCK = [128, 64, 256]
# num_warps = [1, 2, 4]
# [scratch.chunk_total]
# shape = ["cdiv(rows, CHUNK)"]
# dtype = "int32"
# [scratch.place_in_chunk]
# shape = ["rows"]
# dtype = "int32"
# [[launch]]
# entry = "place_in_chunks"
# grid = ["cdiv(rows, CHUNK)"]
# [[launch]]
# entry = "move"
# grid = ["cdiv(rows, ROWS)"]
# args = { CHUNKS = "next_pow2(cdiv(rows, CHUNK))" }
# ///
#: note places of rows within chunks and sums of chunks first; then a warp for a few rows adds up and copies
#: rank 10
# Of 3.3 million float32 events in 32768 rows, about three quarters are read and all places written: 23 MB, 8 us at 3.0
# TB/s. Whatever a program of the second launch does before it copies, all of its threads do: so it is one warp for a
# few rows, which sums without a barrier. It adds up the 128 sums of chunks, those before its own and all of them, asks
# for all events together, and fills an equal share of the tail with zeros. How many sums there are, the compiler knows:
# it unrolls loops of unknown length. Expected on an H100: 14 us, 4 of them the two launches'.
import triton
import triton.language as tl


@triton.jit
def place_in_chunks(offsets, chunk_total, place_in_chunk, rows, limit, CHUNK: tl.constexpr):
    row = tl.program_id(0) * CHUNK + tl.arange(0, CHUNK)
    first = tl.load(offsets + row, mask=row < rows, other=0)
    last = tl.load(offsets + row + 1, mask=row < rows, other=0)
    stays = tl.minimum(last - first, limit)
    tl.store(place_in_chunk + row, tl.cumsum(stays, axis=0) - stays, mask=row < rows)
    tl.store(chunk_total + tl.program_id(0), tl.sum(stays, axis=0))


@triton.jit
def move(
    values,
    offsets,
    chunk_total,
    place_in_chunk,
    kept_offsets,
    kept,
    rows,
    limit,
    CHUNK: tl.constexpr,
    CHUNKS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < rows
    first = tl.load(offsets + row, mask=inside, other=0)
    last = tl.load(offsets + row + 1, mask=inside, other=0)
    target = tl.load(place_in_chunk + row, mask=inside, other=0)
    chunk = tl.program_id(0) * ROWS // CHUNK
    other = tl.arange(0, CHUNKS)
    totals = tl.load(chunk_total + other, mask=other < tl.cdiv(rows, CHUNK), other=0)
    everything = tl.sum(totals, axis=0)
    target += tl.sum(tl.where(other < chunk, totals, 0), axis=0)
    count = tl.minimum(last - first, limit)
    tl.store(kept_offsets + row + 1, target + count, mask=inside)
    tl.store(kept_offsets + row, 0, mask=row == 0)

    source = values + (last - count)[:, None]
    goal = kept + target[:, None]
    lanes = tl.arange(0, BLOCK)
    for start in range(0, tl.max(count, axis=0), BLOCK):
        stay = (start + lanes)[None, :] < count[:, None]
        event = tl.load(source + (start + lanes)[None, :], mask=stay, other=0.0, eviction_policy="evict_first")
        tl.store(goal + (start + lanes)[None, :], event, mask=stay)
    # An equal share of the places after all that stay.
    share = tl.cdiv(tl.load(offsets + rows) - everything, tl.num_programs(0))
    begin = everything + tl.program_id(0) * share
    end = tl.minimum(begin + share, tl.load(offsets + rows))
    for start in range(begin, end, BLOCK):
        tl.store(kept + start + lanes, tl.zeros((BLOCK,), kept.dtype.element_ty), mask=start + lanes < end)
