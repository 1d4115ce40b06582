#: note a first launch notes where equal slices of the range of numbers begin in the table; lookups search one slice
#: rank 10
# /// kernel
# language = "triton"
# [tune]
# SLICES = [65536, 16384, 32768, 131072]
# BLOCK = [4096, 2048, 1024, 512]
# LANES = [256, 512, 1024]
# use_dual_core = [1, 0]
# cb_multiplier = [1, 2]
# [scratch.directory]
# shape = ["min(SLICES, next_pow2(size))"]
# dtype = "int64"
# [[launch]]
# entry = "make_directory"
# grid = ["cdiv(min(SLICES, next_pow2(size)), LANES - 1)"]
# args = { slices = "min(SLICES, next_pow2(size))" }
# [[launch]]
# entry = "look_up"
# grid = ["min(num_units, cdiv(count, BLOCK))"]
# args = { slices = "min(SLICES, next_pow2(size))" }
# ///
# A lookup costs an address for each scattered load, so it should make few. The range from the table's first to its last
# number is cut into at most `slices` equal slices, a power of two wide; the directory holds where each begins and ends.
# A lookup then reads one entry of the directory and a few of the table: where the numbers lie evenly, about 3 scattered
# loads instead of 17. Where they do not, a slice holds many, and the search in it takes its logarithm of steps. Loads
# whose search is over are masked: they cost no address.
import triton
import triton.language as tl


@triton.jit
def slice_width(table, size, slices):
    # Slices are 2**shift wide: the least that makes fewer than `slices` of the span. Differences of int32 fit uint32.
    first = tl.load(table)
    span = tl.load(table + size - 1).to(tl.uint32, bitcast=True) - first.to(tl.uint32, bitcast=True)
    shift = (span >= slices).to(tl.uint32)
    for bit in tl.static_range(1, 32):
        shift += ((span >> bit) >= slices).to(tl.uint32)
    return first, span, shift


@triton.jit
def make_directory(table, directory, size, slices, LANES: tl.constexpr):
    first, _, shift = slice_width(table, size, slices)
    lane = tl.arange(0, LANES)
    item = tl.program_id(0) * (LANES - 1) + lane
    start = first.to(tl.int64) + (item.to(tl.int64) << shift)
    # How many numbers are below `start`: those from `below` on, `left` of them, are still open.
    below = tl.zeros((LANES,), tl.int32)
    left = size
    while left > 0:
        half = (left + 1) // 2
        smaller = tl.load(table + below + half - 1) < start
        below = tl.where(smaller, below + half, below)
        left -= half
    # A lookup gets both ends of its slice in one load; the last lane only ends the one before it.
    end = tl.gather(below, tl.minimum(lane + 1, LANES - 1), axis=0)
    pair = below.to(tl.int64) | (end.to(tl.int64) << 32)
    tl.store(directory + item, pair, mask=(lane < LANES - 1) & (item < slices))


@triton.jit
def look_up(values, table, directory, index, count, size, slices, BLOCK: tl.constexpr):
    first, span, shift = slice_width(table, size, slices)
    for start in tl.range(tl.program_id(0) * BLOCK, count, tl.num_programs(0) * BLOCK):
        item = start + tl.arange(0, BLOCK)
        inside = item < count
        value = tl.load(values + item, mask=inside, other=0)
        distance = (value - first).to(tl.uint32, bitcast=True)
        known = inside & (value >= first) & (distance <= span)
        pair = tl.load(directory + (distance >> shift).to(tl.int32), mask=known, other=0)
        low = pair.to(tl.int32)
        left = (pair >> 32).to(tl.int32) - low
        most = tl.max(left, axis=0)
        while most > 1:
            half = left >> 1
            middle = tl.load(table + low + half, mask=half > 0, other=0)
            low = tl.where((half > 0) & (middle <= value), low + half, low)
            left -= half
            most -= most // 2
        found = tl.load(table + low, mask=left > 0, other=0) == value
        tl.store(index + item, tl.where(found & (left > 0), low, -1), mask=inside)
