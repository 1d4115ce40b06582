#: note a first launch notes where equal slices of the range of numbers begin in the table; lookups search one slice
#: rank 10
# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 512 * num_warps", "BLOCK >= 32 * num_warps"]
# [tune]
# FILL = [2, 1, 4]
# BLOCK = [512, 256, 1024, 128]
# num_warps = [4, 8, 2]
# [scratch.directory]
# shape = ["min(FILL * next_pow2(size), 4194304) + 1"]
# dtype = "int32"
# [scratch.width]
# shape = ["1"]
# dtype = "int32"
# [[launch]]
# entry = "make_directory"
# grid = ["cdiv(min(FILL * next_pow2(size), 4194304) + 1, BLOCK)"]
# args = { slices = "min(FILL * next_pow2(size), 4194304)" }
# [[launch]]
# entry = "look_up"
# grid = ["cdiv(count, BLOCK)"]
# ///
# The range from the table's first to its last number is cut into at most `slices` equal slices, a power of two wide,
# with one search for each. A lookup then reads two neighbouring entries of the directory and a few of the table: where
# the numbers lie evenly, 3 scattered loads instead of 16. Where they do not, a slice holds many, and the search in it
# takes its logarithm of steps. 1,000,000 values in 50,000: 131,073 searches, about 3 us, and lookups of about 5 us.
import triton
import triton.language as tl


@triton.jit
def make_directory(table, directory, width, size, slices, BLOCK: tl.constexpr):
    first = tl.load(table).to(tl.int64)
    span = tl.load(table + size - 1).to(tl.int64) - first
    # Slices are 2**shift wide: the least that makes fewer than `slices` of the span.
    shift = (span >= slices).to(tl.int32)
    for bit in tl.static_range(1, 32):
        shift += ((span >> bit) >= slices).to(tl.int32)
    if tl.program_id(0) == 0:
        tl.store(width, shift)
    item = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    start = first + (item.to(tl.int64) << shift)
    # How many numbers are below `start`: those from `below` on, `left` of them, are still open.
    below = tl.zeros((BLOCK,), tl.int32)
    left = size
    while left > 0:
        half = (left + 1) // 2
        smaller = tl.load(table + below + half - 1) < start
        below = tl.where(smaller, below + half, below)
        left -= half
    tl.store(directory + item, below, mask=item <= slices)


@triton.jit
def look_up(values, table, directory, width, index, count, size, BLOCK: tl.constexpr):
    first = tl.load(table).to(tl.int64)
    span = tl.load(table + size - 1).to(tl.int64) - first
    shift = tl.load(width)
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(values + item, mask=item < count, other=0, eviction_policy="evict_first")
    distance = value.to(tl.int64) - first
    known = (item < count) & (distance >= 0) & (distance <= span)
    part = tl.where(known, distance >> shift, 0).to(tl.int32)
    low = tl.load(directory + part)
    end = tl.load(directory + part + 1)
    # The number, if the table has it, is among the `left` ones from `low` on.
    left = tl.where(known, end - low, 0)
    most = tl.max(left, axis=0)
    while most > 1:
        half = left // 2
        middle = tl.load(table + low + half, mask=left > 1, other=0)
        low = tl.where((left > 1) & (middle <= value), low + half, low)
        left -= half
        most -= most // 2
    found = tl.load(table + low, mask=left > 0, other=0) == value
    tl.store(index + item, tl.where(found & (left > 0), low, -1), mask=item < count, eviction_policy="evict_first")
