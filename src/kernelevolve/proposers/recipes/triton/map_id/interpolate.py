#: note where a value should lie if the table grew evenly, corrected by the entry there; then a window is read at once
#: rank 5
# /// kernel
# language = "triton"
# constraints = ["BLOCK <= 512 * num_warps", "BLOCK >= 32 * num_warps", "BLOCK * WINDOW <= 4096 * num_warps"]
# [tune]
# BLOCK = [512, 256, 1024, 128]
# WINDOW = [16, 8, 32]
# num_warps = [4, 8, 2]
# [[launch]]
# entry = "look_up"
# grid = ["cdiv(count, BLOCK)"]
# ///
# A search of 50,000 entries is 16 loads that wait for each other, and after a flush of the caches most of them for
# device memory. Interpolation needs three: for a table whose steps are drawn at random the first guess is some 50 places
# off, the second, from the entry found there, three or four, so that a window of 16 holds the place of 99 in 100 (and
# the next one the rest). Where the table is of another kind, every third window halves what is left.
# Floor for 1,000,000 values on an H100: 8 MB at 3 TB/s are 3 us, a launch 4 us. Expected: 10 to 12 us.
import triton
import triton.language as tl


@triton.jit
def look_up(values, table, index, count, size, BLOCK: tl.constexpr, WINDOW: tl.constexpr):
    first = tl.load(table).to(tl.float32)
    last = tl.load(table + size - 1).to(tl.float32)
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = item < count
    value = tl.load(values + item, mask=inside, other=0, eviction_policy="evict_first")
    wanted = value.to(tl.float32)
    # Places for each unit of value. All that comes of a guess is checked, so float32 will do.
    pace = (size - 1) / tl.maximum(last - first, 1.0)
    most = (size - 1).to(tl.float32)
    place = tl.minimum(tl.maximum((wanted - first) * pace, 0.0), most).to(tl.int32)
    entry = tl.load(table + place)
    # Entries before `low` are smaller than the value, those from `high` on are not.
    low = tl.where(entry < value, place + 1, 0)
    high = tl.where(entry < value, size, place)
    start = tl.zeros((BLOCK,), tl.int32)
    smaller = tl.zeros((BLOCK,), tl.int32)
    unknown = inside
    turn = 0
    while tl.max(unknown.to(tl.int32), axis=0) > 0:
        correction = (wanted - entry.to(tl.float32)) * pace
        guess = place + tl.minimum(tl.maximum(correction, -most), most).to(tl.int32)
        guess = tl.where(turn % 3 == 2, low + (high - low) // 2, tl.minimum(tl.maximum(guess, low), high))
        start = tl.where(unknown, tl.maximum(guess - WINDOW // 2, 0) // 4 * 4, start)
        entries = start[:, None] + tl.arange(0, WINDOW)[None, :]
        window = tl.load(table + entries, mask=unknown[:, None] & (entries < size), other=2147483647)
        less = tl.sum((window < value[:, None]).to(tl.int32), axis=1)
        smaller = tl.where(unknown, less, smaller)
        # Beyond the window on either side: the entry at that side makes the next guess.
        after = unknown & (smaller == WINDOW) & (start + WINDOW < size)
        before = unknown & (smaller == 0) & (start > 0)
        low = tl.where(after, start + WINDOW, low)
        high = tl.where(before, start, high)
        place = tl.where(after, start + WINDOW - 1, start)
        unknown = after | before
        entry = tl.load(table + place, mask=unknown, other=0)
        unknown = unknown & (entry != value)
        turn += 1
    found = tl.load(table + start + smaller, mask=inside & (start + smaller < size), other=0) == value
    known = found & (start + smaller < size)
    tl.store(index + item, tl.where(known, start + smaller, -1), mask=inside, eviction_policy="evict_first")
